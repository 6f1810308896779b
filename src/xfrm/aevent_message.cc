#include "xfrm/aevent_message.h"

#include "base/endian.h"
#include "xfrm/protocol.h"
#include "xfrm/sa_encode.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;
using netlink::MessageBuilder;

SaId IdOf(const xfrm_aevent_id& wire, const AttributeTable& attributes) {
  SaId id;
  id.mark = MarkKeyOf(attributes);
  id.family = static_cast<IpFamily>(wire.sa_id.family);
  id.daddr = FromWire(wire.sa_id.daddr, id.family);
  id.spi = Spi(be32::FromRaw(wire.sa_id.spi).value());
  id.proto = wire.sa_id.proto;
  return id;
}

// The checks of xfrm_replay_verify_len that do not need the SA.
Status CheckReplayLength(const AttributeTable& attributes) {
  const auto esn = attributes.Get<ReplayEsnHeader>(XFRMA_REPLAY_ESN_VAL);
  if (!esn) return {};
  if (esn->bmp_len > kMaxReplayWords) {
    return MakeError(Errc::kInvalid, "New ESN size doesn't match the existing SA's ESN size");
  }
  const std::size_t full = sizeof(*esn) + std::size_t{esn->bmp_len} * sizeof(uint32_t);
  if (attributes.Payload(XFRMA_REPLAY_ESN_VAL).size() < full) {
    return MakeError(Errc::kInvalid, "ESN attribute is too short");
  }
  if (esn->replay_window > esn->bmp_len * 32) {
    return MakeError(Errc::kInvalid, "ESN replay window is longer than the bitmap");
  }
  return {};
}

netlink::Buffer Encode(const SaView& sa, const AeventThresholds& thresholds, uint32_t flags,
                       ReplyTo to) {
  const SaSpec& spec = *sa.spec;
  MessageBuilder builder({.type = XFRM_MSG_NEWAE, .flags = 0, .seq = to.seq, .pid = to.pid});
  Zeroed<xfrm_aevent_id> wire;
  FillSaId(spec, wire->sa_id);
  wire->saddr = ToWire(spec.saddr);
  wire->flags = flags;
  wire->reqid = spec.reqid.value;
  builder.PutBytes(wire.bytes());
  PutReplay(builder, sa.replay);
  builder.Attribute(XFRMA_LTIME_VAL, ToWire(sa.usage));
  if ((flags & XFRM_AE_RTHR) != 0) builder.Attribute(XFRMA_REPLAY_THRESH, thresholds.max_diff);
  if ((flags & XFRM_AE_ETHR) != 0) builder.Attribute(XFRMA_ETIMER_THRESH, thresholds.max_age);
  PutSaSelection(builder, spec);
  return std::move(builder).Finish();
}

uint32_t FlagOf(AeventCause cause) {
  switch (cause) {
    case AeventCause::kUpdate:
      return XFRM_AE_CU;
    case AeventCause::kSequence:
      return XFRM_AE_CR;
    case AeventCause::kTimer:
      return XFRM_AE_CE;
  }
  return 0;
}

}  // namespace

Result<GetAevent> DecodeGetAevent(const Request& request) {
  const auto wire = request.Fixed<xfrm_aevent_id>();
  return GetAevent{.id = IdOf(wire, request.attributes), .flags = wire.flags};
}

Result<AeventChange> DecodeNewAevent(const Request& request) {
  const AttributeTable& attributes = request.attributes;
  AeventChange result;
  result.id = IdOf(request.Fixed<xfrm_aevent_id>(), attributes);
  if (attributes.Has(XFRMA_REPLAY_ESN_VAL) || attributes.Has(XFRMA_REPLAY_VAL)) {
    result.replay = ReplayState{};
  }
  if (const auto usage = attributes.Get<xfrm_lifetime_cur>(XFRMA_LTIME_VAL)) {
    result.usage = FromWire(*usage);
  }
  result.max_diff = attributes.Get<uint32_t>(XFRMA_REPLAY_THRESH);
  result.max_age = attributes.Get<uint32_t>(XFRMA_ETIMER_THRESH);
  if (!result.replay && !result.usage && !result.max_diff && !result.max_age) {
    return MakeError(Errc::kInvalid, "Missing required attribute for AE");
  }
  if (!request.message.HasFlags(NLM_F_REPLACE)) {
    return MakeError(Errc::kInvalid, "NLM_F_REPLACE flag is required");
  }
  if (const Status status = CheckReplayLength(attributes); !status) {
    result.replay.reset();
    result.replay_fault = status.error();
  }
  if (result.replay) result.replay = DecodeReplay(attributes, kLegacyReplayWindow);
  return result;
}

netlink::Buffer EncodeAevent(const SaView& sa, const AeventThresholds& thresholds, uint32_t flags,
                             ReplyTo to) {
  return Encode(sa, thresholds, flags, to);
}

netlink::Buffer EncodeAeventChange(const SaView& sa, AeventCause cause, ReplyTo to) {
  return Encode(sa, {}, FlagOf(cause), to);
}

netlink::Buffer EncodeMapping(const MappingImage& mapping) {
  const SaSpec& spec = mapping.spec;
  MessageBuilder builder({.type = XFRM_MSG_MAPPING, .flags = 0, .seq = 0, .pid = 0});
  Zeroed<xfrm_user_mapping> wire;
  FillSaId(spec, wire->id);
  wire->reqid = spec.reqid.value;
  wire->old_saddr = ToWire(spec.saddr);
  wire->new_saddr = ToWire(mapping.new_saddr);
  wire->old_sport = be16(spec.encap ? spec.encap->sport : uint16_t{0}).raw();
  wire->new_sport = be16(mapping.new_sport).raw();
  builder.PutBytes(wire.bytes());
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
