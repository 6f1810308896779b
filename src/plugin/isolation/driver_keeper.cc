// The keeper of an isolated driver: starts its process again when it has ended.
#include <unistd.h>

#include <ctime>

#include "plugin/isolation/isolated_driver.h"
#include "plugin/isolation/protocol.h"

namespace cygnet::isolation {
namespace {

uint64_t NowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

uint64_t Ns(std::chrono::nanoseconds time) { return static_cast<uint64_t>(time.count()); }

}  // namespace

std::shared_ptr<DriverLife> IsolatedDriver::life() const {
  const std::lock_guard lock(lock_);
  return life_;
}

std::string IsolatedDriver::failure() const {
  const std::lock_guard lock(lock_);
  return life_->child().failure();
}

void IsolatedDriver::Fail(const std::string& why) { life()->child().Fail(why); }

void IsolatedDriver::Restart() {
  {
    const std::lock_guard lock(lock_);
    asked_ = life_->child().failed();
  }
  changed_.notify_all();
}

void IsolatedDriver::EndKeeper() {
  {
    const std::lock_guard lock(lock_);
    ending_ = true;
  }
  changed_.notify_all();
  if (keeper_.joinable()) keeper_.join();
}

void IsolatedDriver::Say(uint32_t level, const std::string& line) const {
  own_host_.log(own_host_.context, level, line.c_str());
}

// The host must have let go of all that the process had: then no handle, key or packet of it can be
// taken for one of the next process.
bool IsolatedDriver::MayStart() const {
  return life_->child().gone() && before_ == nullptr && held_.empty() && unreleased_.empty() &&
         (asked_ || NowNs() >= start_at_ns_);
}

// Each process that ends soon makes the next one wait longer.
void IsolatedDriver::NoteEnd() {
  if (start_at_ns_ != 0) return;
  const IsolationSettings& s = order_.settings;
  const uint64_t end = life_->child().failed_at_ns();
  const bool soon = end - born_ns_ < Ns(s.longest_wait);
  wait_ = soon && wait_.count() != 0 ? std::min(2 * wait_, s.longest_wait) : s.first_wait;
  start_at_ns_ = end + Ns(wait_);
}

void IsolatedDriver::OnRing() {
  const cygnet_host* host = order_.services->host;
  host->ring(host->context);
  { const std::lock_guard lock(lock_); }  // the keeper waits, or has not looked yet
  changed_.notify_all();
}

void IsolatedDriver::Keep() {
  // What changes without a ring: workers leave, the host lets go, the time comes.
  constexpr std::chrono::milliseconds kLook{50};
  std::unique_lock lock(lock_);
  while (!ending_) {
    std::shared_ptr<DriverLife> left;
    if (before_ != nullptr && before_->AllHaveLeft()) left = std::move(before_);
    const bool ended = life_->child().failed();
    if (ended) NoteEnd();
    if (left != nullptr || (ended && MayStart())) {
      lock.unlock();
      if (left == nullptr) Start();
      left.reset();
      lock.lock();
    } else if (ended || before_ != nullptr) {
      changed_.wait_for(lock, kLook);
    } else {
      changed_.wait(lock);
    }
  }
}

void IsolatedDriver::Start() {
  std::unique_ptr<DriverLife> born;
  std::string problem;
  if (BeginAgain(&born, &problem)) {
    TakeOver(std::move(born));
    Say(CYGNET_LOG_WARNING, "its process was started again: the device begins as after a reset");
    own_host_.ring(own_host_.context);
    return;
  }
  const std::lock_guard lock(lock_);
  asked_ = false;
  wait_ = std::min(2 * wait_, order_.settings.longest_wait);
  start_at_ns_ = NowNs() + Ns(wait_);
  Say(CYGNET_LOG_ERROR, "its process does not start again: " + problem + "; the next try is in " +
                            std::to_string(wait_.count()) + " ms");
}

// Two pumps must not use the wire at the same time.
bool IsolatedDriver::BeginAgain(std::unique_ptr<DriverLife>* born, std::string* problem) {
  life()->port().EndPump();
  cygnet_refusal refusal{};
  refusal.size = sizeof(refusal);
  const int32_t result = DriverLife::Begin(order_, born, &refusal);
  if (result != 0) {
    *problem = refusal.text[0] != 0 ? refusal.text : "errno " + std::to_string(-result);
    return false;
  }
  if (!facts().SameAs((*born)->facts())) {
    *problem = "it describes another device than before; restart cygnetd to use that";
    return false;
  }
  uint32_t mirror = 0;
  {
    const std::lock_guard lock(lock_);
    mirror = mirror_;
  }
  if (mirror != 0) {
    (void)(*born)->child().Do(
        Call::kSetMirror, [&](Writer* out) { out->Put(mirror); }, nullptr);
  }
  return true;
}

// `born` becomes the life that all use. Workers follow when they have their packets back.
void IsolatedDriver::TakeOver(std::unique_ptr<DriverLife> born) {
  const std::lock_guard lock(lock_);
  if (life_ != nullptr) {
    resets_ += static_cast<uint32_t>(life_->child().state() >> 32) + 1;
    past_stats_ = Sum(past_stats_, last_stats_);
    ++past_stats_.resets;
    last_stats_ = {};
    policies_.clear();
  }
  before_ = std::move(life_);
  life_ = std::move(born);
  born_ns_ = NowNs();
  start_at_ns_ = 0;
  asked_ = false;
  newest_.store(life_.get(), std::memory_order_release);
  if (before_ == nullptr) return;
  const uint64_t one = 1;
  for (const Seat& seat : seats_) (void)!write(seat.renewed.get(), &one, sizeof(one));
}

}  // namespace cygnet::isolation
