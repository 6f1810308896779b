// What the kernel's own XFRM holds beside Cygnet.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet::xfrm {

// Numbers of SAs and policies in the kernel, each counted up to kMost.
struct KernelHoldings {
  static constexpr uint32_t kMost = 10'000;
  uint32_t sas = 0;
  uint32_t policies = 0;
  bool any() const { return sas != 0 || policies != 0; }
};

// Counts both by dumps. kNotSupported: the kernel has no XFRM.
Result<KernelHoldings> LookAtKernel();

// A socket of the kernel's XFRM, in these multicast groups. `flags`: of socket(2).
Result<UniqueFd> OpenKernelXfrm(uint32_t groups, int flags);

}  // namespace cygnet::xfrm
