// KernelWatch: looks at the kernel's own XFRM. Whoever programs that beside Cygnet (an IKE daemon
// without the shim, a static program) believes to have protected traffic that the kernel never
// sees, or has the kernel take packets that are Cygnet's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet::xfrm {

// What the kernel holds; each is counted up to kMost.
struct KernelHoldings {
  static constexpr uint32_t kMost = 10'000;
  uint32_t sas = 0;
  uint32_t policies = 0;
  bool any() const { return sas != 0 || policies != 0; }
};

// A dump of both. kNotSupported: the kernel has no XFRM.
Result<KernelHoldings> LookAtKernel();

// Control thread.
class KernelWatch {
 public:
  // Joins the groups of SAs and policies. kNotSupported: the kernel has no XFRM.
  static Result<std::unique_ptr<KernelWatch>> Open();

  int fd() const { return fd_.get(); }
  struct Changes {
    uint32_t count = 0;
    std::string last{};  // in words
  };
  // What has been told since. Some messages at a time; fd() stays readable while there are more.
  Changes Drain();

 private:
  explicit KernelWatch(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// One notification in words: "new SA to 192.0.2.2 spi 0x00001000, by what calls itself process
// 4711". nullopt: none that says somebody programs the kernel.
std::optional<std::string> DescribeKernelMessage(std::span<const uint8_t> message);

}  // namespace cygnet::xfrm
