#include "xfrm/info_message.h"

#include "netlink/builder.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {
namespace {

using netlink::MessageBuilder;

// The kernel's initial values for its hash tables; clients only print them.
constexpr xfrmu_sadhinfo kSadHash{.sadhcnt = 8, .sadhmcnt = 1u << 20};
constexpr xfrmu_spdhinfo kSpdHash{.spdhcnt = 7, .spdhmcnt = 1u << 20};

std::size_t At(PolicyDirection direction) { return static_cast<std::size_t>(direction); }

std::optional<PolicyAction> DecodeDefault(uint8_t value) {
  switch (value) {
    case XFRM_USERPOLICY_BLOCK:
      return PolicyAction::kBlock;
    case XFRM_USERPOLICY_ACCEPT:
      return PolicyAction::kAllow;
    default:
      return std::nullopt;
  }
}

uint8_t EncodeDefault(PolicyAction action) {
  return action == PolicyAction::kBlock ? XFRM_USERPOLICY_BLOCK : XFRM_USERPOLICY_ACCEPT;
}

}  // namespace

uint32_t DecodeInfoFlags(const Request& request) { return request.Fixed<uint32_t>(); }

netlink::Buffer EncodeSadInfo(uint32_t flags, uint32_t sa_count, ReplyTo to) {
  MessageBuilder builder({.type = XFRM_MSG_NEWSADINFO, .seq = to.seq, .pid = to.pid});
  builder.Put(flags);
  builder.Attribute(XFRMA_SAD_CNT, sa_count);
  builder.Attribute(XFRMA_SAD_HINFO, kSadHash);
  return std::move(builder).Finish();
}

netlink::Buffer EncodeSpdInfo(uint32_t flags, const PolicyCounts& counts,
                              const HashThresholds& thresholds, ReplyTo to) {
  MessageBuilder builder({.type = XFRM_MSG_NEWSPDINFO, .seq = to.seq, .pid = to.pid});
  xfrmu_spdinfo info{};  // sockets do not forward: fwdscnt stays 0
  info.incnt = counts.count[At(PolicyDirection::kIn)];
  info.outcnt = counts.count[At(PolicyDirection::kOut)];
  info.fwdcnt = counts.count[At(PolicyDirection::kForward)];
  info.inscnt = counts.of_sockets[At(PolicyDirection::kIn)];
  info.outscnt = counts.of_sockets[At(PolicyDirection::kOut)];
  builder.Put(flags);
  builder.Attribute(XFRMA_SPD_INFO, info);
  builder.Attribute(XFRMA_SPD_HINFO, kSpdHash);
  builder.Attribute(XFRMA_SPD_IPV4_HTHRESH,
                    xfrmu_spdhthresh{.lbits = thresholds.v4.local, .rbits = thresholds.v4.remote});
  builder.Attribute(XFRMA_SPD_IPV6_HTHRESH,
                    xfrmu_spdhthresh{.lbits = thresholds.v6.local, .rbits = thresholds.v6.remote});
  return std::move(builder).Finish();
}

Result<HashThresholds> DecodeHashThresholds(const Request& request, const HashThresholds& now) {
  HashThresholds next = now;
  if (const auto v4 = request.attributes.Get<xfrmu_spdhthresh>(XFRMA_SPD_IPV4_HTHRESH)) {
    if (v4->lbits > 32 || v4->rbits > 32) {
      return MakeError(Errc::kInvalid, "Invalid hash threshold (must be <= 32 for IPv4)");
    }
    next.v4 = {v4->lbits, v4->rbits};
  }
  if (const auto v6 = request.attributes.Get<xfrmu_spdhthresh>(XFRMA_SPD_IPV6_HTHRESH)) {
    if (v6->lbits > 128 || v6->rbits > 128) {
      return MakeError(Errc::kInvalid, "Invalid hash threshold (must be <= 128 for IPv6)");
    }
    next.v6 = {v6->lbits, v6->rbits};
  }
  return next;
}

DefaultChange DecodeDefaults(const Request& request) {
  const auto wire = request.Fixed<xfrm_userpolicy_default>();
  DefaultChange change;
  change[At(PolicyDirection::kIn)] = DecodeDefault(wire.in);
  change[At(PolicyDirection::kForward)] = DecodeDefault(wire.fwd);
  change[At(PolicyDirection::kOut)] = DecodeDefault(wire.out);
  return change;
}

netlink::Buffer EncodeDefaults(const std::array<PolicyAction, kPolicyDirections>& actions,
                               ReplyTo to) {
  MessageBuilder builder({.type = XFRM_MSG_GETDEFAULT, .seq = to.seq, .pid = to.pid});
  builder.Put(xfrm_userpolicy_default{.in = EncodeDefault(actions[At(PolicyDirection::kIn)]),
                                      .fwd = EncodeDefault(actions[At(PolicyDirection::kForward)]),
                                      .out = EncodeDefault(actions[At(PolicyDirection::kOut)])});
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
