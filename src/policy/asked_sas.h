// AskedSas: numbers what policies ask of the SAD. Workers compare the numbers of two policies
// instead of their templates, which are in other cache lines.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "policy/policy.h"

namespace cygnet {

// Control thread.
class AskedSas {
 public:
  // Policies with equal numbers ask for the same SAs, for packets with the same addresses: their
  // templates, flags, if_id, mark and device of packet offload are equal, and both block or none.
  // Selector, direction and type are not compared. Different numbers say nothing, because only the
  // last few are compared. Never 0.
  uint64_t NumberOf(const PolicySpec& spec);

 private:
  // Many policies for one peer come one after the other, or those of a few peers in turns.
  static constexpr std::size_t kCompared = 8;
  struct Asked {
    uint64_t number = 0;  // 0: empty
    bool blocks = false;
    uint8_t flags = 0;
    uint32_t if_id = 0;
    uint32_t mark_value = 0;
    uint32_t mark_mask = 0;
    int32_t packet_device = 0;
    Templates templates;
    bool IsOf(const PolicySpec& spec) const;
  };
  std::array<Asked, kCompared> asked_;
  uint64_t last_ = 0;
};

}  // namespace cygnet
