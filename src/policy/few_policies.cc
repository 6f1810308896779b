#include "policy/few_policies.h"

#include <algorithm>

#include "base/check.h"

namespace cygnet {

FewPolicies::FewPolicies(std::span<Policy* const> in_order, bool with_ports)
    : size_(in_order.size()), fours_used_((in_order.size() + kLanes - 1) / kLanes) {
  CYGNET_CHECK(size_ <= kMost);
  std::copy(in_order.begin(), in_order.end(), policies_.begin());
  for (std::size_t at = 0; at < size_; ++at) Set(at, policies_[at]->spec, with_ports);
}

void FewPolicies::Set(std::size_t at, const PolicySpec& spec, bool with_ports) {
  constexpr uint32_t kAll = ~uint32_t{0};
  const Selector& selector = spec.selector;
  // An unmet policy is for the packets of all interfaces, which then show no tunnel.
  const bool of_tunnel = spec.of_tunnel() && !spec.unmet;
  FlowKey like;
  like.daddr = Masked(selector.daddr, selector.prefixlen_d);
  like.saddr = Masked(selector.saddr, selector.prefixlen_s);
  if (with_ports) {
    like.sport = selector.sport & selector.sport_mask;
    like.dport = selector.dport & selector.dport_mask;
  }
  like.proto = selector.proto;
  if (of_tunnel) {
    like.if_id = spec.if_id;
    like.mark = spec.mark_value;
  }
  IpAddress ones;
  ones.bytes.fill(0xff);
  const uint32_t ports = uint32_t{selector.sport_mask} | uint32_t{selector.dport_mask} << 16;
  const Words value = WordsOf(like, selector.ifindex);
  const Words mask = {WordOf(Masked(ones, selector.prefixlen_d)),
                      WordOf(Masked(ones, selector.prefixlen_s)),
                      with_ports ? ports : 0,
                      selector.proto == 0 ? 0 : kAll,
                      kAll,
                      of_tunnel ? spec.mark_mask : 0,
                      selector.ifindex == 0 ? 0 : kAll};
  Four& four = fours_[at / kLanes];
  for (std::size_t w = 0; w < kWords; ++w) {
    four.mask[w][at % kLanes] = mask[w];
    four.value[w][at % kLanes] = value[w];
  }
  four.place[at % kLanes] = uint32_t{1} << at;
  plain_ = plain_ && !of_tunnel && selector.ifindex == 0;
}

}  // namespace cygnet
