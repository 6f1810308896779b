// Control calls of drivers as bytes: what cygnet/driver.h passes by pointers. Structs travel whole,
// without their pointers: a child must not learn where the host's memory is.
#pragma once

#include <cygnet/driver.h>

#include "plugin/isolation/driver_ring.h"
#include "plugin/isolation/engine_message.h"
#include "plugin/isolation/message.h"

namespace cygnet::isolation {

// What one answer has room for: entries of a list, words of a replay window.
inline constexpr uint32_t kMostEntries = 512;
inline constexpr uint32_t kMostWords = 1024;

inline constexpr uint32_t kMaxTemplates = 64;
inline constexpr uint32_t kMaxAlgorithms = 64;

inline void PutSa(Writer* out, const cygnet_sa& sa) {
  cygnet_sa plain = sa;
  plain.aead = plain.cipher = plain.auth = {};
  out->Put(plain);
  PutAlgorithm(out, sa.aead);
  PutAlgorithm(out, sa.cipher);
  PutAlgorithm(out, sa.auth);
}
// Points into the message.
inline cygnet_sa TakeSa(Reader* in) {
  auto sa = in->Take<cygnet_sa>();
  sa.aead = TakeAlgorithm(in);
  sa.cipher = TakeAlgorithm(in);
  sa.auth = TakeAlgorithm(in);
  return sa;
}

inline void PutPolicy(Writer* out, const cygnet_policy& policy) {
  cygnet_policy plain = policy;
  plain.templates = nullptr;
  out->Put(plain);
  for (uint32_t i = 0; i < policy.template_count; ++i) out->Put(policy.templates[i]);
}
// `templates`: kMaxTemplates. Too many are a malformed message.
inline cygnet_policy TakePolicy(Reader* in, cygnet_template* templates) {
  auto policy = in->Take<cygnet_policy>();
  if (policy.template_count > kMaxTemplates) (void)in->Bytes(UINT32_MAX);
  for (uint32_t i = 0; in->ok() && i < policy.template_count; ++i) {
    templates[i] = in->Take<cygnet_template>();
  }
  policy.templates = templates;
  return policy;
}

// The frame of a packet: its description, then its bytes.
inline void PutFrame(Writer* out, const cygnet_packet& packet) {
  cygnet_packet plain = packet;
  plain.buffer = nullptr;
  plain.host = plain.driver = nullptr;
  out->Put(plain);
  out->Bytes(packet.buffer + packet.head, packet.length);
}

// The frame that a packet has after the loopback. False: it does not fit.
inline bool TakeLoopedFrame(Reader* in, cygnet_packet* packet) {
  const auto now = in->Take<cygnet_packet>();
  const uint8_t* frame = in->Bytes(now.length);
  if (frame == nullptr) return false;
  const int64_t head = int64_t{packet->head} + now.head - kHeadroom;
  if (head < 0 || head + now.length > packet->capacity) return false;
  std::memcpy(packet->buffer + head, frame, now.length);
  packet->head = static_cast<uint32_t>(head);
  packet->length = now.length;
  packet->l3_offset = now.l3_offset;
  packet->handle = now.handle;
  packet->esn_high = now.esn_high;
  packet->sa_number = now.sa_number;
  packet->status = now.status;
  return true;
}

}  // namespace cygnet::isolation
