#include "xfrm/verify_sa.h"

#include <initializer_list>

#include "base/endian.h"
#include "net/ip_protocol.h"
#include "sa/sa_spec.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;

Error Invalid(const char* text) { return MakeError(Errc::kInvalid, text); }

bool HasAny(const AttributeTable& attributes, std::initializer_list<uint16_t> types) {
  for (const uint16_t type : types) {
    if (attributes.Has(type)) return true;
  }
  return false;
}

SaDirection DirectionOf(const AttributeTable& attributes) {
  return static_cast<SaDirection>(attributes.GetOr<uint8_t>(kAttrSaDir, 0));
}

Status VerifyFamilies(const xfrm_usersa_info& info) {
  const auto family = static_cast<IpFamily>(info.family);
  if (AddressBits(family) == 0) return Invalid("Invalid address family");
  auto selector_family = static_cast<IpFamily>(info.sel.family);
  if (selector_family == IpFamily::kUnspec) {
    if ((info.flags & kSaFlagAfUnspec) != 0) return {};
    selector_family = family;
  }
  if (AddressBits(selector_family) == 0) return Invalid("Invalid address family in selector");
  return CheckPrefixes(info.sel, selector_family);
}

Status VerifyEsp(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  if (attributes.Has(XFRMA_ALG_COMP)) return Invalid("Invalid attribute for ESP: COMP");
  const bool pair = HasAny(attributes, {XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_CRYPT});
  const bool aead = attributes.Has(XFRMA_ALG_AEAD);
  if (!pair && !aead) {
    return Invalid(
        "Missing required attribute for ESP: at least one of AUTH, AUTH_TRUNC, CRYPT, AEAD");
  }
  if (pair && aead) {
    return Invalid(
        "Invalid attribute combination for ESP: AEAD can't be used with AUTH, AUTH_TRUNC, CRYPT");
  }
  if (attributes.Has(XFRMA_TFCPAD) && info.mode != XFRM_MODE_TUNNEL) {
    return Invalid("TFC padding can only be used in tunnel mode");
  }
  if (info.mode != kModeIptfs &&
      HasAny(attributes, {kAttrIptfsDropTime, kAttrIptfsReorderWindow, kAttrIptfsDontFragment,
                          kAttrIptfsInitDelay, kAttrIptfsMaxQueueSize, kAttrIptfsPacketSize})) {
    return Invalid("IP-TFS options can only be used in IP-TFS mode");
  }
  return {};
}

Status VerifyAh(const AttributeTable& attributes) {
  if (!HasAny(attributes, {XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC})) {
    return Invalid("Missing required attribute for AH: AUTH_TRUNC or AUTH");
  }
  if (HasAny(attributes, {XFRMA_ALG_AEAD, XFRMA_ALG_CRYPT, XFRMA_ALG_COMP, XFRMA_TFCPAD})) {
    return Invalid("Invalid attributes for AH: AEAD, CRYPT, COMP, TFCPAD");
  }
  return {};
}

Status VerifyIpcomp(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  if (!attributes.Has(XFRMA_ALG_COMP)) {
    return Invalid("Missing required attribute for COMP: COMP");
  }
  if (HasAny(attributes, {XFRMA_ALG_AEAD, XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_CRYPT,
                          XFRMA_TFCPAD})) {
    return Invalid("Invalid attributes for COMP: AEAD, AUTH, AUTH_TRUNC, CRYPT, TFCPAD");
  }
  if (be32::FromRaw(info.id.spi).value() >= 0x10000) {
    return Invalid("SPI is too large for COMP (must be < 0x10000)");
  }
  return {};
}

Status VerifyMobileIp(const AttributeTable& attributes) {
  if (HasAny(attributes, {XFRMA_ALG_COMP, XFRMA_ALG_AUTH, XFRMA_ALG_AUTH_TRUNC, XFRMA_ALG_AEAD,
                          XFRMA_ALG_CRYPT, XFRMA_ENCAP, XFRMA_SEC_CTX, XFRMA_TFCPAD})) {
    return Invalid("Invalid attributes for DSTOPTS/ROUTING");
  }
  if (!attributes.Has(XFRMA_COADDR)) {
    return Invalid("Missing required COADDR attribute for DSTOPTS/ROUTING");
  }
  return {};
}

Status VerifyProtocol(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  switch (info.id.proto) {
    case kProtoEsp:
      return VerifyEsp(info, attributes);
    case kProtoAh:
      return VerifyAh(attributes);
    case kProtoIpcomp:
      return VerifyIpcomp(info, attributes);
    case kProtoDestOpts:
    case kProtoRouting:
      return VerifyMobileIp(attributes);
    default:
      return Invalid("Unsupported protocol");
  }
}

// The attribute has the number of key bytes in its header. T: the fixed part of the algorithm.
template <typename T>
Status VerifyKeyLength(const AttributeTable& attributes, uint16_t type, const char* text) {
  const auto algorithm = attributes.Get<T>(type);
  if (!algorithm) return {};
  const uint64_t key_bytes = (uint64_t{algorithm->alg_key_len} + 7) / 8;
  return attributes.Payload(type).size() < sizeof(T) + key_bytes ? Status(Invalid(text)) : Status();
}

Status VerifyAlgorithms(const AttributeTable& attributes) {
  constexpr const char* kPairText = "Invalid AUTH/CRYPT/COMP attribute length";
  CYGNET_RETURN_IF_ERROR(
      VerifyKeyLength<AeadHeader>(attributes, XFRMA_ALG_AEAD, "Invalid AEAD attribute length"));
  CYGNET_RETURN_IF_ERROR(VerifyKeyLength<AuthHeader>(attributes, XFRMA_ALG_AUTH_TRUNC,
                                                     "Invalid AUTH_TRUNC attribute length"));
  CYGNET_RETURN_IF_ERROR(VerifyKeyLength<AlgorithmHeader>(attributes, XFRMA_ALG_AUTH, kPairText));
  CYGNET_RETURN_IF_ERROR(VerifyKeyLength<AlgorithmHeader>(attributes, XFRMA_ALG_CRYPT, kPairText));
  return VerifyKeyLength<AlgorithmHeader>(attributes, XFRMA_ALG_COMP, kPairText);
}

Status VerifyReplayDirection(const ReplayEsnHeader& replay, SaDirection direction) {
  if (direction == SaDirection::kOut) {
    if (replay.replay_window != 0) return Invalid("Replay window should be 0 for output SA");
    if (replay.seq != 0 || replay.seq_hi != 0) {
      return Invalid("Replay seq and seq_hi should be 0 for output SA");
    }
    if (replay.bmp_len != 0) return Invalid("Replay bmp_len should 0 for output SA");
  }
  if (direction == SaDirection::kIn && (replay.oseq != 0 || replay.oseq_hi != 0)) {
    return Invalid("Replay oseq and oseq_hi should be 0 for input SA");
  }
  return {};
}

Status VerifyReplay(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  const auto replay = attributes.Get<ReplayEsnHeader>(XFRMA_REPLAY_ESN_VAL);
  if (!replay) {
    return (info.flags & kSaFlagEsn) != 0 ? Status(Invalid("Missing required attribute for ESN"))
                                          : Status();
  }
  if (replay->bmp_len > kMaxReplayWords) return Invalid("ESN bitmap length must be <= 128");
  const std::size_t there = attributes.Payload(XFRMA_REPLAY_ESN_VAL).size();
  const std::size_t full = sizeof(*replay) + std::size_t{replay->bmp_len} * sizeof(uint32_t);
  if (there < full && there != sizeof(*replay)) {
    return Invalid("ESN attribute is too short to fit the full bitmap length");
  }
  if (info.id.proto != kProtoEsp && info.id.proto != kProtoAh) {
    return Invalid("ESN only supported for ESP and AH");
  }
  if (info.replay_window != 0) return Invalid("ESN not compatible with legacy replay_window");
  return VerifyReplayDirection(*replay, DirectionOf(attributes));
}

Status VerifyMode(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  switch (info.mode) {
    case XFRM_MODE_TRANSPORT:
    case XFRM_MODE_TUNNEL:
    case XFRM_MODE_ROUTEOPTIMIZATION:
    case XFRM_MODE_BEET:
      return {};
    case kModeIptfs:
      if (info.id.proto != kProtoEsp) return Invalid("IP-TFS mode only supported with ESP");
      if (DirectionOf(attributes) == SaDirection::kUnspec) {
        return Invalid("IP-TFS mode requires in or out direction attribute");
      }
      return {};
    default:
      return Invalid("Unsupported mode");
  }
}

Status VerifyMappingTimer(const AttributeTable& attributes) {
  if (!attributes.Has(XFRMA_MTIMER_THRESH)) return {};
  if (!attributes.Has(XFRMA_ENCAP)) {
    return Invalid("MTIMER_THRESH attribute can only be set on ENCAP states");
  }
  if (DirectionOf(attributes) == SaDirection::kOut) {
    return Invalid("MTIMER_THRESH attribute should not be set on output SA");
  }
  return {};
}

Status VerifyOutbound(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  if ((info.flags & kSaFlagDecapDscp) != 0) {
    return Invalid("Flag DECAP_DSCP should not be set for output SA");
  }
  if ((info.flags & kSaFlagIcmp) != 0) {
    return Invalid("Flag ICMP should not be set for output SA");
  }
  if ((info.flags & kSaFlagWildRecv) != 0) {
    return Invalid("Flag WILDRECV should not be set for output SA");
  }
  if (info.replay_window != 0) return Invalid("Replay window should be 0 for output SA");
  if (attributes.Has(kAttrIptfsDropTime)) {
    return Invalid("IP-TFS drop time should not be set for output SA");
  }
  if (attributes.Has(kAttrIptfsReorderWindow)) {
    return Invalid("IP-TFS reorder window should not be set for output SA");
  }
  const auto replay = attributes.GetOr<xfrm_replay_state>(XFRMA_REPLAY_VAL, {});
  if (replay.seq != 0 || replay.bitmap != 0) {
    return Invalid("Replay seq and bitmap should be 0 for output SA");
  }
  return {};
}

Status VerifyInbound(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  if ((info.flags & kSaFlagNoPmtuDisc) != 0) {
    return Invalid("Flag NOPMTUDISC should not be set for input SA");
  }
  const auto extra = attributes.GetOr<uint32_t>(XFRMA_SA_EXTRA_FLAGS, 0);
  if ((extra & kSaExtraDontEncapDscp) != 0) {
    return Invalid("Flag DONT_ENCAP_DSCP should not be set for input SA");
  }
  if ((extra & kSaExtraOseqMayWrap) != 0) {
    return Invalid("Flag OSEQ_MAY_WRAP should not be set for input SA");
  }
  if (attributes.Has(kAttrIptfsDontFragment)) {
    return Invalid("IP-TFS don't fragment should not be set for input SA");
  }
  if (attributes.Has(kAttrIptfsInitDelay)) {
    return Invalid("IP-TFS initial delay should not be set for input SA");
  }
  if (attributes.Has(kAttrIptfsMaxQueueSize)) {
    return Invalid("IP-TFS max queue size should not be set for input SA");
  }
  if (attributes.Has(kAttrIptfsPacketSize)) {
    return Invalid("IP-TFS packet size should not be set for input SA");
  }
  return {};
}

Status VerifyDirection(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  switch (DirectionOf(attributes)) {
    case SaDirection::kOut:
      return VerifyOutbound(info, attributes);
    case SaDirection::kIn:
      return VerifyInbound(info, attributes);
    case SaDirection::kUnspec:
      break;
  }
  if (attributes.Has(kAttrSaPcpu)) return Invalid("SA_PCPU only supported with SA_DIR");
  return {};
}

}  // namespace

Status VerifySa(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  CYGNET_RETURN_IF_ERROR(VerifyFamilies(info));
  CYGNET_RETURN_IF_ERROR(VerifyProtocol(info, attributes));
  CYGNET_RETURN_IF_ERROR(VerifyAlgorithms(attributes));
  CYGNET_RETURN_IF_ERROR(CheckSecurityContext(attributes));
  CYGNET_RETURN_IF_ERROR(VerifyReplay(info, attributes));
  CYGNET_RETURN_IF_ERROR(VerifyMode(info, attributes));
  CYGNET_RETURN_IF_ERROR(VerifyMappingTimer(attributes));
  return VerifyDirection(info, attributes);
}

}  // namespace cygnet::xfrm
