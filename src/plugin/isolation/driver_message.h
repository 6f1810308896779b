// Control calls of drivers as bytes: what cygnet/driver.h passes by pointers. Structs travel whole,
// without their pointers: a child must not learn where the host's memory is.
#pragma once

#include <cygnet/driver.h>

#include "plugin/isolation/engine_message.h"
#include "plugin/isolation/message.h"

namespace cygnet::isolation {

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

}  // namespace cygnet::isolation
