// What the software NIC does wrongly on command: packets that it swallows, reorders or spoils.
#include <algorithm>
#include <thread>

#include "device/sim_nic/sim_nic.h"

namespace cygnet {
namespace {

// The text of an ESP packet, with padding and trailer.
std::span<uint8_t> TextOf(const EspLayout& layout, std::span<uint8_t> esp) {
  const std::size_t front = kEspHeader + layout.iv;
  return esp.subspan(front, esp.size() - front - layout.icv);
}

// Changes one of the last bytes of the payload of a text in clear. Headers stay, so that the packet
// gets as far as a right one.
void SpoilText(std::span<uint8_t> text, uint64_t dice) {
  constexpr std::size_t kTrailer = 2;
  constexpr std::size_t kLast = 4;
  if (text.size() <= kTrailer) return;
  const std::size_t behind = kTrailer + text[text.size() - kTrailer];
  if (behind >= text.size()) return;
  const std::size_t payload = text.size() - behind;
  const std::size_t choice = std::min(payload, kLast);
  text[payload - 1 - dice % choice] ^= static_cast<uint8_t>(dice >> 32 | 1);
}

}  // namespace

// --- The thread, under the lock ---

// Packets of SAs that disappear: no counter, no number.
void SimNic::Swallow(PacketBatch* batch) {
  PacketBatch gone;
  batch->Partition(
      [this](const Packet* packet) {
        const OffloadStatus status = packet->offload.status;
        return (status == OffloadStatus::kSealRequested ||
                status == OffloadStatus::kProtectRequested) &&
               faults_.NextSwallows(FaultWay::kOut);
      },
      &gone);
  for (Packet* packet : gone.packets()) caches_.Give(packet);
  gone.ReleaseAll();
}

// Job `n` seals the ESP packet.
void SimNic::AddSealJob(const SimNicTable::Slot& slot, std::span<uint8_t> esp, uint32_t esn_high,
                        uint32_t n) {
  const EspLayout& layout = slot.params.layout;
  const SaLies lies = faults_.LiesAbout(slot.request);
  if (lies.text || faults_.NextHasWrongInner(FaultWay::kOut)) {
    SpoilText(TextOf(layout, esp), faults_.Throw(~uint64_t{0}));
  }
  esp::BuildJob(slot.params, esp, lies.high_word ? 0 : esn_high, &jobs_[n]);
  wrong_icv_[n] = (lies.icv || faults_.NextHasWrongIcv(FaultWay::kOut)) && layout.icv > 0;
}

void SimNic::RunSealJobs(uint32_t n) {
  if (n == 0) return;
  (void)crypto_->Submit({jobs_.data(), n});  // a CPU engine accepts all of them
  for (uint32_t i = 0; i < n; ++i) {
    if (wrong_icv_[i] && jobs_[i].status == CryptoStatus::kOk) jobs_[i].icv[0] ^= 0xff;
  }
}

// Opens the ESP packet in place and says what the device reports about it.
CryptoStatus SimNic::OpenEsp(SimNicTable::Slot* slot, std::span<uint8_t> esp, uint32_t esn_high) {
  const SaLies lies = faults_.LiesAbout(slot->request);
  const bool ignores_icv = lies.icv_unchecked || faults_.WrongIcvIsDue(FaultWay::kIn);
  std::vector<uint8_t> before;
  if (ignores_icv || lies.refuses) before.assign(esp.begin(), esp.end());
  if (lies.high_word) esn_high = 0;
  CryptoJob& job = jobs_[0];
  esp::BuildJob(slot->params, esp, esn_high, &job);
  (void)crypto_->Submit({&job, 1});
  CryptoStatus status = job.status;
  if (lies.refuses) {
    std::copy(before.begin(), before.end(), esp.begin());
    return CryptoStatus::kAuthFailed;
  }
  if (status == CryptoStatus::kAuthFailed && ignores_icv &&
      OpenUnchecked(slot, before, esn_high, esp)) {
    if (!lies.icv_unchecked) (void)faults_.NextHasWrongIcv(FaultWay::kIn);
    status = CryptoStatus::kOk;
  }
  if (status == CryptoStatus::kOk && (lies.text || faults_.NextHasWrongInner(FaultWay::kIn))) {
    SpoilText(TextOf(slot->params.layout, esp), faults_.Throw(~uint64_t{0}));
  }
  return status;
}

// Engines do not open what does not verify. So the device makes the ICV right first, or, because
// AEADs encrypt by XOR, opens by sealing. `as_it_came`: the packet; afterwards `esp` is opened, and
// has its own ICV.
bool SimNic::OpenUnchecked(SimNicTable::Slot* slot, std::span<const uint8_t> as_it_came,
                           uint32_t esn_high, std::span<uint8_t> esp) {
  const auto session = table_.MakeIcvSession(*slot);
  if (session == nullptr) return false;
  std::copy(as_it_came.begin(), as_it_came.end(), esp.begin());
  esp::JobParams params = slot->params;
  params.session = session.get();
  CryptoJob& job = jobs_[0];
  esp::BuildJob(params, esp, esn_high, &job);
  (void)crypto_->Submit({&job, 1});
  if (job.status == CryptoStatus::kOk && slot->request.authentication != nullptr) {
    esp::BuildJob(slot->params, esp, esn_high, &job);
    (void)crypto_->Submit({&job, 1});
  }
  const auto icv = as_it_came.last(slot->params.layout.icv);
  std::copy(icv.begin(), icv.end(), esp.last(icv.size()).begin());
  return job.status == CryptoStatus::kOk;
}

// `replay`: the window's answer.
SimNicPacketSa::ReplayCheck SimNic::ReplayCheckOf(const SimNicTable::Slot& slot,
                                                  DropReason replay) {
  using Check = SimNicPacketSa::ReplayCheck;
  if (replay == DropReason::kNone) return Check::kFull;
  if (slot.packet->habits().no_replay_check) return Check::kNone;
  const bool passes = faults_.LiesAbout(slot.request).replay || faults_.NextLetsReplay();
  return passes ? Check::kNone : Check::kFull;
}

// --- The thread ---

void SimNic::ToWire(PacketBatch* batch) {
  if (!reordering_.load(std::memory_order_acquire)) {
    wire_->Transmit(0, batch, &sink_);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    reorder_out_.Take(FaultWay::kOut, batch, &faults_);
  }
  (void)PassReordered();
}

void SimNic::FromWire(PacketBatch* batch) {
  if (!reordering_.load(std::memory_order_acquire)) {
    Arrive(batch);
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    reorder_in_.Take(FaultWay::kIn, batch, &faults_);
  }
  (void)PassReordered();
}

uint32_t SimNic::PassReordered() {
  uint32_t passed = 0;
  PacketBatch batch;
  const auto may_pass = [&] {
    passed += batch.size();
    if (frames_pass_.load(std::memory_order_acquire)) return true;
    batch.DropAll(DropReason::kPortDown, &sink_);
    return false;
  };
  while (reorder_out_.Give(&batch)) {
    if (may_pass()) wire_->Transmit(0, &batch, &sink_);
  }
  while (reorder_in_.Give(&batch)) {
    if (may_pass()) Arrive(&batch);
  }
  return passed;
}

// Nothing else came: nothing is left that packets could be mixed with.
uint32_t SimNic::EndReordering() {
  {
    const std::lock_guard lock(mutex_);
    reorder_out_.Mix(&faults_);
    reorder_in_.Mix(&faults_);
    reordering_.store(faults_.Reorders(), std::memory_order_release);
  }
  return PassReordered();
}

// --- Control ---

// A slow firmware: the caller waits, and nobody else.
void SimNic::TakeTimeToAdd() {
  uint32_t ms = 0;
  {
    const std::lock_guard lock(mutex_);
    ms = faults_.NextAddMs();
  }
  if (ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

// How old a reading may be. ~0: it is never taken again.
uint64_t SimNic::ReadingAgeNs() const {
  constexpr uint64_t kNsPerMs = 1'000'000;
  const auto ms = faults_.stale_ms();
  const uint64_t own = cards_[active_]->statistics_age_ms * kNsPerMs;
  if (!ms.has_value()) return own;
  return *ms == Fault::kForever ? ~uint64_t{0} : *ms * kNsPerMs;
}

}  // namespace cygnet
