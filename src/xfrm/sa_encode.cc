#include "xfrm/sa_encode.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "base/endian.h"
#include "xfrm/sa_message.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::MessageBuilder;

template <typename T>
T StartAlgorithm(const SaAlgorithm& algorithm) {
  T wire{};
  const std::string_view name = algorithm.descriptor->name;
  std::memcpy(wire.alg_name, name.data(), std::min(name.size(), sizeof(wire.alg_name) - 1));
  wire.alg_key_len = static_cast<unsigned>(algorithm.key.size() * 8);
  return wire;
}

template <typename T>
void PutAlgorithm(MessageBuilder& builder, uint16_t type, const T& header, const KeyMaterial& key) {
  builder.AttributeBytes(type, AsBytes(header), key.bytes());
}

void PutAlgorithms(MessageBuilder& builder, const SaSpec& spec) {
  if (spec.aead.descriptor != nullptr) {
    auto wire = StartAlgorithm<AeadHeader>(spec.aead);
    wire.alg_icv_len = spec.aead.icv_bits;
    PutAlgorithm(builder, XFRMA_ALG_AEAD, wire, spec.aead.key);
  }
  if (spec.pair->auth.descriptor != nullptr) {
    // Both forms, for clients that know only the older one.
    PutAlgorithm(builder, XFRMA_ALG_AUTH, StartAlgorithm<AlgorithmHeader>(spec.pair->auth),
                 spec.pair->auth.key);
    auto wire = StartAlgorithm<AuthHeader>(spec.pair->auth);
    wire.alg_trunc_len = spec.pair->auth.icv_bits;
    PutAlgorithm(builder, XFRMA_ALG_AUTH_TRUNC, wire, spec.pair->auth.key);
  }
  if (spec.pair->cipher.descriptor != nullptr) {
    PutAlgorithm(builder, XFRMA_ALG_CRYPT, StartAlgorithm<AlgorithmHeader>(spec.pair->cipher),
                 spec.pair->cipher.key);
  }
}

}  // namespace

void FillSaInfo(const SaView& sa, xfrm_usersa_info& info) {
  const SaSpec& spec = *sa.spec;
  Fill(spec.selector, info.sel);
  info.id.daddr = ToWire(spec.daddr);
  info.id.spi = be32(spec.spi.value).raw();
  info.id.proto = spec.proto;
  info.saddr = ToWire(spec.saddr);
  info.lft = ToWire(spec.limits);
  info.curlft = ToWire(sa.usage);
  info.stats = {.replay_window = sa.stats.replay_window,
                .replay = sa.stats.replay,
                .integrity_failed = sa.stats.integrity_failed};
  info.seq = spec.acquire_seq;
  info.reqid = spec.reqid.value;
  info.family = static_cast<uint16_t>(spec.family);
  info.mode = static_cast<uint8_t>(spec.mode);
  // Only a legacy window fits here; 0 for an SA with XFRMA_REPLAY_ESN_VAL.
  info.replay_window = static_cast<uint8_t>(
      sa.replay.extended_form ? 0 : std::min(sa.replay.window, kLegacyReplayWindow));
  info.flags = spec.flags;
}

void FillSaId(const SaSpec& spec, xfrm_usersa_id& id) {
  id.daddr = ToWire(spec.daddr);
  id.spi = be32(spec.spi.value).raw();
  id.family = static_cast<uint16_t>(spec.family);
  id.proto = spec.proto;
}

void PutReplay(MessageBuilder& builder, const ReplayState& replay) {
  if (!replay.extended_form) {
    const xfrm_replay_state wire{.oseq = static_cast<uint32_t>(replay.oseq),
                                 .seq = static_cast<uint32_t>(replay.seq),
                                 .bitmap = replay.bitmap.empty() ? 0 : replay.bitmap.front()};
    builder.Attribute(XFRMA_REPLAY_VAL, wire);
    return;
  }
  const std::vector<uint32_t> bits = replay.bitmap.words();
  const std::size_t words = std::min(bits.size(), kMaxReplayWords);
  const ReplayEsnHeader header{.bmp_len = static_cast<uint32_t>(words),
                               .oseq = static_cast<uint32_t>(replay.oseq),
                               .seq = static_cast<uint32_t>(replay.seq),
                               .oseq_hi = static_cast<uint32_t>(replay.oseq >> 32),
                               .seq_hi = static_cast<uint32_t>(replay.seq >> 32),
                               .replay_window = replay.window};
  std::array<uint8_t, sizeof(ReplayEsnHeader) + kMaxReplayWords * sizeof(uint32_t)> wire{};
  std::memcpy(wire.data(), &header, sizeof(header));
  if (words != 0) {
    std::memcpy(wire.data() + sizeof(header), bits.data(), words * sizeof(uint32_t));
  }
  builder.AttributeBytes(XFRMA_REPLAY_ESN_VAL,
                         {wire.data(), sizeof(header) + words * sizeof(uint32_t)});
}

void PutOffload(MessageBuilder& builder, const OffloadRequest& offload) {
  if (offload.mode == OffloadMode::kNo) return;
  unsigned flags = offload.inbound ? XFRM_OFFLOAD_INBOUND : 0;
  if (offload.mode == OffloadMode::kPacket) flags |= kOffloadPacket;
  Zeroed<xfrm_user_offload> wire;
  wire->ifindex = offload.ifindex;
  wire->flags = static_cast<uint8_t>(flags);
  builder.AttributeBytes(XFRMA_OFFLOAD_DEV, wire.bytes());
}

namespace {

void PutDirection(MessageBuilder& builder, const SaSpec& spec) {
  if (spec.rare->cpu) builder.Attribute(kAttrSaPcpu, *spec.rare->cpu);
  if (spec.direction != SaDirection::kUnspec) {
    builder.Attribute(kAttrSaDir, static_cast<uint8_t>(spec.direction));
  }
}

}  // namespace

void PutSaMarks(MessageBuilder& builder, const SaSpec& spec) {
  PutMark(builder, {.value = spec.mark_value, .mask = spec.mark_mask});
  if ((spec.rare->set_mark_value | spec.rare->set_mark_mask) == 0) return;
  builder.Attribute(XFRMA_SET_MARK, spec.rare->set_mark_value);
  builder.Attribute(XFRMA_SET_MARK_MASK, spec.rare->set_mark_mask);
}

void PutSaSelection(MessageBuilder& builder, const SaSpec& spec) {
  PutMark(builder, {.value = spec.mark_value, .mask = spec.mark_mask});
  PutIfId(builder, spec.if_id);
  PutDirection(builder, spec);
}

void PutSaAttributes(MessageBuilder& builder, const SaView& sa) {
  const SaSpec& spec = *sa.spec;
  if (spec.rare->extra_flags != 0) builder.Attribute(XFRMA_SA_EXTRA_FLAGS, spec.rare->extra_flags);
  if (sa.last_used != 0) builder.Attribute(XFRMA_LASTUSED, sa.last_used);
  PutAlgorithms(builder, spec);
  if (spec.encap) PutEncap(builder, *spec.encap);
  if (spec.rare->tfc_pad != 0) builder.Attribute(XFRMA_TFCPAD, spec.rare->tfc_pad);
  PutSaMarks(builder, spec);
  PutReplay(builder, sa.replay);
  if (sa.offload) PutOffload(builder, *sa.offload);
  PutIfId(builder, spec.if_id);
  if (spec.rare->mapping_max_age && *spec.rare->mapping_max_age != 0) {
    builder.Attribute(XFRMA_MTIMER_THRESH, *spec.rare->mapping_max_age);
  }
  PutDirection(builder, spec);
  if (spec.rare->nat_keepalive) builder.Attribute(kAttrNatKeepalive, *spec.rare->nat_keepalive);
}

netlink::Buffer EncodeSa(const SaView& sa, ReplyTo to, DumpPart part, netlink::Buffer behind) {
  MessageBuilder builder({.type = XFRM_MSG_NEWSA,
                          .flags = part == DumpPart::kYes ? uint16_t{NLM_F_MULTI} : uint16_t{0},
                          .seq = to.seq,
                          .pid = to.pid},
                         std::move(behind));
  Zeroed<xfrm_usersa_info> info;
  FillSaInfo(sa, *info);
  builder.PutBytes(info.bytes());
  PutSaAttributes(builder, sa);
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
