#include "plugin/isolation/isolated_engine.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>

#include "plugin/isolation/engine_message.h"
#include "plugin/isolation/engine_ring.h"
#include "plugin/isolation/isolated_queue.h"
#include "plugin/isolation/refusal.h"

namespace cygnet::isolation {
namespace {

uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

std::string TextOf(const char* text) { return text == nullptr ? std::string() : text; }

// 0 is "no limit".
uint32_t Smaller(uint32_t a, uint32_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

int32_t IsolatedEngine::Open(const std::string& path, const IsolationSettings& settings,
                             const Description& described, const cygnet_host* host,
                             const cygnet_engine_config* config, void** engine,
                             cygnet_refusal* refusal) {
  auto child = ChildProcess::Start(kEngineKind, path, settings);
  if (!child) return Refuse(refusal, -ENODEV, child.error().message);
  const Description& now = (*child)->description();
  if (now.abi != described.abi || now.functions != described.functions) {
    return Refuse(refusal, -ENODEV, "the file has changed since it was loaded: start again");
  }
  std::unique_ptr<IsolatedEngine> opened(new IsolatedEngine(*std::move(child)));
  opened->child_->SetHost(host);
  host->log(host->context, CYGNET_LOG_INFO, opened->child_->Protection().c_str());
  const int32_t result = opened->OpenChild(*config, refusal);
  if (result != 0) return result;
  *engine = opened.release();
  return 0;
}

int32_t IsolatedEngine::OpenChild(const cygnet_engine_config& config, cygnet_refusal* refusal) {
  const auto put = [&](Writer* out) {
    for (const uint32_t value :
         {config.queues, config.queue_depth, config.threads, config.session_limit, config.fips}) {
      out->Put(value);
    }
    PutOptions(out, config.options, config.option_count);
  };
  const int32_t result =
      child_->Do(Call::kOpen, put, [&](Reader* in) { TakeRefusal(in, refusal); });
  if (child_->failed()) return Refuse(refusal, -ENODEV, child_->failure());
  if (result != 0) return result > 0 ? -EPROTO : result;
  queue_depth_ = std::clamp(config.queue_depth, 1u, kMaxDepth);
  ReadFacts();
  return child_->failed() ? Refuse(refusal, -ENODEV, child_->failure()) : 0;
}

// Facts that do not change while the engine is open.
void IsolatedEngine::ReadFacts() {
  const uint32_t functions = child_->description().functions;
  if ((functions & kHasLimits) != 0) {
    (void)child_->Do(Call::kLimits, nullptr,
                     [&](Reader* in) { limits_ = in->Take<cygnet_engine_limits>(); });
  }
  limits_.queue_depth = Smaller(limits_.queue_depth, kMaxDepth);
  limits_.text_bytes = Smaller(limits_.text_bytes, kTextBytes);
  if ((functions & kHasIdentity) == 0) return;
  const auto take = [&](Reader* in) {
    simulated_ = in->Take<uint32_t>();
    model_ = TextOf(in->Text());
    serial_ = TextOf(in->Text());
    version_ = TextOf(in->Text());
  };
  has_identity_ = child_->Do(Call::kIdentity, nullptr, take) == 0;
}

IsolatedEngine::~IsolatedEngine() { child_->SetHost(nullptr); }

// Sessions that are still there end with the child.
void IsolatedEngine::Close() { (void)child_->Do(Call::kClose, nullptr, nullptr); }

int32_t IsolatedEngine::Identity(cygnet_identity* identity) const {
  if (!has_identity_) return -EOPNOTSUPP;
  identity->simulated = simulated_;
  identity->model = model_.c_str();
  identity->serial = serial_.c_str();
  identity->version = version_.c_str();
  return 0;
}

int32_t IsolatedEngine::Limits(cygnet_engine_limits* limits) const {
  const uint32_t size = limits->size;
  std::memcpy(limits, &limits_, std::min<std::size_t>(size, sizeof(limits_)));
  limits->size = size;
  return 0;
}

// "Down" until the jobs of a failed child are handed back: the host takes them from an engine that
// is down, and drops those of one that has failed.
uint32_t IsolatedEngine::State() const {
  if (!child_->failed()) return static_cast<uint32_t>(child_->state());
  if (NowNs() - child_->failed_at_ns() > uint64_t{CYGNET_PATIENCE_MS} * 1'000'000) {
    return CYGNET_ENGINE_FAILED;
  }
  const std::lock_guard lock(lock_);
  const bool busy =
      std::ranges::any_of(queues_, [](const auto* queue) { return queue->in_flight() != 0; });
  return busy ? CYGNET_ENGINE_DOWN : CYGNET_ENGINE_FAILED;
}

int32_t IsolatedEngine::Supports(const cygnet_session_params& params) {
  return child_->Do(
      Call::kSupports, [&](Writer* out) { PutSessionParams(out, params); }, nullptr);
}

int32_t IsolatedEngine::CreateSession(const cygnet_session_params& params, void** session,
                                      cygnet_refusal* refusal) {
  const bool pair = params.auth.name != nullptr;
  IsolatedSession made{.child = 0,
                       .icv_bytes = pair ? params.auth.icv_bytes : params.cipher.icv_bytes,
                       .seal = params.direction == CYGNET_SEAL,
                       .pair = pair};
  if (made.icv_bytes > kIcvBytes) return -EOPNOTSUPP;
  const auto take = [&](Reader* in) {
    made.child = in->Take<uint64_t>();
    TakeRefusal(in, refusal);
  };
  const int32_t result = child_->Do(
      Call::kSessionCreate, [&](Writer* out) { PutSessionParams(out, params); }, take);
  if (result != 0) return result > 0 ? -EPROTO : result;
  {
    const std::lock_guard lock(lock_);
    if (made.child != 0 && sessions_.insert(made.child).second) {
      *session = new IsolatedSession(made);
      return 0;
    }
  }
  child_->Fail(made.child == 0 ? "session_create() returned no session"
                               : "session_create() returned a session that exists");
  return -ENETDOWN;
}

void IsolatedEngine::DestroySession(IsolatedSession* session) {
  (void)child_->Do(
      Call::kSessionDestroy, [&](Writer* out) { out->Put(session->child); }, nullptr);
  const std::lock_guard lock(lock_);
  sessions_.erase(session->child);
  delete session;
}

int32_t IsolatedEngine::CreateQueue(uint32_t number, void** queue) {
  std::unique_ptr<IsolatedQueue> made;
  const int32_t result =
      IsolatedQueue::Make(child_.get(), number, Smaller(queue_depth_, limits_.queue_depth), &made);
  if (result != 0) return result > 0 ? -EPROTO : result;
  const std::lock_guard lock(lock_);
  queues_.insert(made.get());
  *queue = made.release();
  return 0;
}

void IsolatedEngine::DestroyQueue(IsolatedQueue* queue) {
  {
    const std::lock_guard lock(lock_);
    queues_.erase(queue);
  }
  delete queue;
}

}  // namespace cygnet::isolation
