// The queue of the ipsec-mb engine. It feeds a batch to the job manager, so that packets of all SAs
// share its SIMD lanes, and flushes at the end of the batch.
#pragma once

#include "crypto/engines/ipsec_mb_session.h"

namespace cygnet::ipsec_mb {

class Queue final : public CryptoQueue {
 public:
  // REQUIRES: wide != nullptr.
  Queue(Manager wide, Manager narrow) : wide_(std::move(wide)), narrow_(std::move(narrow)) {}

  std::size_t Submit(std::span<CryptoJob> jobs) override;

 private:
  static constexpr std::size_t kWindow = 128;  // jobs between flushes; the manager holds 256
  static constexpr std::size_t kEsnBytes = 4;

  // State of a job until the manager returns it.
  struct Slot {
    CryptoJob* job = nullptr;
    const Session* session = nullptr;
    CryptoStatus if_authentic = CryptoStatus::kOk;
    std::array<uint8_t, kEsnBytes> under_esn;  // the ICV bytes that the ESN word overwrites
    alignas(16) std::array<uint8_t, 64> icv;
  };

  void SubmitWindow(std::span<CryptoJob> jobs);
  void ChooseManagers(std::span<const CryptoJob> jobs);
  void Flush(IMB_MGR* manager);
  void RunGcm(const Session& session, CryptoJob* job);
  void RunGmac(const Session& session, CryptoJob* job);
  void Enter(const Session& session, CryptoJob* job, Slot* slot);
  static void Finish(const IMB_JOB& done);

  Manager wide_;
  Manager narrow_;                         // nullptr if the CPU has no SHA instructions
  std::array<IMB_MGR*, 3> by_lane_group_;  // for the current window
  std::array<Slot, kWindow> slots_;
  gcm_context_data gcm_context_{};
};

}  // namespace cygnet::ipsec_mb
