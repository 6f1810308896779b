#include "plugin/isolation/child/engine_queue.h"

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "plugin/isolation/child/control.h"

namespace cygnet::isolation {

constexpr uint32_t kBurst = 64;
// Turns without work before the thread sleeps: some ten microseconds.
constexpr uint32_t kIdleTurns = 1000;
// The longest sleep: the host's watchdog counts turns.
constexpr int kTurnMs = 100;

struct ChildQueue {
  const cygnet_engine* calls;
  void* queue;
  int bell;
  RingView ring;
  void* memory;
  cygnet_crypto_job* jobs;  // one for each slot
  uint32_t* waiting;        // slots that were taken from the ring, not yet by the plug-in
  uint32_t waiting_from, waiting_to;
  uint32_t taken;      // from the ring
  uint32_t completed;  // put into the ring
  uint32_t in_flight;  // at the plug-in
  std::atomic<bool> stop;
  pthread_t thread;
};

namespace {

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void FillJob(ChildQueue* q, uint32_t slot) {
  const JobHeader& from = q->ring.job(slot);
  cygnet_crypto_job& job = q->jobs[slot];
  job.session = reinterpret_cast<void*>(from.session);
  job.cookie = uint64_t{from.generation} << 32 | slot;
  job.text = q->ring.text(slot);
  job.text_length = from.text_length;
  job.aad_length = from.aad_length;
  job.icv = job.text + from.text_length;
  job.auth_begin = job.text - from.front;
  job.esn_high = from.esn_high;
  job.append_esn_high = from.append_esn_high;
  memcpy(job.nonce, from.nonce, sizeof(job.nonce));
  memcpy(job.aad, from.aad, sizeof(job.aad));
}

bool TakeJobs(ChildQueue* q) {
  const uint32_t submitted = q->ring.header().submitted.load(std::memory_order_acquire);
  const uint32_t mask = q->ring.layout().entries - 1;
  for (; q->taken != submitted; ++q->taken) {
    const auto slot =
        static_cast<uint32_t>(q->ring.submission(q->taken).load(std::memory_order_relaxed));
    FillJob(q, slot);
    q->waiting[q->waiting_to++ & mask] = slot;
  }
  return q->waiting_from != q->waiting_to;
}

// True if the plug-in accepted some.
bool SubmitJobs(ChildQueue* q) {
  cygnet_crypto_job* offered[kBurst];
  uint32_t count = 0;
  const uint32_t mask = q->ring.layout().entries - 1;
  while (count < kBurst && q->waiting_from + count != q->waiting_to) {
    offered[count] = &q->jobs[q->waiting[(q->waiting_from + count) & mask]];
    ++count;
  }
  if (count == 0) return false;
  const uint32_t accepted = q->calls->submit(q->queue, offered, count);
  if (accepted > count) Breach("submit() accepted more jobs than it was given");
  q->waiting_from += accepted;
  q->in_flight += accepted;
  return accepted != 0;
}

void WakeHost(ChildQueue* q) {
  std::atomic<uint32_t>& sleeps = q->ring.header().host_sleeps;
  if (sleeps.load() == 0 || sleeps.exchange(0) == 0) return;
  const char byte = 0;
  (void)send(q->bell, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// True if some were finished.
bool PollJobs(ChildQueue* q) {
  if (q->in_flight == 0) return false;
  cygnet_completion done[kBurst];
  const uint32_t n = q->calls->poll(q->queue, done, kBurst);
  if (n > kBurst) Breach("poll() returned more completions than there was room for");
  for (uint32_t i = 0; i < n; ++i) {
    // What does not fit into the word exists on neither side: the host finds it.
    const auto slot = static_cast<uint32_t>(done[i].cookie);
    const Completion completion{.slot = slot > 0xffffff ? 0xffffff : slot,
                                .status = done[i].status > 0xff ? 0xff : done[i].status,
                                .generation = static_cast<uint32_t>(done[i].cookie >> 32)};
    q->ring.completion(q->completed + i).store(Pack(completion), std::memory_order_relaxed);
  }
  if (n == 0) return false;
  q->completed += n;
  q->in_flight -= n < q->in_flight ? n : q->in_flight;
  q->ring.header().completed.store(q->completed);
  WakeHost(q);
  return true;
}

// Sleeps until the host rings or the plug-in has completions. Without wait functions it looks
// again after a short while.
void Sleep(ChildQueue* q) {
  RingHeader& header = q->ring.header();
  const bool busy = q->in_flight != 0 || q->waiting_from != q->waiting_to;
  const bool waits = busy && q->calls->wait_fd != nullptr;
  if (busy && !waits) {
    const timespec shortly{.tv_sec = 0, .tv_nsec = 20000};
    nanosleep(&shortly, nullptr);
    return;
  }
  header.child_sleeps.store(1);
  const bool may_sleep = header.submitted.load() == q->taken && !q->stop.load() &&
                         (!waits || q->calls->prepare_wait(q->queue) == 1);
  if (may_sleep) {
    pollfd wait[] = {{q->bell, POLLIN, 0}, {waits ? q->calls->wait_fd(q->queue) : -1, POLLIN, 0}};
    (void)poll(wait, 2, kTurnMs);
    char bytes[64];
    if (recv(q->bell, bytes, sizeof(bytes), MSG_DONTWAIT) == 0) q->stop.store(true);
  }
  if (waits) q->calls->finish_wait(q->queue);
  header.child_sleeps.store(0);
}

void* Run(void* argument) {
  auto* q = static_cast<ChildQueue*>(argument);
  prctl(PR_SET_NAME, "plugin-queue");
  for (uint32_t idle = 0, turn = 0; !q->stop.load(std::memory_order_relaxed);) {
    q->ring.header().beat.store(++turn, std::memory_order_relaxed);
    bool worked = TakeJobs(q) && SubmitJobs(q);
    worked = PollJobs(q) || worked;
    if (worked) {
      idle = 0;
    } else if (++idle < kIdleTurns) {
      Pause();
    } else {
      Sleep(q);
      idle = kIdleTurns / 2;
    }
  }
  return nullptr;
}

void FreeQueue(ChildQueue* q) {
  if (q->memory != nullptr) munmap(q->memory, q->ring.layout().bytes);
  if (q->bell >= 0) close(q->bell);
  free(q->jobs);
  free(q->waiting);
  free(q);
}

}  // namespace

ChildQueue* StartQueue(const cygnet_engine* calls, void* queue, int fd, uint32_t depth, int bell) {
  const RingLayout layout(depth);
  auto* q = static_cast<ChildQueue*>(calloc(1, sizeof(ChildQueue)));
  if (q == nullptr) return nullptr;
  q->calls = calls;
  q->queue = queue;
  q->bell = bell;
  q->jobs = static_cast<cygnet_crypto_job*>(calloc(depth, sizeof(cygnet_crypto_job)));
  q->waiting = static_cast<uint32_t*>(calloc(layout.entries, sizeof(uint32_t)));
  void* memory = mmap(nullptr, layout.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  q->memory = memory == MAP_FAILED ? nullptr : memory;
  q->ring = RingView(q->memory, layout);
  if (q->memory == nullptr || q->jobs == nullptr || q->waiting == nullptr ||
      pthread_create(&q->thread, nullptr, Run, q) != 0) {
    FreeQueue(q);
    return nullptr;
  }
  return q;
}

void* EndQueue(ChildQueue* q) {
  void* queue = q->queue;
  q->stop.store(true);
  // Wakes the thread: its end then reads the end of the stream.
  shutdown(q->bell, SHUT_RDWR);
  pthread_join(q->thread, nullptr);
  FreeQueue(q);
  return queue;
}

}  // namespace cygnet::isolation
