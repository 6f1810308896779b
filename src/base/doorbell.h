// Doorbell: wakes a thread that sleeps in poll(), without a system call while it is awake.
#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>

#include "base/check.h"

namespace cygnet {

class Doorbell {
 public:
  Doorbell() : fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CYGNET_CHECK(fd_ >= 0); }
  ~Doorbell() { close(fd_); }
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  int fd() const { return fd_; }

  // Any thread, after it has made work visible.
  void Ring() {
    // Orders the published work before the read of the flag. With Arm's order, one side always sees
    // the other.
    if (sleeping_.load(std::memory_order_seq_cst) &&
        sleeping_.exchange(false, std::memory_order_seq_cst)) {
      (void)eventfd_write(fd_, 1);
    }
  }

  // Sleeping thread: call Arm, look for work once more, then sleep; call Disarm after waking.
  void Arm() { sleeping_.exchange(true, std::memory_order_seq_cst); }
  void Disarm() {
    sleeping_.store(false, std::memory_order_seq_cst);
    eventfd_t value;
    (void)eventfd_read(fd_, &value);
  }

 private:
  const int fd_;
  std::atomic<bool> sleeping_{false};
};

}  // namespace cygnet
