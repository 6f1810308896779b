#include "daemon/system/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <thread>

#include "base/check.h"
#include "base/errno_error.h"

namespace cygnet {
Result<std::unique_ptr<Poller>> Poller::Create() {
  const int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) return ErrnoError("epoll_create1");
  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = 0}};
  if (wake_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event) != 0) {
    const Error error = ErrnoError("eventfd");
    close(epoll_fd);
    if (wake_fd >= 0) close(wake_fd);
    return error;
  }
  return std::unique_ptr<Poller>(new Poller(epoll_fd, wake_fd));
}

Poller::~Poller() {
  close(epoll_fd_);
  close(wake_fd_);
}

Status Poller::Add(int fd, uint32_t events, Callback callback) {
  CYGNET_CHECK(!keys_.contains(fd));
  const uint64_t key = next_key_++;
  epoll_event event{.events = events, .data = {.u64 = key}};
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event) != 0) return ErrnoError("epoll_ctl");
  entries_[key] = std::make_shared<Entry>(Entry{events, std::move(callback)});
  keys_[fd] = key;
  return {};
}

Status Poller::Modify(int fd, uint32_t events) {
  const auto key = keys_.find(fd);
  CYGNET_CHECK(key != keys_.end());
  Entry& entry = *entries_.at(key->second);
  if (entry.events == events) return {};
  epoll_event event{.events = events, .data = {.u64 = key->second}};
  if (epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, fd, &event) != 0) return ErrnoError("epoll_ctl");
  entry.events = events;
  return {};
}

void Poller::Remove(int fd) {
  const auto key = keys_.find(fd);
  if (key == keys_.end()) return;
  // Cannot fail for an fd in the set.
  (void)epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, fd, nullptr);
  entries_.erase(key->second);
  keys_.erase(key);
}

void Poller::ExpectMore(std::chrono::microseconds within) {
  static const bool one_cpu = std::thread::hardware_concurrency() == 1;
  if (one_cpu) return;  // nobody else can do anything while this thread looks
  awake_until_ = std::chrono::steady_clock::now() + within;
}

int Poller::Wait(std::span<epoll_event> events, int timeout_ms) {
  const auto wait = [&](int ms) {
    return epoll_wait(epoll_fd_, events.data(), static_cast<int>(events.size()), ms);
  };
  while (timeout_ms != 0 && std::chrono::steady_clock::now() < awake_until_) {
    if (const int ready = wait(0); ready != 0) return ready;
  }
  return wait(timeout_ms);
}

int Poller::RunOnce(int timeout_ms) {
  std::array<epoll_event, 64> events;
  const int ready = Wait(events, timeout_ms);
  int ran = 0;
  for (int i = 0; i < ready; ++i) {
    const epoll_event event = events[static_cast<std::size_t>(i)];
    const uint64_t key = event.data.u64;  // a packed struct: no reference to its member
    uint64_t wakes;
    // Before the posted functions are taken: a wake-up from here on ends the next wait.
    if (key == 0) (void)!read(wake_fd_, &wakes, sizeof(wakes));
    const auto entry = entries_.find(key);
    if (entry == entries_.end()) continue;  // the wake-up, or removed by an earlier callback
    // The callback may remove itself: keep it alive until it returns.
    const std::shared_ptr<Entry> alive = entry->second;
    alive->callback(event.events);
    ++ran;
  }
  return ran + RunPosted();
}

int Poller::RunPosted() {
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (auto& task : tasks) task();
  return static_cast<int>(tasks.size());
}

void Poller::Post(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(task));
  }
  Wake();
}

void Poller::Wake() {
  const uint64_t one = 1;
  // Fails only if the counter is full, and then the loop is awake anyway.
  (void)!write(wake_fd_, &one, sizeof(one));
}

}  // namespace cygnet
