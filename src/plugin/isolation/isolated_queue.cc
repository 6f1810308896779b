#include "plugin/isolation/isolated_queue.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace cygnet::isolation {

IsolatedQueue::IsolatedQueue(ChildProcess* child, SharedMemory memory, const RingLayout& layout,
                             UniqueFd bell)
    : child_(child),
      memory_(std::move(memory)),
      ring_(memory_.data(), layout),
      bell_(std::move(bell)),
      slots_(ring_) {}

int32_t IsolatedQueue::Make(ChildProcess* child, uint32_t number, uint32_t depth,
                            std::unique_ptr<IsolatedQueue>* queue) {
  const RingLayout layout(depth);
  auto memory = SharedMemory::Make(layout.bytes);
  int pair[2];
  if (!memory) return -ENOMEM;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return -errno;
  UniqueFd bell(pair[0]);
  const UniqueFd theirs(pair[1]);
  const int fds[] = {memory->fd(), theirs.get()};
  std::unique_ptr<IsolatedQueue> made(
      new IsolatedQueue(child, *std::move(memory), layout, std::move(bell)));
  const int32_t result = child->Do(
      Call::kQueueCreate,
      [&](Writer* out) {
        out->Put(number);
        out->Put(depth);
      },
      [&](Reader* in) { made->number_in_child_ = in->Take<uint64_t>(); }, fds);
  if (result == 0) {
    child->watchdog()->Add(&made->ring_.header().beat,
                           "its thread of queue " + std::to_string(number));
    *queue = std::move(made);
  } else {
    made->number_in_child_ = 0;
  }
  return result;
}

// A child that does not answer is killed: afterwards it touches no job in any case.
IsolatedQueue::~IsolatedQueue() {
  if (number_in_child_ == 0) return;
  child_->watchdog()->Remove(&ring_.header().beat);
  (void)child_->Do(
      Call::kQueueDestroy, [&](Writer* out) { out->Put(number_in_child_); }, nullptr);
}

// --- Submit ---

uint32_t IsolatedQueue::Submit(cygnet_crypto_job* const* jobs, uint32_t count) {
  if (child_->failed()) return 0;
  uint32_t accepted = 0;
  while (accepted < count && !slots_.full() && JobSlots::Fits(*jobs[accepted])) {
    const uint32_t slot = slots_.Give(jobs[accepted]);
    ring_.submission(submitted_ + accepted).store(slot, std::memory_order_relaxed);
    ++accepted;
  }
  if (accepted == 0) return 0;
  submitted_ += accepted;
  in_flight_.store(in_flight() + accepted, std::memory_order_relaxed);
  ring_.header().submitted.store(submitted_);
  WakeChild();
  return accepted;
}

// The flag is only a hint of the child. Never waits: a child that does not read its bell is awake,
// or loses nothing but its own time.
void IsolatedQueue::WakeChild() {
  std::atomic<uint32_t>& sleeps = ring_.header().child_sleeps;
  if (sleeps.load() == 0 || sleeps.exchange(0) == 0) return;
  const char byte = 0;
  (void)send(bell_.get(), &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// --- Poll ---

uint32_t IsolatedQueue::Poll(cygnet_completion* done, uint32_t room) {
  if (child_->failed()) return HandBack(done, room);
  const uint32_t ready = ring_.header().completed.load(std::memory_order_acquire) - completed_;
  if (ready == 0) return 0;
  if (ready > in_flight()) {
    child_->Fail("it completed more jobs than it was given");
    return HandBack(done, room);
  }
  const uint32_t n = std::min(ready, room);
  for (uint32_t i = 0; i < n; ++i) {
    const Completion completion =
        Unpack(ring_.completion(completed_ + i).load(std::memory_order_relaxed));
    const cygnet_crypto_job* job = slots_.TakeBack(completion);
    if (job == nullptr) {
      child_->Fail("it completed a job twice, one that it never got, or with an unknown status");
      return i + HandBack(done + i, room - i);
    }
    done[i] = {.cookie = job->cookie, .status = completion.status, .reserved = 0};
    in_flight_.store(in_flight() - 1, std::memory_order_relaxed);
  }
  completed_ += n;
  return n;
}

// The host's bytes of a job in flight are untouched, whatever the child did with its copy.
uint32_t IsolatedQueue::HandBack(cygnet_completion* done, uint32_t room) {
  uint32_t n = 0;
  for (; hand_back_ < ring_.layout().depth && n < room; ++hand_back_) {
    const cygnet_crypto_job* job = slots_.Recover(hand_back_);
    if (job == nullptr) continue;
    done[n++] = {.cookie = job->cookie, .status = CYGNET_NOT_DONE, .reserved = 0};
  }
  if (n == 0) return 0;
  in_flight_.store(in_flight() - n, std::memory_order_relaxed);
  // The state is "failed" from now on.
  if (in_flight() == 0) child_->Ring();
  return n;
}

// --- Sleep ---

int32_t IsolatedQueue::PrepareWait() {
  RingHeader& header = ring_.header();
  header.host_sleeps.store(1);
  if (!child_->failed() && header.completed.load() == completed_) return 1;
  header.host_sleeps.store(0);
  return 0;
}

void IsolatedQueue::FinishWait() {
  ring_.header().host_sleeps.store(0);
  char bytes[256];
  (void)recv(bell_.get(), bytes, sizeof(bytes), MSG_DONTWAIT);
}

}  // namespace cygnet::isolation
