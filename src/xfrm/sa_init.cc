#include "xfrm/sa_init.h"

#include <string_view>

#include "net/ip_protocol.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;

constexpr const char* kCryptoText = "Kernel was unable to initialize cryptographic operations";

// The name ends at its NUL; the last byte of the field is never part of it.
template <typename T>
std::string_view NameOf(const T& algorithm) {
  const std::string_view field(algorithm.alg_name, sizeof(algorithm.alg_name) - 1);
  return field.substr(0, field.find('\0'));
}

// The verify phase has checked that the attribute has this many bytes. No algorithm needs more than
// KeyMaterial can hold.
template <typename T>
Status ReadKey(const AttributeTable& attributes, uint16_t type, const T& algorithm,
               KeyMaterial* key) {
  const std::size_t bytes = (std::size_t{algorithm.alg_key_len} + 7) / 8;
  if (bytes > KeyMaterial::kMaxBytes) return MakeError(Errc::kInvalid, kCryptoText);
  *key = KeyMaterial(attributes.Payload(type).subspan(sizeof(T), bytes));
  return {};
}

Status AttachAead(const AttributeTable& attributes, SaAlgorithm& aead) {
  const auto wire = attributes.Get<AeadHeader>(XFRMA_ALG_AEAD);
  if (!wire) return {};
  const auto* row = FindAlgorithm(AlgorithmKind::kAead, NameOf(*wire));
  if (row == nullptr || wire->alg_icv_len % 8 != 0 || !row->AcceptsIcv(wire->alg_icv_len / 8)) {
    return MakeError(Errc::kNotImplemented, "Requested AEAD algorithm not found");
  }
  aead.descriptor = row;
  CYGNET_RETURN_IF_ERROR(ReadKey(attributes, XFRMA_ALG_AEAD, *wire, &aead.key));
  aead.icv_bits = static_cast<uint16_t>(wire->alg_icv_len);
  return {};
}

// Truncation of XFRMA_ALG_AUTH: for sha256 the 96 bits of old kernels. XFRMA_ALG_AUTH_TRUNC
// requests the standard's 128 bits (RFC 4868).
uint16_t DefaultIcvBits(const AlgorithmDescriptor& row) {
  return static_cast<uint16_t>(row.default_icv_bytes() * 8);
}

Status AttachAuthTruncated(const AttributeTable& attributes, SaAlgorithm& auth) {
  const auto wire = *attributes.Get<AuthHeader>(XFRMA_ALG_AUTH_TRUNC);
  const auto* row = FindAlgorithm(AlgorithmKind::kAuth, NameOf(wire));
  if (row == nullptr) {
    return MakeError(Errc::kNotImplemented, "Requested AUTH_TRUNC algorithm not found");
  }
  const uint32_t bits = wire.alg_trunc_len != 0 ? wire.alg_trunc_len : DefaultIcvBits(*row);
  if (bits % 8 != 0 || !row->AcceptsIcv(bits / 8)) {
    return MakeError(Errc::kInvalid, "Invalid length requested for truncated ICV");
  }
  auth.descriptor = row;
  CYGNET_RETURN_IF_ERROR(ReadKey(attributes, XFRMA_ALG_AUTH_TRUNC, wire, &auth.key));
  auth.icv_bits = static_cast<uint16_t>(bits);
  auth.explicit_truncation = true;
  return {};
}

// ALG_AUTH_TRUNC takes precedence if a client sends both, as charon does when it sends a dump back.
Status AttachAuth(const AttributeTable& attributes, SaAlgorithm& auth) {
  if (attributes.Has(XFRMA_ALG_AUTH_TRUNC)) return AttachAuthTruncated(attributes, auth);
  const auto wire = attributes.Get<AlgorithmHeader>(XFRMA_ALG_AUTH);
  if (!wire) return {};
  const auto* row = FindAlgorithm(AlgorithmKind::kAuth, NameOf(*wire));
  if (row == nullptr) {
    return MakeError(Errc::kNotImplemented, "Requested AUTH algorithm not found");
  }
  auth.descriptor = row;
  CYGNET_RETURN_IF_ERROR(ReadKey(attributes, XFRMA_ALG_AUTH, *wire, &auth.key));
  auth.icv_bits = DefaultIcvBits(*row);
  return {};
}

Status AttachCipher(const AttributeTable& attributes, SaAlgorithm& cipher) {
  const auto wire = attributes.Get<AlgorithmHeader>(XFRMA_ALG_CRYPT);
  if (!wire) return {};
  const auto* row = FindAlgorithm(AlgorithmKind::kCipher, NameOf(*wire));
  if (row == nullptr) {
    return MakeError(Errc::kNotImplemented, "Requested CRYPT algorithm not found");
  }
  cipher.descriptor = row;
  CYGNET_RETURN_IF_ERROR(ReadKey(attributes, XFRMA_ALG_CRYPT, *wire, &cipher.key));
  return {};
}

// IPComp itself is refused later. One known name keeps the kernel's order of errors.
Status CheckCompression(const AttributeTable& attributes) {
  const auto wire = attributes.Get<AlgorithmHeader>(XFRMA_ALG_COMP);
  if (!wire || NameOf(*wire) == "deflate") return {};
  return MakeError(Errc::kNotImplemented, "Requested COMP algorithm not found");
}

bool KeyFits(const SaAlgorithm& algorithm) {
  return algorithm.descriptor == nullptr ||
         algorithm.descriptor->AcceptsKeyMaterial(algorithm.key.size());
}

Status CheckEsp(const SaSpec& spec) {
  if (spec.aead.descriptor == nullptr && spec.pair->cipher.descriptor == nullptr) {
    return MakeError(Errc::kInvalid, "Encryption algorithm must be provided");
  }
  if (!KeyFits(spec.aead) || !KeyFits(spec.pair->cipher) || !KeyFits(spec.pair->auth)) {
    return MakeError(Errc::kInvalid, kCryptoText);
  }
  // Linux accepts such an SA. Forged packets would pass, and ciphertext that attackers can modify
  // reveals its plaintext (RFC 8221 section 4; for the null cipher RFC 4303 section 3.2).
  if (spec.integrity().descriptor == nullptr) {
    return MakeError(Errc::kInvalid,
                     "Encryption without authentication is refused (RFC 8221): add an AUTH "
                     "algorithm or use an AEAD");
  }
  if (spec.encap && spec.encap->type != kEncapEspInUdp) {
    return MakeError(Errc::kInvalid, "Unsupported encapsulation type for ESP");
  }
  return {};
}

Status CheckKeepalive(const SaSpec& spec) {
  if (!spec.rare->nat_keepalive) return {};
  if (spec.direction != SaDirection::kOut) {
    return MakeError(Errc::kInvalid, "NAT keepalive is only supported for outbound SAs");
  }
  if (!spec.encap || spec.encap->type != kEncapEspInUdp) {
    return MakeError(Errc::kInvalid, "NAT keepalive is only supported for UDP encapsulation");
  }
  return {};
}

Status CheckReplay(const SaSpec& spec) {
  const ReplayState& replay = spec.replay;
  if (!replay.extended_form) return {};
  if (replay.window > replay.bitmap.size() * 32) {
    return MakeError(Errc::kInvalid, "ESN replay window is too large for the chosen bitmap size");
  }
  if (spec.esn() && replay.window == 0 && spec.direction != SaDirection::kOut) {
    return MakeError(Errc::kInvalid, "ESN replay window must be > 0");
  }
  return {};
}

}  // namespace

Status AttachAlgorithms(const AttributeTable& attributes, SaSpec& spec) {
  CYGNET_RETURN_IF_ERROR(AttachAead(attributes, spec.aead));
  if (attributes.Has(XFRMA_ALG_AUTH) || attributes.Has(XFRMA_ALG_AUTH_TRUNC) ||
      attributes.Has(XFRMA_ALG_CRYPT)) {
    CYGNET_RETURN_IF_ERROR(AttachAuth(attributes, spec.pair.Change()->auth));
    CYGNET_RETURN_IF_ERROR(AttachCipher(attributes, spec.pair.Change()->cipher));
  }
  return CheckCompression(attributes);
}

Status CheckInit(const SaSpec& spec, uint8_t wire_mode) {
  // Linux accepts this mode for Mobile IPv6 headers; their type is refused below.
  const bool mobile = wire_mode == XFRM_MODE_ROUTEOPTIMIZATION && spec.family == IpFamily::kV6 &&
                      spec.proto != kProtoEsp;
  if (!mobile && wire_mode != XFRM_MODE_TRANSPORT && wire_mode != XFRM_MODE_TUNNEL &&
      wire_mode != XFRM_MODE_BEET) {
    return MakeError(Errc::kProtocolNotSupported, "Requested mode not found");
  }
  // BEET takes the inner addresses from the selector, so its family may differ, as for a tunnel.
  if (wire_mode == XFRM_MODE_TRANSPORT && spec.selector->family != IpFamily::kUnspec &&
      spec.selector->family != spec.family) {
    return MakeError(Errc::kProtocolNotSupported,
                     "Only tunnel modes can accommodate a change of family");
  }
  if (spec.proto != kProtoEsp) {
    return MakeError(Errc::kProtocolNotSupported, "Requested type not found");
  }
  CYGNET_RETURN_IF_ERROR(CheckEsp(spec));
  CYGNET_RETURN_IF_ERROR(CheckKeepalive(spec));
  return CheckReplay(spec);
}

Result<OffloadRequest> DecodeOffload(const xfrm_user_offload& offload, const SaSpec& spec) {
  constexpr unsigned kKnown = XFRM_OFFLOAD_IPV6 | XFRM_OFFLOAD_INBOUND | kOffloadPacket;
  if ((offload.flags & ~kKnown) != 0) {
    return MakeError(Errc::kInvalid, "Unrecognized flags in offload request");
  }
  const bool inbound = (offload.flags & XFRM_OFFLOAD_INBOUND) != 0;
  if (spec.direction == (inbound ? SaDirection::kOut : SaDirection::kIn)) {
    return MakeError(Errc::kInvalid, "Mismatched SA and offload direction");
  }
  if (spec.rare->tfc_pad != 0) return MakeError(Errc::kInvalid, "TFC padding can't be offloaded");
  OffloadRequest request;
  request.mode =
      (offload.flags & kOffloadPacket) != 0 ? OffloadMode::kPacket : OffloadMode::kCrypto;
  request.ifindex = offload.ifindex;
  request.inbound = inbound;
  return request;
}

}  // namespace cygnet::xfrm
