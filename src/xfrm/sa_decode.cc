#include <algorithm>
#include <cstring>

#include "base/endian.h"
#include "net/ip_protocol.h"
#include "sa/sa.h"
#include "xfrm/protocol.h"
#include "xfrm/sa_init.h"
#include "xfrm/sa_message.h"
#include "xfrm/unsupported.h"
#include "xfrm/verify_sa.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;

void CopyIfPresent(const AttributeTable& attributes, uint16_t type,
                   std::optional<uint32_t> SaRare::*field, SaSpec* spec) {
  spec->rare.Set(field, attributes.Get<uint32_t>(type));
}

// The fixed part, like copy_from_user_state.
SaSpec DecodeInfo(const xfrm_usersa_info& info) {
  SaSpec spec;
  spec.family = static_cast<IpFamily>(info.family);
  spec.saddr = FromWire(info.saddr, spec.family);
  spec.daddr = FromWire(info.id.daddr, spec.family);
  spec.spi = Spi(be32::FromRaw(info.id.spi).value());
  spec.proto = info.id.proto;
  spec.mode = static_cast<SaMode>(info.mode);
  spec.reqid = Reqid(info.reqid);
  spec.acquire_seq = info.seq;
  spec.selector = FromWire(info.sel);
  if (spec.selector->family == IpFamily::kUnspec && (info.flags & kSaFlagAfUnspec) == 0) {
    xfrm_selector selector = info.sel;
    selector.family = info.family;
    spec.selector = FromWire(selector);
  }
  spec.flags = info.flags;
  spec.limits = LimitsFromWire(info.lft);
  return spec;
}

// The attributes that ALLOCSPI and NEWSA share.
void DecodeCommonAttributes(const AttributeTable& attributes, SaSpec& spec) {
  spec.direction = static_cast<SaDirection>(attributes.GetOr<uint8_t>(kAttrSaDir, 0));
  spec.if_id = attributes.GetOr<uint32_t>(XFRMA_IF_ID, 0);
  const Mark mark = MarkOf(attributes);
  spec.mark_value = mark.value;
  spec.mark_mask = mark.mask;
  spec.rare.Set(&SaRare::cpu, attributes.Get<uint32_t>(kAttrSaPcpu));
}

void DecodeSaAttributes(const AttributeTable& attributes, SaSpec& spec) {
  DecodeCommonAttributes(attributes, spec);
  spec.encap = DecodeEncap(attributes);
  spec.rare.Set(&SaRare::extra_flags, attributes.GetOr<uint32_t>(XFRMA_SA_EXTRA_FLAGS, 0));
  spec.rare.Set(&SaRare::tfc_pad, attributes.GetOr<uint32_t>(XFRMA_TFCPAD, 0));
  if (const auto value = attributes.Get<uint32_t>(XFRMA_SET_MARK)) {  // xfrm_smark_init
    spec.rare.Change()->set_mark_value = *value;
    spec.rare.Change()->set_mark_mask = attributes.GetOr(XFRMA_SET_MARK_MASK, ~uint32_t{0});
  }
  if (const auto usage = attributes.Get<xfrm_lifetime_cur>(XFRMA_LTIME_VAL)) {
    spec.rare.Change()->initial_usage = FromWire(*usage);
  }
  CopyIfPresent(attributes, XFRMA_REPLAY_THRESH, &SaRare::replay_max_diff, &spec);
  CopyIfPresent(attributes, XFRMA_ETIMER_THRESH, &SaRare::replay_max_age, &spec);
  CopyIfPresent(attributes, XFRMA_MTIMER_THRESH, &SaRare::mapping_max_age, &spec);
  const auto keepalive = attributes.GetOr<uint32_t>(kAttrNatKeepalive, 0);
  if (keepalive != 0) spec.rare.Change()->nat_keepalive = keepalive;
}

SaId IdOf(const xfrm_address_t& daddr, uint32_t spi, uint8_t proto, uint16_t family,
          const AttributeTable& attributes) {
  SaId id;
  id.mark = MarkKeyOf(attributes);
  id.family = static_cast<IpFamily>(family);
  id.daddr = FromWire(daddr, id.family);
  id.spi = Spi(be32::FromRaw(spi).value());
  id.proto = proto;
  return id;
}

// verify_spi_info
Status CheckSpiRange(uint8_t proto, uint32_t min, uint32_t max) {
  if (!IsIpsecProto(proto)) {
    return MakeError(Errc::kInvalid, "Invalid protocol, must be one of AH, ESP, IPCOMP");
  }
  if (proto == kProtoIpcomp && max >= 0x10000) {
    return MakeError(Errc::kInvalid, "IPCOMP SPI must be <= 65535");
  }
  if (min > max) return MakeError(Errc::kInvalid, "Invalid SPI range: min > max");
  return {};
}

}  // namespace

ReplayState DecodeReplay(const AttributeTable& attributes, uint32_t legacy_window) {
  ReplayState replay;
  if (const auto esn = attributes.Get<ReplayEsnHeader>(XFRMA_REPLAY_ESN_VAL)) {
    replay.extended_form = true;
    replay.oseq = uint64_t{esn->oseq_hi} << 32 | esn->oseq;
    replay.seq = uint64_t{esn->seq_hi} << 32 | esn->seq;
    replay.window = esn->replay_window;
    std::vector<uint32_t> words(esn->bmp_len);
    // The bitmap is either complete or absent; if absent, it starts empty.
    const auto bitmap = attributes.Payload(XFRMA_REPLAY_ESN_VAL).subspan(sizeof(*esn));
    const std::size_t bytes = words.size() * sizeof(uint32_t);
    if (bytes != 0 && bitmap.size() >= bytes) std::memcpy(words.data(), bitmap.data(), bytes);
    replay.bitmap = std::move(words);
    return replay;
  }
  replay.window = std::min(legacy_window, kLegacyReplayWindow);
  if (const auto legacy = attributes.Get<xfrm_replay_state>(XFRMA_REPLAY_VAL)) {
    replay.oseq = legacy->oseq;
    replay.seq = legacy->seq;
    replay.bitmap = {legacy->bitmap};
  }
  return replay;
}

Result<SaSpec> DecodeSa(const Request& request) {
  const auto info = request.Fixed<xfrm_usersa_info>();
  const AttributeTable& attributes = request.attributes;
  CYGNET_RETURN_IF_ERROR(VerifySa(info, attributes));
  SaSpec spec = DecodeInfo(info);
  DecodeSaAttributes(attributes, spec);
  spec.replay = DecodeReplay(attributes, info.replay_window);
  CYGNET_RETURN_IF_ERROR(AttachAlgorithms(attributes, spec));
  if (spec.rare->cpu && !IsPossibleCpu(*spec.rare->cpu)) {
    return MakeError(Errc::kRange, "pCPU number too big");
  }
  CYGNET_RETURN_IF_ERROR(CheckInit(spec, info.mode));
  CYGNET_RETURN_IF_ERROR(RefuseSa(info, attributes));
  if (const auto wire = attributes.Get<xfrm_user_offload>(XFRMA_OFFLOAD_DEV)) {
    const auto offload = DecodeOffload(*wire, spec);
    if (!offload) return offload.error();
    spec.offload = *offload;
  }
  if (LeavesFromNoPort(spec)) return MakeError(Errc::kNotSupported, kNoSourcePort);
  return spec;
}

Result<SaSpec> DecodeLarvalSa(const Request& request) {
  const auto info = request.Fixed<xfrm_usersa_info>();
  if (AddressBits(static_cast<IpFamily>(info.family)) == 0 || info.mode >= kModeMax) {
    return MakeError(Errc::kInvalid);
  }
  SaSpec spec = DecodeInfo(info);
  DecodeCommonAttributes(request.attributes, spec);
  return spec;
}

Result<SaId> DecodeSaId(const Request& request) {
  const auto wire = request.Fixed<xfrm_usersa_id>();
  if (!IsIpsecProto(wire.proto) && wire.proto != kAnyProto) {
    // SAs of the Mobile IPv6 headers are identified by both addresses; they cannot exist here.
    const bool complete = request.attributes.Has(XFRMA_SRCADDR);
    return MakeError(complete ? Errc::kNoSuchProcess : Errc::kInvalid);
  }
  return IdOf(wire.daddr, wire.spi, wire.proto, wire.family, request.attributes);
}

Result<AllocSpi> DecodeAllocSpi(const Request& request) {
  const auto wire = request.Fixed<xfrm_userspi_info>();
  CYGNET_RETURN_IF_ERROR(CheckSpiRange(wire.info.id.proto, wire.min, wire.max));
  // The kernel checks neither mode nor family. Our types cannot represent other values.
  if (wire.info.mode >= kModeMax) return MakeError(Errc::kInvalid, "Unsupported mode");
  AllocSpi result;
  result.spec = DecodeInfo(wire.info);
  if (AddressBits(result.spec.family) == 0) {
    result.spec.saddr = {};  // no family, no address
    result.spec.daddr = {};
  }
  DecodeCommonAttributes(request.attributes, result.spec);
  const std::optional<uint32_t> cpu = result.spec.rare->cpu;
  if (cpu && !IsPossibleCpu(*cpu)) return MakeError(Errc::kInvalid, "pCPU number too big");
  CYGNET_RETURN_IF_ERROR(RefuseSpi(wire.info.id.proto, request.attributes));
  result.min = wire.min;
  result.max = wire.max;
  return result;
}

ExpireSa DecodeExpire(const Request& request) {
  const auto wire = request.Fixed<xfrm_user_expire>();
  const auto& state = wire.state;
  return {
      .id = IdOf(state.id.daddr, state.id.spi, state.id.proto, state.family, request.attributes),
      .hard = wire.hard != 0};
}

uint8_t DecodeFlushSa(const Request& request) { return request.Fixed<xfrm_usersa_flush>().proto; }

bool SaDumpFilter::Matches(const SaSpec& spec) const {
  if (proto != 0 && proto != kAnyProto && proto != spec.proto) return false;
  if (AddressBits(family) != 0 && family != spec.family) return false;
  return PrefixMatches(spec.saddr, saddr, saddr_prefix) &&
         PrefixMatches(spec.daddr, daddr, daddr_prefix);
}

Result<SaDumpFilter> DecodeSaDumpFilter(const AttributeTable& attributes) {
  SaDumpFilter filter;
  filter.proto = attributes.GetOr<uint8_t>(XFRMA_PROTO, 0);
  const auto wire = attributes.Get<xfrm_address_filter>(XFRMA_ADDRESS_FILTER);
  if (!wire) return filter;
  if (wire->splen > 128 || wire->dplen > 128) return MakeError(Errc::kInvalid);
  filter.family = static_cast<IpFamily>(wire->family);
  filter.saddr = FromWire(wire->saddr, IpFamily::kV6);
  filter.daddr = FromWire(wire->daddr, IpFamily::kV6);
  filter.saddr_prefix = wire->splen;
  filter.daddr_prefix = wire->dplen;
  return filter;
}

}  // namespace cygnet::xfrm
