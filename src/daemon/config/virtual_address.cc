#include "daemon/config/virtual_address.h"

#include <net/if.h>

#include <charconv>
#include <optional>
#include <vector>

namespace cygnet {
namespace {

std::vector<std::string_view> Words(std::string_view text) {
  std::vector<std::string_view> words;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    if (end > begin) words.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return words;
}

// Unlike a prefix, it keeps the bits of the host.
std::optional<VirtualAddress> ParseWithLength(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto parsed = ParseAddress(text.substr(0, slash));
  if (!parsed.has_value() || !IsOneHost(parsed->address, parsed->family)) return std::nullopt;
  unsigned bits = AddressBits(parsed->family);
  if (slash != std::string_view::npos) {
    const std::string_view length = text.substr(slash + 1);
    const char* const end = length.data() + length.size();
    const auto [rest, error] = std::from_chars(length.data(), end, bits);
    if (error != std::errc() || rest != end) return std::nullopt;
    if (bits == 0 || bits > AddressBits(parsed->family)) return std::nullopt;
  }
  return VirtualAddress{parsed->address, parsed->family, static_cast<uint8_t>(bits), {}};
}

}  // namespace

Result<VirtualAddress> ParseVirtualAddress(std::string_view text) {
  const std::vector<std::string_view> words = Words(text);
  const auto wrong = [text](const std::string& why) {
    return MakeError(Errc::kInvalid, "\"" + std::string(text) + "\": " + why +
                                         "; write ADDRESS/LENGTH dev INTERFACE, as in "
                                         "\"192.0.2.1/24 dev nic0\"");
  };
  if (words.size() != 3 || words[1] != "dev") return wrong("not a virtual address");
  auto address = ParseWithLength(words[0]);
  if (!address.has_value()) return wrong("not the address of one host with a prefix length");
  if (words[2].size() >= IF_NAMESIZE || words[2].find('/') != std::string_view::npos) {
    return wrong("not the name of an interface");
  }
  address->device = words[2];
  return *std::move(address);
}

std::string ToString(const VirtualAddress& address) {
  return ToString(address.address, address.family) + "/" + std::to_string(address.bits) + " dev " +
         address.device;
}

}  // namespace cygnet
