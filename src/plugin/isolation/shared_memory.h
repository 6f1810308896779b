// SharedMemory: memory that the host gives to a child. Its size is sealed: the child cannot cut it
// off under the host's hands.
#pragma once

#include <cstddef>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet::isolation {

class SharedMemory {
 public:
  // `bytes`: of zeros. All pages are there afterwards.
  static Result<SharedMemory> Make(std::size_t bytes);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  void* data() const { return data_; }
  int fd() const { return fd_.get(); }

 private:
  SharedMemory(UniqueFd fd, void* data, std::size_t bytes);
  UniqueFd fd_;
  void* data_;
  std::size_t bytes_;
};

}  // namespace cygnet::isolation
