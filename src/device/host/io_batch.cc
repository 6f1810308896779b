#include "device/host/io_batch.h"

#include <liburing.h>

#include <cerrno>

namespace cygnet {
namespace {

constexpr int32_t kNotDone = INT32_MIN;

}  // namespace

IoBatch& IoBatch::OfThread() {
  static thread_local IoBatch batch;
  return batch;
}

// A sandbox or kernel.io_uring_disabled may forbid it.
IoBatch::IoBatch() : ring_(std::make_unique<io_uring>()) {
  if (io_uring_queue_init(kMost, ring_.get(), 0) < 0) ring_.reset();
}

IoBatch::IoBatch(WithoutRing) {}

IoBatch::~IoBatch() { Close(); }

void IoBatch::Close() {
  if (ring_ == nullptr) return;
  io_uring_queue_exit(ring_.get());
  ring_.reset();
}

std::span<const int32_t> IoBatch::Run() {
  const std::span<int32_t> results = std::span(results_).first(size_);
  for (int32_t& result : results) result = kNotDone;
  if (ring_ != nullptr && size_ > 1) RunByRing();
  if (refused_) Close();  // a kernel whose descriptors do not know RWF_NOWAIT: none is done by it
  for (uint32_t i = 0; i < size_; ++i) {
    if (results[i] == kNotDone) results[i] = RunOne(operations_[i]);
  }
  size_ = 0;
  return results;
}

void IoBatch::Prepare(uint32_t i) {
  const Operation& operation = operations_[i];
  io_uring_sqe* entry = io_uring_get_sqe(ring_.get());
  const iovec& first = operation.parts[0];
  const auto parts = static_cast<unsigned>(operation.parts.size());
  const auto bytes = static_cast<unsigned>(first.iov_len);
  if (operation.kind == Kind::kRead && parts == 1) {
    io_uring_prep_read(entry, operation.fd, first.iov_base, bytes, 0);
  } else if (operation.kind == Kind::kRead) {
    io_uring_prep_readv(entry, operation.fd, &first, parts, 0);
  } else if (parts == 1) {
    io_uring_prep_write(entry, operation.fd, first.iov_base, bytes, 0);
  } else {
    io_uring_prep_writev(entry, operation.fd, &first, parts, 0);
  }
  // Without it the kernel would wait for what a descriptor that does not block has not.
  entry->rw_flags = RWF_NOWAIT;
  io_uring_sqe_set_data64(entry, i);
}

uint32_t IoBatch::Collect() {
  uint32_t n = 0;
  for (io_uring_cqe* done = nullptr; io_uring_peek_cqe(ring_.get(), &done) == 0; ++n) {
    const bool refused = done->res == -EOPNOTSUPP;
    refused_ = refused_ || refused;
    results_[io_uring_cqe_get_data64(done)] = refused ? kNotDone : done->res;
    io_uring_cqe_seen(ring_.get(), done);
  }
  return n;
}

// The kernel does each while it takes it, because the descriptors do not block. If the ring fails,
// nothing uses it again, and what it has not taken stays undone.
void IoBatch::RunByRing() {
  for (uint32_t i = 0; i < size_; ++i) Prepare(i);
  uint32_t taken = 0;
  uint32_t done = 0;
  while (done < size_) {
    const int n = io_uring_submit_and_wait(ring_.get(), size_ - done);
    if (n < 0 && n != -EINTR) break;
    if (n > 0) taken += static_cast<uint32_t>(n);
    done += Collect();
  }
  if (done == size_) return;
  while (done < taken) {
    io_uring_cqe* next = nullptr;
    (void)io_uring_wait_cqe(ring_.get(), &next);
    done += Collect();
  }
  Close();
}

int32_t IoBatch::RunOne(const Operation& operation) {
  const auto parts = static_cast<int>(operation.parts.size());
  const ssize_t n = operation.kind == Kind::kRead
                        ? readv(operation.fd, operation.parts.data(), parts)
                        : writev(operation.fd, operation.parts.data(), parts);
  return n < 0 ? -errno : static_cast<int32_t>(n);
}

}  // namespace cygnet
