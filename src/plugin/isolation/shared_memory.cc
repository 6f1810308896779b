#include "plugin/isolation/shared_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <utility>

#include "base/errno_error.h"

namespace cygnet::isolation {

SharedMemory::SharedMemory(UniqueFd fd, void* data, std::size_t bytes)
    : fd_(std::move(fd)), data_(data), bytes_(bytes) {}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

Result<SharedMemory> SharedMemory::Make(std::size_t bytes) {
  UniqueFd fd(memfd_create("cygnet-plugin", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid() || ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoError("shared memory for a plug-in cannot be made");
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), 0);
  if (data == MAP_FAILED) return ErrnoError("shared memory for a plug-in cannot be mapped");
  // A core dump of the daemon does not need the packets.
  (void)madvise(data, bytes, MADV_DONTDUMP);
  return SharedMemory(std::move(fd), data, bytes);
}

}  // namespace cygnet::isolation
