#include "crypto/engines/ipsec_mb_queue.h"

#include <algorithm>
#include <cstring>

#include "base/endian.h"

namespace cygnet::ipsec_mb {
namespace {

// The lanes count bytes in 16 bits.
constexpr uint32_t kMaxBytes = 0xfffe;

// Number of jobs of a Session::LaneGroup from which wide lanes pay off, measured by
// bench/engine_bench.cc: a pass through sixteen lanes costs as much as 2.7 (SHA-1) or 5 (SHA-256)
// single packets.
constexpr std::array<std::size_t, 3> kEnoughForWideLanes = {0, 3, 5};

bool EqualInConstantTime(const uint8_t* a, const uint8_t* b, std::size_t n) {
  unsigned difference = 0;
  for (std::size_t i = 0; i < n; ++i) difference |= static_cast<unsigned>(a[i] ^ b[i]);
  return difference == 0;
}

// Compares the ICVs. If the packet is forged, wipes the text, which was already decrypted.
CryptoStatus Verify(const Session& session, const uint8_t* icv, CryptoJob* job) {
  if (EqualInConstantTime(icv, job->icv, session.icv_bytes())) return CryptoStatus::kOk;
  if (session.way() != Session::Way::kGmac && session.encrypts()) {
    std::memset(job->text, 0, job->text_length);
  }
  return CryptoStatus::kAuthFailed;
}

}  // namespace

std::size_t Queue::Submit(std::span<CryptoJob> jobs) {
  for (std::size_t begin = 0; begin < jobs.size(); begin += kWindow) {
    SubmitWindow(jobs.subspan(begin, std::min(kWindow, jobs.size() - begin)));
  }
  return jobs.size();
}

void Queue::ChooseManagers(std::span<const CryptoJob> jobs) {
  std::array<std::size_t, 3> count{};
  for (const CryptoJob& job : jobs) {
    const auto& session = *static_cast<const Session*>(job.session);
    ++count[static_cast<std::size_t>(session.lane_group())];
  }
  for (std::size_t i = 0; i < count.size(); ++i) {
    const bool narrow = narrow_ != nullptr && count[i] < kEnoughForWideLanes[i];
    by_lane_group_[i] = narrow ? narrow_.get() : wide_.get();
  }
}

void Queue::Flush(IMB_MGR* manager) {
  while (const IMB_JOB* done = IMB_FLUSH_JOB(manager)) Finish(*done);
}

void Queue::SubmitWindow(std::span<CryptoJob> jobs) {
  ChooseManagers(jobs);
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const auto& session = *static_cast<const Session*>(jobs[i].session);
    switch (session.way()) {
      case Session::Way::kGcm:
        RunGcm(session, &jobs[i]);
        break;
      case Session::Way::kGmac:
        RunGmac(session, &jobs[i]);
        break;
      case Session::Way::kJob:
        Enter(session, &jobs[i], &slots_[i]);
        break;
    }
  }
  Flush(wide_.get());
  if (narrow_ != nullptr) Flush(narrow_.get());
}

void Queue::RunGcm(const Session& session, CryptoJob* job) {
  const bool seal = session.direction() == CryptoDirection::kSeal;
  IMB_MGR* m = wide_.get();
  aes_gcm_enc_dec_t run = seal ? m->gcm256_enc : m->gcm256_dec;
  if (session.key_bytes() == 16) run = seal ? m->gcm128_enc : m->gcm128_dec;
  if (session.key_bytes() == 24) run = seal ? m->gcm192_enc : m->gcm192_dec;
  alignas(16) std::array<uint8_t, 16> icv;
  run(session.gcm_key(), &gcm_context_, job->text, job->text, job->text_length, job->nonce.data(),
      job->aad.data(), job->aad_length, seal ? job->icv : icv.data(), session.icv_bytes());
  job->status = seal ? CryptoStatus::kOk : Verify(session, icv.data(), job);
}

// RFC 4543: AAD, then text, are authenticated; nothing is encrypted.
void Queue::RunGmac(const Session& session, CryptoJob* job) {
  IMB_MGR* m = wide_.get();
  const gcm_key_data* key = session.gcm_key();
  const bool k128 = session.key_bytes() == 16;
  const bool k192 = session.key_bytes() == 24;
  const auto init = k128 ? m->gmac128_init : k192 ? m->gmac192_init : m->gmac256_init;
  const auto update = k128 ? m->gmac128_update : k192 ? m->gmac192_update : m->gmac256_update;
  const auto finish = k128 ? m->gmac128_finalize : k192 ? m->gmac192_finalize : m->gmac256_finalize;
  const bool seal = session.direction() == CryptoDirection::kSeal;
  alignas(16) std::array<uint8_t, 16> icv;
  init(key, &gcm_context_, job->nonce.data(), 12);
  update(key, &gcm_context_, job->aad.data(), job->aad_length);
  update(key, &gcm_context_, job->text, job->text_length);
  finish(key, &gcm_context_, seal ? job->icv : icv.data(), session.icv_bytes());
  job->status = seal ? CryptoStatus::kOk : Verify(session, icv.data(), job);
}

void Queue::Enter(const Session& session, CryptoJob* job, Slot* slot) {
  const bool seal = session.direction() == CryptoDirection::kSeal;
  const bool aead = session.cipher().kind == AlgorithmKind::kAead;
  const std::size_t in_front = aead ? 0 : static_cast<std::size_t>(job->text - job->auth_begin);
  const std::size_t tail = !aead && job->append_esn_high ? kEsnBytes : 0;
  const bool ragged = job->text_length % session.cipher().block_bytes != 0;
  const bool no_iv = seal && session.cipher().iv_form == IvForm::kSealed && job->text_length == 0;
  if (in_front + job->text_length + tail > kMaxBytes || (seal && (ragged || no_iv)) ||
      (tail != 0 && job->icv != job->text + job->text_length)) {
    job->status = CryptoStatus::kError;
    return;
  }
  slot->job = job;
  slot->session = &session;
  slot->if_authentic = ragged ? CryptoStatus::kError : CryptoStatus::kOk;
  if (tail != 0) {  // RFC 4303 section 2.2.1: authenticated after the text, not sent
    std::memcpy(slot->under_esn.data(), job->icv, kEsnBytes);
    StoreBe32(job->icv, job->esn_high);
  }
  IMB_MGR* manager = by_lane_group_[static_cast<std::size_t>(session.lane_group())];
  IMB_JOB* mb = IMB_GET_NEXT_JOB(manager);
  *mb = session.job();
  mb->src = job->text - in_front;
  mb->dst = job->text;
  mb->cipher_start_src_offset_in_bytes = in_front;
  mb->msg_len_to_cipher_in_bytes = job->text_length;
  mb->msg_len_to_hash_in_bytes = in_front + job->text_length + tail;
  mb->iv = job->nonce.data();
  mb->auth_tag_output = slot->icv.data();
  mb->user_data = slot;
  if (aead) {
    mb->u.CHACHA20_POLY1305.aad = job->aad.data();
    mb->u.CHACHA20_POLY1305.aad_len_in_bytes = job->aad_length;
  } else if (ragged || job->text_length == 0) {
    mb->cipher_mode = IMB_CIPHER_NULL;  // authenticate, do not decrypt
  }
  for (const IMB_JOB* done = IMB_SUBMIT_JOB_NOCHECK(manager); done != nullptr;
       done = IMB_GET_COMPLETED_JOB(manager)) {
    Finish(*done);
  }
}

void Queue::Finish(const IMB_JOB& done) {
  const Slot& slot = *static_cast<const Slot*>(done.user_data);
  const Session& session = *slot.session;
  CryptoJob* job = slot.job;
  const bool seal = session.direction() == CryptoDirection::kSeal;
  const bool under_esn = session.cipher().kind != AlgorithmKind::kAead && job->append_esn_high;
  if (under_esn) std::memcpy(job->icv, slot.under_esn.data(), kEsnBytes);
  if (done.status != IMB_STATUS_COMPLETED) {
    std::memset(job->text, 0, job->text_length);
    job->status = CryptoStatus::kError;
  } else if (seal) {
    std::memcpy(job->icv, slot.icv.data(), session.icv_bytes());
    job->status = CryptoStatus::kOk;
  } else {
    job->status = Verify(session, slot.icv.data(), job);
    if (job->status == CryptoStatus::kOk) job->status = slot.if_authentic;
  }
}

}  // namespace cygnet::ipsec_mb
