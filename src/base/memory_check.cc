#include "base/memory_check.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cstring>

namespace cygnet {
namespace {

std::string MiB(uint64_t bytes) {
  constexpr uint64_t kMiB = uint64_t{1} << 20;
  return std::to_string((bytes + kMiB - 1) / kMiB) + " MiB";
}

// Names the limit that refused. Without it the operator looks at the machine's memory and finds
// enough.
std::string LimitText() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {};
  return "; the limit of this process's address space (LimitAS=, ulimit -v) is " +
         MiB(limit.rlim_cur);
}

}  // namespace

Status CheckMemory(uint64_t bytes, const std::string& what) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p != MAP_FAILED) {
    (void)munmap(p, bytes);
    return {};
  }
  const std::string why = std::strerror(errno);
  return MakeError(Errc::kNoMemory,
                   what + ": " + MiB(bytes) +
                       " of memory are needed, but this machine cannot provide them (" + why +
                       LimitText() + "): make them smaller");
}

}  // namespace cygnet
