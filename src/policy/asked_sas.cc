#include "policy/asked_sas.h"

namespace cygnet {

bool AskedSas::Asked::IsOf(const PolicySpec& spec) const {
  return number != 0 && blocks == spec.blocks() && flags == spec.flags && if_id == spec.if_id &&
         mark_value == spec.mark_value && mark_mask == spec.mark_mask &&
         packet_device == PacketDeviceOf(spec.offload) && templates == spec.templates;
}

uint64_t AskedSas::NumberOf(const PolicySpec& spec) {
  for (const Asked& asked : asked_) {
    if (asked.IsOf(spec)) return asked.number;
  }
  ++last_;
  asked_[last_ % kCompared] = {.number = last_,
                               .blocks = spec.blocks(),
                               .flags = spec.flags,
                               .if_id = spec.if_id,
                               .mark_value = spec.mark_value,
                               .mark_mask = spec.mark_mask,
                               .packet_device = PacketDeviceOf(spec.offload),
                               .templates = spec.templates};
  return last_;
}

}  // namespace cygnet
