#include "crypto/engines/thread_offload.h"

#include <algorithm>

#include "crypto/engines/thread_offload_device.h"

namespace cygnet {
namespace {

using thread_offload::Channel;
using thread_offload::Device;
using thread_offload::Session;

class ThreadOffloadQueue final : public CryptoQueue {
 public:
  explicit ThreadOffloadQueue(std::shared_ptr<Device> device)
      : device_(std::move(device)),
        channel_(std::make_shared<Channel>(device_->threads(), device_->depth())) {
    device_->Attach(channel_);
  }
  ~ThreadOffloadQueue() override {
    device_->Detach(channel_.get());
    device_->CountReturned(in_flight_);
  }

  std::size_t Submit(std::span<CryptoJob> jobs) override {
    const std::size_t room = device_->down() ? 0 : device_->depth() - in_flight_;
    const std::size_t n = std::min(jobs.size(), room);
    device_->CountTaken(n);
    uint32_t touched = 0;  // one bit per device thread
    for (CryptoJob& job : jobs.first(n)) {
      const uint32_t thread = static_cast<const Session*>(job.session)->thread();
      job.status = CryptoStatus::kPending;
      channel_->lanes[thread]->requests.Push({&job, 1});  // there is room: n was limited to it
      touched |= 1u << thread;
    }
    in_flight_ += n;
    for (uint32_t thread = 0; touched != 0; ++thread, touched >>= 1) {
      if ((touched & 1) != 0) device_->WakeThread(thread);
    }
    if (n < jobs.size()) device_->CountRefused(jobs.size() - n);
    return n;
  }

  std::size_t Poll(std::span<CryptoJob> done) override {
    std::size_t n = 0;
    for (std::size_t i = 0; i < channel_->lanes.size() && n < done.size(); ++i) {
      n += channel_->lanes[first_lane_]->done.Pop(done.subspan(n));
      first_lane_ = (first_lane_ + 1) % channel_->lanes.size();  // so that none always comes last
    }
    in_flight_ -= n;
    device_->CountReturned(n);
    return n;
  }

  int wait_fd() const override { return channel_->bell.fd(); }
  bool PrepareWait() override {
    channel_->bell.Arm();
    return std::ranges::all_of(channel_->lanes,
                               [](const auto& lane) { return lane->done.Empty(); });
  }
  void FinishWait() override { channel_->bell.Disarm(); }

 private:
  const std::shared_ptr<Device> device_;
  const std::shared_ptr<Channel> channel_;
  std::size_t in_flight_ = 0;
  std::size_t first_lane_ = 0;
};

std::unique_ptr<CryptoEngine> InnerEngine(const EngineOptions& options) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return info->create({.fips = options.fips});
  }
  return nullptr;
}

}  // namespace

ThreadOffloadEngine::ThreadOffloadEngine(const EngineOptions& options)
    : device_(std::make_shared<Device>(options, InnerEngine(options))) {
  device_->Start();
}

ThreadOffloadEngine::~ThreadOffloadEngine() { device_->Stop(); }

bool ThreadOffloadEngine::Supports(const AlgorithmDescriptor& cipher,
                                   const AlgorithmDescriptor* auth) const {
  return device_->inner()->Supports(cipher, auth);
}

Result<std::unique_ptr<CryptoSession>> ThreadOffloadEngine::CreateSession(
    const SessionParams& params) {
  CYGNET_RETURN_IF_ERROR(CheckSessionParams(*this, params));
  const auto thread = device_->TakeSession();
  if (!thread.has_value()) return thread.error();
  SessionParams inner_params = params;
  inner_params.queues = 1;  // only the session's own device thread uses it
  auto inner = device_->inner()->CreateSession(inner_params);
  if (!inner.has_value()) {
    device_->GiveSession();
    return inner.error();
  }
  return std::unique_ptr<CryptoSession>(
      std::make_unique<Session>(device_, *std::move(inner), *thread));
}

std::unique_ptr<CryptoQueue> ThreadOffloadEngine::CreateQueue(uint32_t number) {
  (void)number;
  return std::make_unique<ThreadOffloadQueue>(device_);
}

ModuleIdentity ThreadOffloadEngine::identity() const {
  const ModuleIdentity inner = device_->inner()->identity();
  return {.model = "thread_offload",
          .version = std::string(CYGNET_VERSION) + " with " + Text(inner),
          .advice = inner.advice};
}

EngineStats ThreadOffloadEngine::stats() const { return device_->stats(); }
void ThreadOffloadEngine::SetDown(bool down) { device_->SetDown(down); }
void ThreadOffloadEngine::Stall(bool stalled) { device_->Stall(stalled); }

extern const EngineInfo kThreadOffloadEngine;
const EngineInfo kThreadOffloadEngine = {
    .name = "thread_offload",
    .help = "look-aside device made of threads, for tests; can fail on command",
    .kind = EngineKind::kLookAside,
    .probe = [] { return 1; },
    .create = [](const EngineOptions& options) -> std::unique_ptr<CryptoEngine> {
      return std::make_unique<ThreadOffloadEngine>(options);
    },
    .version = [] { return std::string(CYGNET_VERSION); },
};

}  // namespace cygnet
