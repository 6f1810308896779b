// Refusals of a child, and of the host in its place.
#pragma once

#include <cygnet/types.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "plugin/isolation/message.h"

namespace cygnet::isolation {

inline void TakeRefusal(Reader* in, cygnet_refusal* refusal) {
  const auto kind = in->Take<uint32_t>();
  const uint8_t* text = in->Bytes(CYGNET_TEXT_BYTES);
  if (text == nullptr) return;
  refusal->kind = kind;
  std::memcpy(refusal->text, text, CYGNET_TEXT_BYTES);
  refusal->text[CYGNET_TEXT_BYTES - 1] = 0;
}

// Returns `answer`.
inline int32_t Refuse(cygnet_refusal* refusal, int32_t answer, const std::string& text) {
  refusal->kind = CYGNET_REFUSED;
  const std::size_t length = std::min<std::size_t>(text.size(), CYGNET_TEXT_BYTES - 1);
  std::memcpy(refusal->text, text.data(), length);
  refusal->text[length] = 0;
  return answer;
}

}  // namespace cygnet::isolation
