// Poller: the event loop of a daemon thread. Serves file descriptors (epoll) and functions posted
// from other threads. Only Post and Wake may be called from a thread other than the one in RunOnce.
#pragma once

#include <sys/epoll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"

namespace cygnet {

class Poller {
 public:
  using Callback = std::function<void(uint32_t events)>;

  static Result<std::unique_ptr<Poller>> Create();
  ~Poller();
  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // `events`: EPOLLIN, EPOLLOUT, …, level-triggered. The caller keeps the fd and must remove it
  // before closing it. REQUIRES: not already added.
  Status Add(int fd, uint32_t events, Callback callback);
  // Makes no system call if nothing changes.
  Status Modify(int fd, uint32_t events);
  // Safe in any callback, including the fd's own; its callback does not run afterwards.
  void Remove(int fd);

  // Waits up to timeout_ms (-1: forever), then runs callbacks and posted functions. Returns how
  // many it ran.
  int RunOnce(int timeout_ms);
  // More is expected very soon, of a client in the middle of its requests. The next wait begins
  // with looking for so long without sleeping: waking a CPU from its sleep takes longer than a
  // request.
  void ExpectMore(std::chrono::microseconds within);

  // Any thread: runs `task` in the loop's thread, in the order posted.
  void Post(std::function<void()> task);
  // Any thread: makes a waiting RunOnce return.
  void Wake();

 private:
  struct Entry {
    uint32_t events;
    Callback callback;
  };

  Poller(int epoll_fd, int wake_fd) : epoll_fd_(epoll_fd), wake_fd_(wake_fd) {}
  int Wait(std::span<epoll_event> events, int timeout_ms);
  int RunPosted();

  const int epoll_fd_;
  const int wake_fd_;
  // Keyed by a number that is never reused, so that an event for a removed fd finds nothing even if
  // the fd already names another socket.
  std::unordered_map<uint64_t, std::shared_ptr<Entry>> entries_;
  std::unordered_map<int, uint64_t> keys_;
  uint64_t next_key_ = 1;  // 0 is wake_fd_
  std::chrono::steady_clock::time_point awake_until_{};
  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;  // guarded by mutex_
};

}  // namespace cygnet
