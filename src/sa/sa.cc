#include "sa/sa.h"

#include <cstring>

#include "base/endian.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint8_t kOuterTtl = 64;  // the route's default hop limit, never the inner packet's

uint8_t WriteOuterHeader(const SaSpec& spec, uint8_t* out) {
  const uint8_t proto = spec.encap.has_value() ? kProtoUdp : kProtoEsp;
  if (spec.family == IpFamily::kV4) {
    out[0] = 0x45;
    out[8] = kOuterTtl;
    out[9] = proto;
    std::memcpy(out + 12, spec.saddr.bytes.data(), 4);
    std::memcpy(out + 16, spec.daddr.bytes.data(), 4);
    return 20;
  }
  out[0] = 0x60;
  out[6] = proto;
  out[7] = kOuterTtl;
  std::memcpy(out + 8, spec.saddr.bytes.data(), 16);
  std::memcpy(out + 24, spec.daddr.bytes.data(), 16);
  return 40;
}

uint8_t WriteHeader(const SaSpec& spec, uint8_t* out) {
  const bool outer = spec.mode == SaMode::kTunnel || spec.mode == SaMode::kBeet;
  uint8_t n = outer ? WriteOuterHeader(spec, out) : uint8_t{0};
  if (spec.encap.has_value()) {
    // Ports and length are set per packet. The checksum is 0 (RFC 3948, section 2.1); over IPv6 it
    // is set after sealing (esp/finish.h).
    n = static_cast<uint8_t>(n + 8);
  }
  StoreBe32(out + n, spec.spi.value);
  return static_cast<uint8_t>(n + 4);
}

// RFC 4303 section 3.3.3: without ESN the counter must not cycle unless the SA allows it. The
// 64-bit counter behind it continues in both cases, so the IV never repeats.
uint64_t SequenceLimit(const SaSpec& spec) {
  const bool wide = spec.esn() || (spec.rare->extra_flags & kSaExtraOseqMayWrap) != 0;
  return wide ? ~uint64_t{0} : uint64_t{0xffffffff};
}

LifetimeUsage StartingUsage(const SaSpec& spec, uint64_t now) {
  if (spec.rare->initial_usage.has_value()) return *spec.rare->initial_usage;
  return {.add_time = now};
}

bool ServesAll(const SaSpec& spec) {
  return spec.selector->SaysNothing() && spec.mark_value == 0 && spec.mark_mask == 0 &&
         !spec.rare->cpu && (spec.flags & kSaFlagWildRecv) == 0 &&
         PacketDeviceOf(spec.offload) == 0;
}

}  // namespace

EspLayout LayoutOf(const SaSpec& spec) {
  EspLayout layout;
  if (const AlgorithmDescriptor* cipher = spec.encryption().descriptor; cipher != nullptr) {
    layout.iv = cipher->iv_bytes;
    layout.align = cipher->block_bytes > 4 ? cipher->block_bytes : uint8_t{4};
    layout.salt = cipher->salt_bytes;
    layout.iv_form = cipher->iv_form;
    layout.iv_in_aad = cipher->iv_in_aad;
    layout.encrypts = cipher->iv_bytes > 0 && !cipher->iv_in_aad;
  }
  layout.icv = static_cast<uint8_t>(spec.integrity().icv_bits / 8);
  layout.udp = spec.encap.has_value() ? 8 : 0;
  return layout;
}

std::array<uint8_t, 4> SaltOf(const SaSpec& spec) {
  std::array<uint8_t, 4> salt{};
  const SaAlgorithm& encryption = spec.encryption();
  if (encryption.descriptor == nullptr) return salt;
  const std::size_t n = encryption.descriptor->salt_bytes;
  const std::span<const uint8_t> key = encryption.key.bytes();
  // The null cipher has no key, and memcpy requires a valid pointer even for zero bytes.
  if (n > 0 && key.size() >= n) {
    std::memcpy(salt.data(), key.data() + key.size() - n, n);
  }
  return salt;
}

bool MayBeOutbound(const SaSpec& spec) {
  if (spec.direction != SaDirection::kUnspec) return spec.direction == SaDirection::kOut;
  return !spec.offload.has_value() || !spec.offload->inbound;
}

bool MayBeInbound(const SaSpec& spec) {
  if (spec.direction != SaDirection::kUnspec) return spec.direction == SaDirection::kIn;
  return !spec.offload.has_value() || spec.offload->inbound;
}

bool LeavesFromNoPort(const SaSpec& spec) {
  return spec.encap && spec.encap->sport == 0 && MayBeOutbound(spec);
}

OutboundSa::OutboundSa(const SaSpec& spec, Sa* owner, uint64_t mask)
    : sa(owner),
      iv_mask(mask),
      salt(SaltOf(spec)),
      tfc_pad(spec.mode == SaMode::kTunnel ? spec.rare->tfc_pad : 0),
      family(spec.family),
      layout(LayoutOf(spec)),
      mode(spec.mode),
      esn(spec.esn()),
      flags(spec.flags),
      copy_dscp((spec.rare->extra_flags & kSaExtraDontEncapDscp) == 0),
      sequence(spec.replay.oseq, SequenceLimit(spec)),
      inner_family(BeetInnerOf(spec).family) {
  header_length = WriteHeader(spec, header.data());
  if (spec.encap.has_value()) {
    udp_ports.store(uint32_t{spec.encap->sport} << 16 | spec.encap->dport,
                    std::memory_order_relaxed);
  }
}

BeetInner BeetInnerOf(const SaSpec& spec) {
  if (spec.mode != SaMode::kBeet) return {};
  const Selector& selector = spec.selector;
  return {.family = selector.family == IpFamily::kUnspec ? spec.family : selector.family,
          .saddr = selector.saddr,
          .daddr = selector.daddr};
}

InboundSa::InboundSa(const SaSpec& spec, Sa* owner)
    : sa(owner),
      layout(LayoutOf(spec)),
      mode(spec.mode),
      esn(spec.esn()),
      flags(spec.flags),
      spi(spec.spi.value),
      salt(SaltOf(spec)),
      peer_port(spec.encap.has_value() ? spec.encap->sport : uint16_t{0}),
      beet(spec.mode == SaMode::kBeet ? Boxed<BeetInner>(BeetInnerOf(spec)) : Boxed<BeetInner>()),
      replay(spec.replay, spec.esn(), spec.replay_at_least()) {}

uint8_t Sa::StateBits(SaState state, const SaSpec& spec) {
  return static_cast<uint8_t>(static_cast<uint8_t>(state) | (ServesAll(spec) ? kServesAll : 0));
}

Sa::Sa(SaSpec spec, uint64_t now, Larval)
    : lifetime_(spec.limits, {.add_time = now}),
      state_(StateBits(SaState::kLarval, spec)),
      spec_(std::move(spec)) {}

Sa::Sa(SaSpec spec, uint64_t now, uint64_t iv_mask)
    : lifetime_(spec.limits, StartingUsage(spec, now)),
      state_(StateBits(SaState::kValid, spec)),
      spec_(std::move(spec)) {
  if (MayBeOutbound(spec_)) outbound_ = std::make_unique<OutboundSa>(spec_, this, iv_mask);
  if (MayBeInbound(spec_)) {
    inbound_ = std::make_unique<InboundSa>(spec_, this);
  }
}

SaId Sa::id() const {
  return {.daddr = spec_.daddr,
          .spi = spec_.spi,
          .proto = spec_.proto,
          .family = spec_.family,
          .mark = spec_.mark_value & spec_.mark_mask};
}

SaStats Sa::stats() const {
  const auto count = [this](DropReason r) { return static_cast<uint32_t>(drops(r)); };
  return {.replay_window = count(DropReason::kInReplayOld) + count(DropReason::kInReplayZero),
          .replay = count(DropReason::kInReplayDuplicate),
          .integrity_failed =
              count(DropReason::kInAuthFailed) + count(DropReason::kInLateBeyondWindow)};
}

ReplayState Sa::ExportReplay() const {
  const uint64_t oseq = outbound_ ? outbound_->sequence.last_sent() : spec_.replay.oseq;
  if (inbound_) return inbound_->replay.Export(oseq);
  ReplayState state = spec_.replay;
  state.oseq = oseq;
  if (!state.extended_form && state.bitmap.empty()) state.bitmap.assign(1, 0);
  return state;
}

void Sa::UpdateLimits(const LifetimeLimits& limits) {
  spec_.limits = limits;
  lifetime_.SetLimits(limits);
  if (state() == SaState::kDying) set_state(SaState::kValid);
}

void Sa::UpdateEncapPorts(const UdpEncap& encap) {
  spec_.encap = encap;
  if (outbound_) {
    outbound_->udp_ports.store(uint32_t{encap.sport} << 16 | encap.dport,
                               std::memory_order_relaxed);
  }
  if (inbound_) inbound_->peer_port.store(encap.sport, std::memory_order_relaxed);
}

void Sa::TakeOver(Sa* from) {
  if (outbound_ && from->outbound_) {
    outbound_->sequence.AdvanceTo(from->outbound_->sequence.Close());
  }
  if (inbound_ && from->inbound_) inbound_->replay.TakeOver(from->inbound_->replay);
  lifetime_.SetUsage(from->lifetime_.usage());
  lifetime_.SetLastUsed(from->lifetime_.last_used());
  lifetime_.SetSoftTimeSignalled(from->lifetime_.soft_time_signalled());
  set_state(from->state());
}

SaAlgorithm SaAlgorithm::Clone() const {
  return {.descriptor = descriptor,
          .key = key.Clone(),
          .icv_bits = icv_bits,
          .explicit_truncation = explicit_truncation};
}

SaPair SaPair::Clone() const {
  SaPair copy;
  if (!empty()) *copy.Change() = {both_->cipher.Clone(), both_->auth.Clone()};
  return copy;
}

SaSpec SaSpec::Clone() const {
  SaSpec copy;
  copy.saddr = saddr;
  copy.daddr = daddr;
  copy.spi = spi;
  copy.family = family;
  copy.proto = proto;
  copy.mode = mode;
  copy.reqid = reqid;
  copy.acquire_seq = acquire_seq;
  copy.flags = flags;
  copy.selector = selector;
  copy.limits = limits;
  copy.replay = replay;
  copy.replay_above = replay_above;
  copy.aead = aead.Clone();
  copy.pair = pair.Clone();
  copy.encap = encap;
  copy.if_id = if_id;
  copy.mark_value = mark_value;
  copy.mark_mask = mark_mask;
  copy.direction = direction;
  copy.offload = offload;
  copy.rare = rare;
  return copy;
}

std::string Describe(const SaSpec& spec) {
  char spi[16];
  std::snprintf(spi, sizeof(spi), "0x%08x", spec.spi.value);
  const char* proto = spec.proto == kProtoEsp ? "esp" : spec.proto == kProtoAh ? "ah" : "comp";
  return "src " + ToString(spec.saddr, spec.family) + " dst " + ToString(spec.daddr, spec.family) +
         " spi " + spi + " proto " + proto;
}

}  // namespace cygnet
