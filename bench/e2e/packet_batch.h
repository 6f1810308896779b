// A batch of packets with fixed buffers for sendmmsg and recvmmsg. With UDP sockets the buffers are
// payloads; with packet sockets they begin with Ethernet, IPv4 and UDP headers.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace cygnet::bench {

constexpr uint32_t kBatch = 32;

struct Stamp {
  uint64_t run;  // distinguishes late packets of an earlier run
  uint64_t number;
  uint64_t sent_at;
};

class PacketBatch {
 public:
  // `headers` stand before each stamp; empty for UDP sockets.
  PacketBatch(uint32_t bytes, std::span<const uint8_t> headers)
      : stamp_at_(headers.size()), bytes_(kBatch * bytes), iov_(kBatch), messages_(kBatch) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      iov_[i] = {.iov_base = bytes_.data() + i * bytes, .iov_len = bytes};
      std::memcpy(iov_[i].iov_base, headers.data(), headers.size());
      messages_[i] = {};
      messages_[i].msg_hdr.msg_iov = &iov_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  uint8_t* packet(uint32_t i) { return static_cast<uint8_t*>(iov_[i].iov_base); }
  // `payload`: bytes of UDP payload.
  void SetPayload(uint32_t i, uint32_t payload) { iov_[i].iov_len = stamp_at_ + payload; }
  void Write(uint32_t i, const Stamp& stamp) {
    std::memcpy(packet(i) + stamp_at_, &stamp, sizeof(stamp));
  }
  bool HasStamp(uint32_t i) const { return payload(i) >= sizeof(Stamp); }
  Stamp Read(uint32_t i) const {
    Stamp stamp;
    std::memcpy(&stamp, static_cast<const uint8_t*>(iov_[i].iov_base) + stamp_at_, sizeof(stamp));
    return stamp;
  }
  // Bytes of the UDP payload that arrived.
  std::size_t payload(uint32_t i) const {
    return messages_[i].msg_len < stamp_at_ ? 0 : messages_[i].msg_len - stamp_at_;
  }
  mmsghdr* data() { return messages_.data(); }

 private:
  const std::size_t stamp_at_;
  std::vector<uint8_t> bytes_;
  std::vector<iovec> iov_;
  std::vector<mmsghdr> messages_;
};

}  // namespace cygnet::bench
