// One-line SAs, templates and policies for tests.
#pragma once

#include <string>
#include <vector>

#include "net/ip_protocol.h"
#include "policy/policy.h"
#include "sa/sa.h"
#include "support/packet_builder.h"

namespace cygnet::test {

inline constexpr uint64_t kTestIvMask = 0x0123456789abcdefu;

inline UdpEncap NatT(uint16_t sport = 4500, uint16_t dport = 4500) {
  UdpEncap encap;
  encap.sport = sport;
  encap.dport = dport;
  return encap;
}

struct SaOptions {
  std::string src = "192.0.2.1";
  std::string dst = "192.0.2.2";
  uint32_t spi = 0x1000;
  SaMode mode = SaMode::kTunnel;
  uint32_t reqid = 1;
  uint8_t flags = 0;
  uint32_t extra_flags = 0;
  uint32_t window = 64;
  uint64_t oseq = 0;
  uint64_t seq = 0;
  std::size_t key_bytes = 16;
  uint8_t icv_bytes = 16;
  LifetimeLimits limits = {};
  std::optional<UdpEncap> encap = {};
  SaDirection direction = SaDirection::kUnspec;
  std::optional<OffloadRequest> offload = {};
  uint32_t tfc_pad = 0;
  // Selector of the SA, as for MakeSelector; empty: any flow. In BEET mode the inner hosts.
  std::string inner_src = {};
  std::string inner_dst = {};
};

// Defined below.
inline Selector MakeSelector(const std::string& src, const std::string& dst, uint8_t proto);

inline SaSpec MakeSpec(const SaOptions& o = {}) {
  SaSpec spec;
  const ParsedAddress src = Addr(o.src);
  const ParsedAddress dst = Addr(o.dst);
  spec.saddr = src.address;
  spec.daddr = dst.address;
  spec.family = dst.family;
  spec.spi = Spi(o.spi);
  spec.proto = kProtoEsp;
  spec.mode = o.mode;
  spec.reqid = Reqid(o.reqid);
  spec.flags = o.flags;
  spec.rare.Set(&SaRare::extra_flags, o.extra_flags);
  spec.limits = o.limits;
  Selector any;
  any.family = dst.family;
  spec.selector = any;
  if (!o.inner_src.empty()) spec.selector = MakeSelector(o.inner_src, o.inner_dst, 0);
  spec.rare.Set(&SaRare::tfc_pad, o.tfc_pad);
  spec.replay.window = o.window;
  spec.replay.oseq = o.oseq;
  spec.replay.seq = o.seq;
  spec.replay.extended_form = o.window > 32 || (o.flags & kSaFlagEsn) != 0;
  spec.replay.bitmap.assign(spec.replay.extended_form ? (o.window + 31) / 32 : 1, 0);
  spec.aead.descriptor = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  const Bytes key = Pattern(o.key_bytes + 4, static_cast<uint8_t>(o.spi));
  spec.aead.key = KeyMaterial(key);
  spec.aead.icv_bits = static_cast<uint16_t>(o.icv_bytes * 8);
  spec.encap = o.encap;
  spec.direction = o.direction;
  spec.offload = o.offload;
  return spec;
}

inline SaPtr MakeSa(const SaOptions& o = {}, uint64_t now = 1000) {
  return MakeSharedSa(MakeSpec(o), now, kTestIvMask);
}

inline Template TemplateFor(const SaOptions& o) {
  Template t;
  const ParsedAddress dst = Addr(o.dst);
  if (o.mode == SaMode::kTunnel || o.mode == SaMode::kBeet) {
    t.daddr = dst.address;
    t.saddr = Ip(o.src);
  }
  t.family = dst.family;
  t.proto = kProtoEsp;
  t.mode = static_cast<uint8_t>(o.mode);
  t.reqid = Reqid(o.reqid);
  return t;
}

// "10.1.0.0/16", or a single address with all of its bits.
inline void ParsePrefix(const std::string& text, IpAddress* address, IpFamily* family,
                        uint8_t* bits) {
  const std::size_t slash = text.find('/');
  const ParsedAddress parsed = Addr(text.substr(0, slash));
  *address = parsed.address;
  *family = parsed.family;
  *bits =
      static_cast<uint8_t>(slash == std::string::npos ? static_cast<int>(AddressBits(parsed.family))
                                                      : std::stoi(text.substr(slash + 1)));
}

inline Selector MakeSelector(const std::string& src, const std::string& dst, uint8_t proto = 0) {
  Selector s;
  ParsePrefix(src, &s.saddr, &s.family, &s.prefixlen_s);
  ParsePrefix(dst, &s.daddr, &s.family, &s.prefixlen_d);
  s.proto = proto;
  return s;
}

inline PolicySpec MakePolicy(PolicyDirection direction, const std::string& src,
                             const std::string& dst, std::vector<Template> templates = {},
                             PolicyAction action = PolicyAction::kAllow, uint32_t priority = 100) {
  PolicySpec spec;
  spec.selector = MakeSelector(src, dst);
  spec.direction = direction;
  spec.action = action;
  spec.priority = priority;
  spec.templates = std::move(templates);
  return spec;
}

}  // namespace cygnet::test
