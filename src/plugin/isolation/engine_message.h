// Control calls of engines as bytes: what cygnet/engine.h passes by pointers.
#pragma once

#include <cygnet/engine.h>

#include "plugin/isolation/message.h"

namespace cygnet::isolation {

inline void PutAlgorithm(Writer* out, const cygnet_algorithm& a) {
  out->Text(a.name);
  out->Put(a.salt_bytes);
  out->Put(a.iv_bytes);
  out->Put(a.icv_bytes);
  out->Put(a.key.length);
  out->Put(uint32_t{a.key.data != nullptr});
  if (a.key.data != nullptr) out->Bytes(a.key.data, a.key.length);
}

// Points into the message.
inline cygnet_algorithm TakeAlgorithm(Reader* in) {
  cygnet_algorithm a{};
  a.name = in->Text();
  a.salt_bytes = in->Take<uint32_t>();
  a.iv_bytes = in->Take<uint32_t>();
  a.icv_bytes = in->Take<uint32_t>();
  a.key.length = in->Take<uint32_t>();
  if (in->Take<uint32_t>() != 0) a.key.data = in->Bytes(a.key.length);
  return a;
}

inline void PutSessionParams(Writer* out, const cygnet_session_params& p) {
  out->Put(p.direction);
  out->Put(p.queues);
  PutAlgorithm(out, p.cipher);
  PutAlgorithm(out, p.auth);
}

inline cygnet_session_params TakeSessionParams(Reader* in) {
  cygnet_session_params p{};
  p.size = sizeof(p);
  p.direction = in->Take<uint32_t>();
  p.queues = in->Take<uint32_t>();
  p.cipher = TakeAlgorithm(in);
  p.auth = TakeAlgorithm(in);
  return p;
}

// Options: a count, then key and value of each.
inline void PutOptions(Writer* out, const cygnet_option* options, uint32_t count) {
  out->Put(count);
  for (uint32_t i = 0; i < count; ++i) {
    out->Text(options[i].key);
    out->Text(options[i].value);
  }
}

}  // namespace cygnet::isolation
