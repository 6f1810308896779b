// What the alias of a tunnel interface says: which XFRM interface it stands for, and who made it.
// The daemon writes it. From it, the preload shim knows the interface, and a new daemon what an
// earlier one made at the request of clients. Operators see it in `ip link`.
//
//   cygnet-tunnel if_id=42 link=5 dev=nic0 by=ip[4711]
//
// Also compiled into the preload shim: it uses no C++ run time.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace cygnet {

struct TunnelMark {
  uint32_t if_id = 0;
  uint32_t link = 0;  // ifindex of the device's host side
  std::string_view device{};
  std::string_view by{};  // who asked for it; empty: the configuration
};

inline constexpr std::string_view kTunnelMarkWord = "cygnet-tunnel";

namespace mark_detail {

// False: not a decimal number of 32 bits.
inline bool ReadNumber(std::string_view text, uint32_t* out) {
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9' || value > UINT32_MAX / 10) {
      return false;
    }
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  *out = static_cast<uint32_t>(value);
  return !text.empty() && value <= UINT32_MAX;
}

// The value in a word "key=value"; empty: the word has another key.
inline std::string_view ValueOf(std::string_view word, std::string_view key) {
  const bool fits =
      word.size() > key.size() && word.substr(0, key.size()) == key && word[key.size()] == '=';
  if (!fits) {
    return {};
  }
  word.remove_prefix(key.size() + 1);  // substr would need the C++ run time
  return word;
}

}  // namespace mark_detail

// False: `alias` is not the mark of a tunnel with an if_id. Unknown words are skipped.
inline bool ParseTunnelMark(std::string_view alias, TunnelMark* out) {
  while (!alias.empty() && alias.back() == '\0') {
    alias.remove_suffix(1);
  }
  if (alias.substr(0, alias.find(' ')) != kTunnelMarkWord) {
    return false;
  }
  TunnelMark mark;
  while (!alias.empty()) {
    const size_t end = std::min(alias.find(' '), alias.size());
    const std::string_view word = alias.substr(0, end);
    alias.remove_prefix(std::min(end + 1, alias.size()));
    const std::string_view if_id = mark_detail::ValueOf(word, "if_id");
    const std::string_view link = mark_detail::ValueOf(word, "link");
    const std::string_view device = mark_detail::ValueOf(word, "dev");
    const std::string_view by = mark_detail::ValueOf(word, "by");
    if ((!if_id.empty() && !mark_detail::ReadNumber(if_id, &mark.if_id)) ||
        (!link.empty() && !mark_detail::ReadNumber(link, &mark.link))) {
      return false;
    }
    mark.device = device.empty() ? mark.device : device;
    mark.by = by.empty() ? mark.by : by;
  }
  *out = mark;
  return mark.if_id != 0;
}

}  // namespace cygnet
