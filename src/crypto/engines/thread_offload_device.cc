#include "crypto/engines/thread_offload_device.h"

#include <poll.h>
#include <pthread.h>

#include <algorithm>
#include <bit>

namespace cygnet::thread_offload {

Channel::Channel(uint32_t threads, uint32_t depth) {
  for (uint32_t i = 0; i < threads; ++i) {
    lanes.push_back(std::make_unique<Lane>(std::bit_ceil(std::size_t{depth})));
  }
}

Device::Device(const EngineOptions& options, std::unique_ptr<CryptoEngine> inner)
    : depth_(std::clamp<uint32_t>(options.queue_depth, 1, 65536)),
      session_limit_(options.session_limit),
      inner_(std::move(inner)) {
  const uint32_t threads = std::clamp<uint32_t>(options.threads, 1, kMaxCryptoQueues);
  for (uint32_t i = 0; i < threads; ++i) threads_.push_back(std::make_unique<Thread>());
}

void Device::Start() {
  for (uint32_t i = 0; i < threads(); ++i) {
    threads_[i]->thread = std::thread([this, i] { Loop(i); });
    pthread_setname_np(threads_[i]->thread.native_handle(), "cygnet-aside");
  }
}

void Device::Stop() {
  down_.store(true);
  stop_.store(true);
  WakeAll();
  for (const auto& thread : threads_) {
    if (thread->thread.joinable()) thread->thread.join();
  }
}

void Device::SetDown(bool down) {
  if (stop_.load()) return;
  down_.store(down);
  WakeAll();
}

void Device::Stall(bool stalled) {
  stalled_.store(stalled);
  WakeAll();
}

void Device::WakeAll() {
  for (const auto& thread : threads_) thread->bell.Ring();
}

void Device::Attach(std::shared_ptr<Channel> channel) {
  const std::lock_guard lock(mutex_);
  channels_.push_back(std::move(channel));
  generation_.fetch_add(1);
}

void Device::Detach(const Channel* channel) {
  {
    const std::lock_guard lock(mutex_);
    std::erase_if(channels_, [channel](const auto& c) { return c.get() == channel; });
    generation_.fetch_add(1);
  }
  WakeAll();  // drop the reference soon
}

Result<uint32_t> Device::TakeSession() {
  if (down()) return MakeError(Errc::kNetworkDown, "thread_offload: the device is down");
  uint32_t held = sessions_.load(kRelaxed);
  do {
    if (session_limit_ != 0 && held >= session_limit_) {
      return MakeError(Errc::kNoSpace, "thread_offload: the device is at its limit of " +
                                           std::to_string(session_limit_) + " sessions");
    }
  } while (!sessions_.compare_exchange_weak(held, held + 1, kRelaxed));
  return next_thread_.fetch_add(1, kRelaxed) % threads();
}

EngineStats Device::stats() const {
  return {.jobs = finished_.load(kRelaxed),
          .refused = refused_.load(kRelaxed),
          .not_done = not_done_.load(kRelaxed),
          .sessions = sessions_.load(kRelaxed),
          .session_limit = session_limit_,
          .in_flight = in_flight_.load(kRelaxed)};
}

void Device::Loop(uint32_t number) {
  const auto queue = inner_->CreateQueue(0);
  Channels channels;
  uint64_t generation = 0;
  while (!stop_.load()) {
    if (generation != generation_.load()) {
      const std::lock_guard lock(mutex_);
      channels = channels_;
      generation = generation_.load();
    }
    bool served = false;
    for (const auto& channel : channels)
      served = Serve(number, channel.get(), queue.get()) || served;
    if (!served) Sleep(number, channels, generation);
  }
}

// Takes, finishes and returns a few jobs of one queue. False if there was no work.
bool Device::Serve(uint32_t number, Channel* channel, CryptoQueue* queue) {
  if (stalled_.load() && !down()) return false;
  std::array<CryptoJob, kRun> jobs;
  Channel::Lane& lane = *channel->lanes[number];
  const std::size_t n = lane.requests.Pop(jobs);
  if (n == 0) return false;
  const std::span taken(jobs.data(), n);
  if (down()) {
    for (CryptoJob& job : taken) job.status = CryptoStatus::kNotDone;
    not_done_.fetch_add(n, kRelaxed);
  } else {
    Work(taken, queue);
    finished_.fetch_add(n, kRelaxed);
  }
  const std::size_t returned = lane.done.Push(taken);
  CYGNET_CHECK(returned == n);  // the ring holds all jobs that may be in flight
  channel->bell.Ring();
  return true;
}

// Jobs name the device's session; swap in the inner session for the work and restore it after.
void Device::Work(std::span<CryptoJob> jobs, CryptoQueue* queue) {
  std::array<CryptoSession*, kRun> named;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    named[i] = jobs[i].session;
    jobs[i].session = static_cast<const Session*>(jobs[i].session)->inner();
  }
  queue->Submit(jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].session = named[i];
}

bool Device::HasWork(uint32_t number, const Channels& channels, uint64_t generation) const {
  if (stop_.load() || generation != generation_.load()) return true;
  if (stalled_.load() && !down()) return false;
  return std::ranges::any_of(channels, [number](const auto& channel) {
    return !channel->lanes[number]->requests.Empty();
  });
}

void Device::Sleep(uint32_t number, const Channels& channels, uint64_t generation) {
  Doorbell& bell = threads_[number]->bell;
  bell.Arm();
  if (!HasWork(number, channels, generation)) {
    pollfd fd = {bell.fd(), POLLIN, 0};
    (void)poll(&fd, 1, -1);
  }
  bell.Disarm();
}

}  // namespace cygnet::thread_offload
