#include "netlink/fence_name.h"

#include <cstdint>
#include <cstdio>
#include <string_view>

namespace cygnet {
namespace {

bool IsPlain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

std::string FenceTableName(const std::string& wire) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string name = "cygnet_";
  for (const char c : wire) {
    if (IsPlain(c)) {
      name += c;
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    name += {'_', kHex[byte >> 4], kHex[byte & 15]};
  }
  return name;
}

std::string WireOfTable(const std::string& table) {
  constexpr std::string_view kPrefix = "cygnet_";
  if (table.compare(0, kPrefix.size(), kPrefix) != 0) return {};
  std::string wire;
  for (std::size_t i = kPrefix.size(); i < table.size(); ++i) {
    if (table[i] != '_') {
      wire += table[i];
      continue;
    }
    unsigned byte = 0;
    if (std::sscanf(table.c_str() + i + 1, "%2x", &byte) != 1) return {};
    wire += static_cast<char>(byte);
    i += 2;
  }
  return FenceTableName(wire) == table ? wire : std::string{};
}

}  // namespace cygnet
