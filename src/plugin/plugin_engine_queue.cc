#include "plugin/plugin_engine_queue.h"

#include <algorithm>
#include <ctime>

namespace cygnet::plugin_engine {
namespace {

uint64_t CoarseNowNs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

Queue::Queue(std::shared_ptr<Module> module, uint32_t number)
    : module_(std::move(module)),
      calls_(module_->calls()),
      depth_(module_->queue_depth()),
      slots_(std::make_unique<Slot[]>(depth_)),
      queue_(module_->CreateQueue(number)) {
  free_.reserve(depth_);
  for (uint32_t place = depth_; place > 0; --place) free_.push_back(place - 1);
}

Queue::~Queue() {
  if (queue_ != nullptr) module_->DestroyQueue(queue_);
  module_->CountReturned(depth_ - free_.size());
}

// --- Submit ---

std::size_t Queue::Submit(std::span<CryptoJob> jobs) {
  std::size_t taken = 0;
  while (taken < jobs.size() && queue_ != nullptr && !module_->failed()) {
    const std::size_t wanted = std::min(jobs.size() - taken, kBurst);
    const uint32_t accepted = Burst(jobs.subspan(taken, wanted));
    taken += accepted;
    if (accepted < wanted) break;
  }
  if (taken < jobs.size()) module_->CountRefused(jobs.size() - taken);
  return taken;
}

// REQUIRES: at most kBurst jobs.
uint32_t Queue::Burst(std::span<CryptoJob> jobs) {
  std::array<cygnet_crypto_job*, kBurst> offered;
  uint32_t count = 0;
  const std::size_t room = std::min(jobs.size(), free_.size());
  while (count < room && jobs[count].text_length <= module_->text_bytes()) {
    const uint32_t place = free_[free_.size() - 1 - count];
    Fill(place, jobs[count]);
    offered[count++] = &slots_[place].job;
  }
  if (count == 0) return 0;
  const uint32_t answer = calls_.submit(queue_, offered.data(), count);
  const uint32_t accepted = std::min(answer, count);
  for (uint32_t i = 0; i < accepted; ++i) {
    slots_[free_.back()].in_flight = true;
    free_.pop_back();
    jobs[i].status = CryptoStatus::kPending;
  }
  module_->CountTaken(accepted);
  if (answer > count) Break("submit() accepted more jobs than it was given");
  return accepted;
}

void Queue::Fill(uint32_t place, const CryptoJob& job) {
  Slot& slot = slots_[place];
  slot.session = job.session;
  slot.tag = job.tag;
  slot.index = job.index;
  slot.looks = 0;
  cygnet_crypto_job& out = slot.job;
  out.session = static_cast<const Session*>(job.session)->handle();
  out.cookie = uint64_t{++slot.generation} << 32 | place;
  out.text = job.text;
  out.text_length = job.text_length;
  out.aad_length = job.aad_length;
  out.icv = job.icv;
  out.auth_begin = job.auth_begin;
  std::copy(job.nonce.begin(), job.nonce.end(), out.nonce);
  std::copy(job.aad.begin(), job.aad.end(), out.aad);
  out.esn_high = job.esn_high;
  out.append_esn_high = job.append_esn_high ? 1 : 0;
}

// --- Poll ---

std::size_t Queue::Poll(std::span<CryptoJob> done) {
  if (queue_ == nullptr) return HandBack(done);
  std::array<cygnet_completion, kBurst> completions;
  const auto room = static_cast<uint32_t>(std::min(done.size(), kBurst));
  const uint32_t answer = calls_.poll(queue_, completions.data(), room);
  std::size_t n = 0;
  bool kept = answer <= room;
  std::size_t not_done = 0;
  while (kept && n < answer) {
    kept = Accept(completions[n], &done[n]);
    if (!kept) break;
    not_done += done[n++].status == CryptoStatus::kNotDone ? 1u : 0u;
  }
  module_->CountReturned(n);
  module_->CountDone(n, not_done);
  if (answer > room) {
    Break("poll() returned more completions than there was room for");
  } else if (kept) {
    Check(n, room);
  }
  return n + (queue_ == nullptr ? HandBack(done.subspan(n)) : 0);
}

bool Queue::Accept(const cygnet_completion& completion, CryptoJob* done) {
  const auto place = static_cast<uint32_t>(completion.cookie);
  const auto generation = static_cast<uint32_t>(completion.cookie >> 32);
  if (place >= depth_) {
    Break("it completed a job that it never got");
    return false;
  }
  Slot& slot = slots_[place];
  if (!slot.in_flight || slot.generation != generation) {
    const bool twice = generation != 0 && generation <= slot.generation;
    Break(twice ? "it completed a job twice, or one that it had not accepted"
                : "it completed a job that it never got");
    return false;
  }
  switch (completion.status) {
    case CYGNET_OK:
      Return(&slot, CryptoStatus::kOk, done);
      return true;
    case CYGNET_AUTH_FAILED:
      Return(&slot, CryptoStatus::kAuthFailed, done);
      return true;
    case CYGNET_ERROR:
      Return(&slot, CryptoStatus::kError, done);
      return true;
    case CYGNET_NOT_DONE:
      Return(&slot, CryptoStatus::kNotDone, done);
      return true;
    default:
      Break("it completed a job with the unknown status " + std::to_string(completion.status));
      return false;
  }
}

void Queue::Return(Slot* slot, CryptoStatus status, CryptoJob* done) {
  const cygnet_crypto_job& job = slot->job;
  slot->in_flight = false;
  free_.push_back(static_cast<uint32_t>(slot - slots_.get()));
  done->session = slot->session;
  done->text = job.text;
  done->text_length = job.text_length;
  done->aad_length = job.aad_length;
  std::copy(std::begin(job.nonce), std::end(job.nonce), done->nonce.begin());
  std::copy(std::begin(job.aad), std::end(job.aad), done->aad.begin());
  done->icv = job.icv;
  done->auth_begin = job.auth_begin;
  done->esn_high = job.esn_high;
  done->append_esn_high = job.append_esn_high != 0;
  done->status = status;
  done->index = slot->index;
  done->tag = slot->tag;
}

// --- Failure ---

// Counts looks, not time: a machine that stood still for a while has not lost a job.
bool Queue::SomeJobIsLost() {
  if (free_.size() == depth_) return false;
  const uint64_t now = CoarseNowNs();
  if (now < next_look_ns_) return false;
  const std::chrono::nanoseconds between = module_->patience() / kLooks;
  next_look_ns_ = now + static_cast<uint64_t>(between.count());
  return std::any_of(slots_.get(), slots_.get() + depth_,
                     [](Slot& slot) { return slot.in_flight && ++slot.looks > kLooks; });
}

// What a completion does not show.
void Queue::Check(std::size_t completed, std::size_t room) {
  if (module_->ClaimRing()) (void)module_->IsUp();
  if (completed < room && SomeJobIsLost()) {
    Break("it holds a job for more than " + std::to_string(module_->patience().count()) + " ms");
  } else if (module_->failed()) {
    Close();
  }
}

void Queue::Break(const std::string& why) {
  module_->Fail(why);
  Close();
}

// Afterwards the plug-in touches no packet of the queue.
void Queue::Close() { module_->DestroyQueue(std::exchange(queue_, nullptr)); }

// Jobs that a failed engine held, in any state: their bytes must not be used.
std::size_t Queue::HandBack(std::span<CryptoJob> done) {
  std::size_t n = 0;
  for (; hand_back_ < depth_ && n < done.size(); ++hand_back_) {
    Slot& slot = slots_[hand_back_];
    if (slot.in_flight) Return(&slot, CryptoStatus::kError, &done[n++]);
  }
  module_->CountReturned(n);
  return n;
}

// --- Sleep ---

int Queue::wait_fd() const {
  return queue_ != nullptr && module_->can_wait() ? calls_.wait_fd(queue_) : -1;
}

bool Queue::PrepareWait() {
  if (free_.size() == depth_) return true;
  return queue_ != nullptr && module_->can_wait() && calls_.prepare_wait(queue_) == 1;
}

void Queue::FinishWait() {
  if (queue_ != nullptr && module_->can_wait()) calls_.finish_wait(queue_);
}

}  // namespace cygnet::plugin_engine
