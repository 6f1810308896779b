#include "plugin/isolation/job_slots.h"

#include <cstring>
#include <utility>

namespace cygnet::isolation {
namespace {

// The session is a pointer of this side: the child gets its own.
const IsolatedSession& SessionOf(const cygnet_crypto_job& job) {
  return *static_cast<const IsolatedSession*>(job.session);
}
uint32_t FrontOf(const cygnet_crypto_job& job) {
  return SessionOf(job).pair ? static_cast<uint32_t>(job.text - job.auth_begin) : 0;
}

}  // namespace

JobSlots::JobSlots(const RingView& ring)
    : ring_(ring), slots_(std::make_unique<Slot[]>(ring.layout().depth)) {
  free_.reserve(depth());
  for (uint32_t slot = depth(); slot > 0; --slot) free_.push_back(slot - 1);
}

bool JobSlots::Fits(const cygnet_crypto_job& job) {
  return job.text_length <= kTextBytes && job.aad_length <= CYGNET_MAX_AAD_BYTES &&
         FrontOf(job) <= kFrontBytes;
}

uint32_t JobSlots::Give(cygnet_crypto_job* job) {
  const uint32_t slot = free_.back();
  free_.pop_back();
  const IsolatedSession& session = SessionOf(*job);
  JobHeader& header = ring_.job(slot);
  slots_[slot].job = job;
  header.session = session.child;
  header.generation = ++slots_[slot].generation;
  header.text_length = job->text_length;
  header.aad_length = job->aad_length;
  header.front = FrontOf(*job);
  header.esn_high = job->esn_high;
  header.append_esn_high = job->append_esn_high;
  std::memcpy(header.nonce, job->nonce, sizeof(header.nonce));
  std::memcpy(header.aad, job->aad, sizeof(header.aad));
  const uint32_t front = FrontOf(*job);
  uint8_t* text = ring_.text(slot);
  std::memcpy(text - front, job->text - front, front + job->text_length);
  if (!session.seal) std::memcpy(text + job->text_length, job->icv, session.icv_bytes);
  return slot;
}

// Lengths are those of the host's own job. What the child writes meanwhile is its own result.
void JobSlots::CopyOut(const cygnet_crypto_job& job, uint32_t slot) {
  const IsolatedSession& session = SessionOf(job);
  const uint8_t* text = ring_.text(slot);
  std::memcpy(job.text, text, job.text_length);
  if (session.seal) std::memcpy(job.icv, text + job.text_length, session.icv_bytes);
}

cygnet_crypto_job* JobSlots::TakeBack(const Completion& completion) {
  if (completion.slot >= depth()) return nullptr;
  const Slot& slot = slots_[completion.slot];
  if (slot.job == nullptr || slot.generation != completion.generation) return nullptr;
  if (completion.status < CYGNET_OK || completion.status > CYGNET_NOT_DONE) return nullptr;
  if (completion.status == CYGNET_OK) CopyOut(*slot.job, completion.slot);
  return Recover(completion.slot);
}

cygnet_crypto_job* JobSlots::Recover(uint32_t slot) {
  cygnet_crypto_job* job = std::exchange(slots_[slot].job, nullptr);
  if (job != nullptr) free_.push_back(slot);
  return job;
}

}  // namespace cygnet::isolation
