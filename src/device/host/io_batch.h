// IoBatch: reads and writes of descriptors, many by one system call (io_uring, decision 0029), in
// the order in which they were added. Where the kernel does not offer it, each is a call of its
// own.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>

struct io_uring;

namespace cygnet {

class IoBatch {
 public:
  static constexpr uint32_t kMost = 64;

  // The calling thread's own, opened by the first call.
  static IoBatch& OfThread();
  IoBatch();
  // Without a ring; for tests.
  struct WithoutRing {};
  explicit IoBatch(WithoutRing);
  ~IoBatch();
  IoBatch(const IoBatch&) = delete;
  IoBatch& operator=(const IoBatch&) = delete;

  // REQUIRES: `fd` does not block; fewer than kMost were added; `parts` (1 to 3) and what they name
  // stay until Run.
  void Read(int fd, std::span<const iovec> parts) { Add(Kind::kRead, fd, parts); }
  void Write(int fd, std::span<const iovec> parts) { Add(Kind::kWrite, fd, parts); }
  // Does all of them. The result of each: its bytes, or an error number, negative. Valid until the
  // next call.
  std::span<const int32_t> Run();

 private:
  enum class Kind : uint8_t { kRead, kWrite };
  struct Operation {
    Kind kind = Kind::kRead;
    int fd = -1;
    std::span<const iovec> parts;
  };
  void Add(Kind kind, int fd, std::span<const iovec> parts) {
    operations_[size_++] = {kind, fd, parts};
  }
  void RunByRing();
  void Prepare(uint32_t i);
  uint32_t Collect();
  void Close();
  static int32_t RunOne(const Operation& operation);

  std::unique_ptr<io_uring> ring_;  // nullptr: none
  bool refused_ = false;
  uint32_t size_ = 0;
  std::array<Operation, kMost> operations_;
  std::array<int32_t, kMost> results_;
};

}  // namespace cygnet
