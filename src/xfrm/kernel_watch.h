// KernelWatch: watches the kernel's own XFRM. A program that configures it next to Cygnet (an IKE
// daemon without the shim, a static program) believes that traffic is protected although the kernel
// never sees it, or makes the kernel handle packets that belong to Cygnet.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "xfrm/kernel/holdings.h"

namespace cygnet::xfrm {

// Control thread.
class KernelWatch {
 public:
  // Joins the groups of SAs and policies. kNotSupported: the kernel has no XFRM.
  static Result<std::unique_ptr<KernelWatch>> Open();

  int fd() const { return fd_.get(); }
  struct Changes {
    uint32_t count = 0;
    std::string last{};  // as text
  };
  // Changes since the last call. Reads a limited number of messages; fd() stays readable if there
  // are more.
  Changes Drain();

 private:
  explicit KernelWatch(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

// A notification as text: "new SA to 192.0.2.2 spi 0x00001000, by a client that calls itself
// process 4711". nullopt: not a change by a client.
std::optional<std::string> DescribeKernelMessage(std::span<const uint8_t> message);

}  // namespace cygnet::xfrm
