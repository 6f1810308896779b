// SAs of every layout, and packets through both halves of esp/, for tests.
#pragma once

#include <gtest/gtest.h>

#include <array>

#include "esp/crypto_jobs.h"
#include "esp/decapsulate.h"
#include "esp/encapsulate.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "support/hex.h"
#include "support/test_sa.h"

namespace cygnet::test {

inline PacketPools& EspPools() {
  static PacketPools pools{64, 2};
  return pools;
}

struct Families {
  const char* name;  // "4-in-6": inner, outer
  const char* inner_src;
  const char* inner_dst;
  const char* outer_src;
  const char* outer_dst;
  bool inner6() const { return name[0] == '6'; }
  bool outer6() const { return name[5] == '6'; }
};
inline constexpr std::array<Families, 4> kFamilies = {{
    {"4-in-4", "10.1.0.1", "10.2.0.1", "192.0.2.1", "192.0.2.2"},
    {"6-in-6", "fd01::1", "fd02::1", "2001:db8::1", "2001:db8::2"},
    {"4-in-6", "10.1.0.1", "10.2.0.1", "2001:db8::1", "2001:db8::2"},
    {"6-in-4", "fd01::1", "fd02::1", "192.0.2.1", "192.0.2.2"},
}};

inline SaOptions OptionsFor(const Families& f, SaMode mode) {
  SaOptions o{.src = f.outer_src, .dst = f.outer_dst, .mode = mode};
  if (mode == SaMode::kBeet) {
    o.inner_src = f.inner_src;
    o.inner_dst = f.inner_dst;
  }
  return o;
}

// Packet layouts of the xfrm algorithms, as test rows, so that every combination is covered
// whatever the algorithm table holds.
struct LayoutCase {
  const char* name;
  AlgorithmDescriptor cipher;
  AlgorithmDescriptor auth;  // paired with a cipher
  uint16_t icv_bits;
  // The values from the RFC and the kernel.
  uint8_t iv;
  uint8_t align;
};

inline AlgorithmDescriptor Row(AlgorithmKind kind, uint8_t salt = 0, uint8_t iv = 0,
                               IvForm form = IvForm::kNone, uint8_t block = 1) {
  AlgorithmDescriptor row{};
  row.kind = kind;
  row.salt_bytes = salt;
  row.iv_bytes = iv;
  row.iv_form = form;
  row.block_bytes = block;
  return row;
}

inline const std::array<LayoutCase, 8>& Layouts() {
  using enum AlgorithmKind;
  using enum IvForm;
  static const std::array<LayoutCase, 8> all = [] {
    const AlgorithmDescriptor gcm = Row(kAead, 4, 8, kCounter);
    const AlgorithmDescriptor none{};
    const AlgorithmDescriptor hmac = Row(kAuth);
    std::array<LayoutCase, 8> rows = {{
        {"GCM, ICV 16", gcm, none, 128, 8, 4},
        {"GCM, ICV 8", gcm, none, 64, 8, 4},
        {"CCM, ICV 12", Row(kAead, 3, 8, kCounter), none, 96, 8, 4},
        {"GMAC", gcm, none, 128, 8, 4},
        {"AES-CBC, HMAC 16", Row(kCipher, 0, 16, kSealed, 16), hmac, 128, 16, 16},
        {"3DES-CBC, HMAC 12", Row(kCipher, 0, 8, kSealed, 8), hmac, 96, 8, 8},
        {"AES-CTR, HMAC of 64 whole bytes", Row(kCipher, 4, 8, kCounter), hmac, 512, 8, 4},
        {"NULL, HMAC 32", Row(kCipher), hmac, 256, 0, 4},
    }};
    rows[3].cipher.iv_in_aad = true;
    return rows;
  }();
  return all;
}

inline SaPtr MakeSaWith(const LayoutCase& layout, const SaOptions& o) {
  SaSpec spec = MakeSpec(o);
  if (layout.cipher.kind == AlgorithmKind::kAead) {
    spec.aead.descriptor = &layout.cipher;
    spec.aead.icv_bits = layout.icv_bits;
  } else {
    spec.pair.Change()->cipher.descriptor = &layout.cipher;
    spec.pair.Change()->cipher.key = std::move(spec.aead.key);
    spec.aead = {};
    spec.pair.Change()->auth.descriptor = &layout.auth;
    spec.pair.Change()->auth.icv_bits = layout.icv_bits;
    spec.pair.Change()->auth.key = KeyMaterial(Pattern(64));
  }
  return MakeSharedSa(std::move(spec), 1000, kTestIvMask);
}

struct EspResult {
  DropReason reason = DropReason::kNone;
  Bytes frame;
  OffloadMeta meta;
};

template <typename Fn>
EspResult BuildEsp(const Bytes& frame, Fn build) {
  Packet* packet = MakePacket(&EspPools(), frame);
  packet->l3_offset = ParseEtherType(frame)->l3_offset;
  const auto view = ParseIpPacket(packet->l3());
  EspResult out;
  out.reason = build(*view, packet);
  out.meta = packet->offload;
  out.frame = ToBytes(packet->bytes());
  FreePacket(packet);
  return out;
}

// By Encapsulate, and again by Encapsulator, which makes the same packet of one SA among many.
inline EspResult EncapsulateFrame(const Sa& sa, const Bytes& frame, uint64_t seq = 1,
                                  uint32_t path_mtu = 1500) {
  const EspResult alone = BuildEsp(frame, [&](const IpPacketView& ip, Packet* packet) {
    return esp::Encapsulate(*sa.outbound(), ip, seq, path_mtu, packet);
  });
  const EspResult among = BuildEsp(frame, [&](const IpPacketView& ip, Packet* packet) {
    return esp::Encapsulator(*sa.outbound(), path_mtu).Build(ip, seq, packet);
  });
  EXPECT_EQ(alone.reason, among.reason);
  if (alone.reason != DropReason::kNone) return alone;
  EXPECT_EQ(ToHex(alone.frame), ToHex(among.frame));
  EXPECT_EQ(alone.meta.esp_offset, among.meta.esp_offset);
  EXPECT_EQ(alone.meta.esn_high, among.meta.esn_high);
  return alone;
}

// Decapsulates `frame`, whose payload is in clear. `headroom`: of the packet's buffer.
inline EspResult DecapsulateFrame(const Sa& sa, const Bytes& frame,
                                  uint32_t headroom = kPacketHeadroom) {
  Packet* packet = MakePacket(&EspPools(), frame);
  packet->l3_offset = ParseEtherType(frame)->l3_offset;
  if (headroom != packet->head) {
    std::memmove(packet->buffer + headroom, packet->data(), packet->length);
    packet->head = headroom;
  }
  const auto view = ParseIpPacket(packet->l3());
  const uint32_t esp_offset = view->header_length + sa.inbound()->layout.udp;
  esp::Trailer trailer;
  EspResult out;
  out.reason = esp::ReadTrailer(*sa.inbound(), *packet, esp_offset, &trailer);
  if (out.reason == DropReason::kNone) {
    out.reason = esp::Decapsulate(*sa.inbound(), *view, esp_offset, trailer, packet);
  }
  out.frame = ToBytes(packet->bytes());
  FreePacket(packet);
  return out;
}

}  // namespace cygnet::test
