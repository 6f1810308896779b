#include "net/selector.h"

#include "net/ip_protocol.h"

namespace cygnet {
namespace {

std::string Masked(const char* name, uint32_t value, uint32_t mask, uint32_t whole) {
  if (mask == 0) return {};
  const std::string text = std::string(" ") + name + " " + std::to_string(value);
  return mask == whole ? text : text + "/" + std::to_string(mask);
}

// Of the fields that hold ports, or what takes their places.
std::string PortsOf(const Selector& s) {
  if (s.proto == kProtoGre) {
    return Masked("key", uint32_t{s.sport} << 16 | s.dport,
                  uint32_t{s.sport_mask} << 16 | s.dport_mask, 0xffff'ffff);
  }
  return Masked("sport", s.sport, s.sport_mask, 0xffff) +
         Masked("dport", s.dport, s.dport_mask, 0xffff);
}

}  // namespace

std::string ToString(const Selector& s) {
  std::string text = "src " + ToString(s.saddr, s.family) + "/" + std::to_string(s.prefixlen_s) +
                     " dst " + ToString(s.daddr, s.family) + "/" + std::to_string(s.prefixlen_d);
  if (s.proto != 0) text += " proto " + std::to_string(s.proto);
  text += PortsOf(s);
  if (s.ifindex != 0) text += " ifindex " + std::to_string(s.ifindex);
  return text;
}

}  // namespace cygnet
