// What can be seen where no cygnetd runs.
#include <fmt/format.h>

#include "cli/doctor_check.h"
#include "cli/doctor_fence.h"
#include "xfrm/kernel/holdings.h"

namespace cygnet {
namespace {

Finding CheckKernel() {
  const auto held = xfrm::LookAtKernel();
  if (!held && held.error().code == Errc::kNotSupported) {
    return {.text = "this kernel has no IPsec (XFRM)"};
  }
  if (!held) {
    return {.level = Level::kUnknown,
            .text = held.error().message,
            .advice = "check with: ip xfrm state; ip xfrm policy"};
  }
  if (!held->any()) return {.text = "empty"};
  return {.level = Level::kNote,
          .text = fmt::format("the kernel's own XFRM holds {} SAs and {} policies: the kernel, not "
                              "Cygnet, is in charge of their traffic",
                              held->sas, held->policies),
          .advice =
              "if Cygnet should be: start cygnetd, start key management with cygnet exec or "
              "its drop-in, then run: ip xfrm state flush; ip xfrm policy flush"};
}

}  // namespace

std::vector<Finding> LookWithoutDaemon() {
  std::vector<Finding> findings;
  for (const Json& row : CheckFences()) findings.push_back(FindingOf(row));
  findings.push_back(CheckKernel());
  findings.back().check = "kernel-xfrm";
  return findings;
}

}  // namespace cygnet
