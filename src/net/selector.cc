#include "net/selector.h"

namespace cygnet {

std::string ToString(const Selector& s) {
  std::string text = "src " + ToString(s.saddr, s.family) + "/" + std::to_string(s.prefixlen_s) +
                     " dst " + ToString(s.daddr, s.family) + "/" + std::to_string(s.prefixlen_d);
  if (s.proto != 0) text += " proto " + std::to_string(s.proto);
  if (s.sport_mask != 0) text += " sport " + std::to_string(s.sport);
  if (s.dport_mask != 0) text += " dport " + std::to_string(s.dport);
  if (s.ifindex != 0) text += " ifindex " + std::to_string(s.ifindex);
  return text;
}

}  // namespace cygnet
