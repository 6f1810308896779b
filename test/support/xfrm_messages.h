// Builds XFRM requests as a client does. For tests and fuzz corpora only.
#pragma once

#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "base/endian.h"
#include "netlink/builder.h"
#include "netlink/message.h"
#include "xfrm/message_type.h"
#include "xfrm/protocol.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm::testing {

using Bytes = std::vector<uint8_t>;

class Message {
 public:
  explicit Message(RequestType type, uint16_t flags = NLM_F_REQUEST | NLM_F_ACK, uint32_t seq = 1,
                   uint32_t pid = 0)
      : builder_({static_cast<uint16_t>(type), flags, seq, pid}) {}
  template <typename T>
  Message& Put(const T& fixed) {
    builder_.Put(fixed);
    return *this;
  }
  template <typename T>
  Message& Put(const Zeroed<T>& fixed) {
    builder_.PutBytes(fixed.bytes());
    return *this;
  }
  template <typename T>
  Message& Attr(uint16_t type, const T& value) {
    builder_.Attribute(type, value);
    return *this;
  }
  Message& AttrBytes(uint16_t type, std::span<const uint8_t> value) {
    builder_.AttributeBytes(type, value);
    return *this;
  }
  netlink::Buffer Finish() { return std::move(builder_).Finish(); }

 private:
  netlink::MessageBuilder builder_;
};

inline xfrm_address_t Address(std::string_view text) {
  return ToWire(ParseAddress(text).value().address);
}

inline xfrm_lifetime_cfg Unlimited() { return ToWire(LifetimeLimits{}); }

// ESP, transport mode, 10.0.0.1 → 10.0.0.2, SPI 0x100.
inline Zeroed<xfrm_usersa_info> SaInfo(uint32_t spi = 0x100) {
  Zeroed<xfrm_usersa_info> info;
  info->id.daddr = Address("10.0.0.2");
  info->id.spi = be32(spi).raw();
  info->id.proto = 50;
  info->saddr = Address("10.0.0.1");
  info->lft = Unlimited();
  info->family = 2;
  return info;
}

inline Zeroed<xfrm_usersa_id> SaKey(uint32_t spi = 0x100) {
  Zeroed<xfrm_usersa_id> id;
  id->daddr = Address("10.0.0.2");
  id->spi = be32(spi).raw();
  id->family = 2;
  id->proto = 50;
  return id;
}

inline Zeroed<xfrm_userspi_info> SpiInfo(uint32_t min, uint32_t max) {
  Zeroed<xfrm_userspi_info> wire;
  wire->info = *SaInfo(0);
  wire->info.mode = XFRM_MODE_TUNNEL;
  wire->min = min;
  wire->max = max;
  return wire;
}

inline Bytes Aead(std::string_view name, std::size_t key_bytes, uint32_t icv_bits) {
  AeadHeader header{};
  std::memcpy(header.alg_name, name.data(), name.size());
  header.alg_key_len = static_cast<uint32_t>(key_bytes * 8);
  header.alg_icv_len = icv_bits;
  Bytes bytes(sizeof(header) + key_bytes, 'k');
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}
// XFRMA_ALG_AUTH or XFRMA_ALG_CRYPT.
inline Bytes Algorithm(std::string_view name, std::size_t key_bytes) {
  AlgorithmHeader header{};
  std::memcpy(header.alg_name, name.data(), name.size());
  header.alg_key_len = static_cast<uint32_t>(key_bytes * 8);
  Bytes bytes(sizeof(header) + key_bytes, 'k');
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}
inline Bytes AuthTrunc(std::string_view name, std::size_t key_bytes, uint32_t icv_bits) {
  AuthHeader header{};
  std::memcpy(header.alg_name, name.data(), name.size());
  header.alg_key_len = static_cast<uint32_t>(key_bytes * 8);
  header.alg_trunc_len = icv_bits;
  Bytes bytes(sizeof(header) + key_bytes, 'k');
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}
inline Bytes Gcm() { return Aead("rfc4106(gcm(aes))", 20, 128); }

inline Bytes Esn(uint32_t words, uint32_t window, uint64_t seq = 0, uint64_t oseq = 0) {
  const ReplayEsnHeader header{.bmp_len = words,
                               .oseq = static_cast<uint32_t>(oseq),
                               .seq = static_cast<uint32_t>(seq),
                               .oseq_hi = static_cast<uint32_t>(oseq >> 32),
                               .seq_hi = static_cast<uint32_t>(seq >> 32),
                               .replay_window = window};
  Bytes bytes(sizeof(header) + words * sizeof(uint32_t), 0);
  std::memcpy(bytes.data(), &header, sizeof(header));
  return bytes;
}

inline Zeroed<xfrm_selector> NetworkSelector(std::string_view src = "10.1.0.0",
                                             std::string_view dst = "10.2.0.0") {
  Zeroed<xfrm_selector> selector;
  selector->saddr = Address(src);
  selector->daddr = Address(dst);
  selector->prefixlen_s = 24;
  selector->prefixlen_d = 24;
  selector->family = 2;
  return selector;
}

inline Zeroed<xfrm_userpolicy_info> PolicyInfo() {
  Zeroed<xfrm_userpolicy_info> info;
  info->sel = *NetworkSelector();
  info->lft = Unlimited();
  info->dir = XFRM_POLICY_OUT;
  return info;
}

inline Zeroed<xfrm_userpolicy_id> PolicyKey() {
  Zeroed<xfrm_userpolicy_id> id;
  id->sel = *NetworkSelector();
  id->dir = XFRM_POLICY_OUT;
  return id;
}

inline Zeroed<xfrm_user_tmpl> TunnelTemplate() {
  Zeroed<xfrm_user_tmpl> wire;
  wire->id.daddr = Address("10.0.0.2");
  wire->id.proto = 50;
  wire->family = 2;
  wire->saddr = Address("10.0.0.1");
  wire->reqid = 1;
  wire->mode = XFRM_MODE_TUNNEL;
  wire->aalgos = wire->ealgos = wire->calgos = ~uint32_t{0};
  return wire;
}

// NEWSA with AES-GCM, ready to send or to extend with attributes.
inline Message NewSa(uint32_t spi, uint32_t seq = 1, uint32_t pid = 0) {
  Message message(RequestType::kNewSa, NLM_F_REQUEST | NLM_F_ACK, seq, pid);
  message.Put(SaInfo(spi)).AttrBytes(XFRMA_ALG_AEAD, Gcm());
  return message;
}

inline Message NewOffloadedSa(uint32_t spi, int32_t ifindex, uint8_t flags = 0) {
  Zeroed<xfrm_user_offload> offload;
  offload->ifindex = ifindex;
  offload->flags = flags;
  Message message = NewSa(spi);
  message.AttrBytes(XFRMA_OFFLOAD_DEV, offload.bytes());
  return message;
}

// A view of the message in a buffer that holds one.
inline netlink::MessageView View(const netlink::Buffer& buffer) {
  std::span<const uint8_t> rest(buffer);
  return netlink::NextMessage(rest).value();
}

}  // namespace cygnet::xfrm::testing
