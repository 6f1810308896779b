#include "daemon/store/kept_sas.h"

#include <net/if.h>

#include <algorithm>
#include <span>
#include <string>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace cygnet {
namespace {

// As the client requested it. A dump shows the offload in effect instead.
SaView ViewOf(const Sa& sa) {
  return {.spec = &sa.spec(),
          .state = sa.state(),
          .usage = sa.lifetime().usage(),
          .stats = {},
          .replay = sa.ExportReplay(),
          .offload = sa.spec().offload,
          .last_used = sa.lifetime().last_used()};
}

Result<SaSpec> Decode(const netlink::Buffer& message, SaState state) {
  const auto request = xfrm::ParseStored(message, xfrm::RequestType::kNewSa);
  if (!request) return request.error();
  return state == SaState::kLarval ? xfrm::DecodeLarvalSa(*request) : xfrm::DecodeSa(*request);
}

// All that the window covers counts as accepted.
void FillBitmap(ReplayState* replay) { replay->bitmap.assign(replay->bitmap.size(), ~uint32_t{0}); }

ExactNumbers NumbersOf(const Sa& sa) {
  return {.oseq = sa.outbound() != nullptr ? sa.outbound()->sequence.last_sent() : 0,
          .seq = sa.inbound() != nullptr ? sa.inbound()->replay.safe_edge() : 0};
}

// Where the numbers go on.
void Continue(const StateRecord& record, const NumberCells& cells, RestoredSa* sa) {
  ReplayState& replay = sa->spec.replay;
  if (record.exact) {
    replay.oseq = record.exact->oseq;
    replay.seq = record.exact->seq;
    return;
  }
  replay.oseq = std::max(replay.oseq, cells.out_given.load(std::memory_order_acquire));
  replay.seq = std::max(replay.seq, cells.in_top.load(std::memory_order_acquire));
  sa->accepted_to = replay.seq;
}

}  // namespace

// --- While the daemon runs ---

StateProgress KeptSas::ProgressOf(const Sa& sa) const {
  StateProgress progress{.usage = sa.lifetime().usage(),
                         .last_used = sa.lifetime().last_used(),
                         .state = sa.state(),
                         .soft_time_signalled = sa.lifetime().soft_time_signalled(),
                         .max_diff = sa.spec().rare->replay_max_diff,
                         .max_age = sa.spec().rare->replay_max_age};
  const auto now = control_->GetAevent(sa.id());
  if (now && now->sa.get() == &sa && progress.state != SaState::kLarval) {
    progress.max_diff = now->max_diff;
    progress.max_age = now->max_age;
  }
  return progress;
}

// Empty: the client requested no offload, or one of an interface that is not ours.
std::string KeptSas::DeviceOf(const Sa& sa) const {
  const auto& offload = sa.spec().offload;
  if (!offload.has_value()) return {};
  for (const ControlDevice& device : control_->devices()) {
    if (device.ifindex == offload->ifindex) return device.name;
  }
  return {};
}

// Empty: its selector names no interface, or one that is gone.
std::string KeptSas::InterfaceOf(const Sa& sa) const {
  const int32_t ifindex = sa.spec().selector->ifindex;
  if (ifindex == 0) return {};
  for (const ControlDevice& device : control_->devices()) {
    if (device.ifindex == ifindex) return device.name;
  }
  char name[IF_NAMESIZE] = {};
  return if_indextoname(static_cast<unsigned>(ifindex), name) != nullptr ? name : "";
}

int32_t KeptSas::NumberOf(const std::string& name) const {
  for (const ControlDevice& device : control_->devices()) {
    if (device.name == name) return device.ifindex;
  }
  return static_cast<int32_t>(if_nametoindex(name.c_str()));
}

// An interface that was made anew has another number.
Status KeptSas::Renumber(const StateRecord& record, SaSpec* spec) const {
  if (!record.offload_device.empty() && spec->offload.has_value()) {
    for (const ControlDevice& device : control_->devices()) {
      if (device.name == record.offload_device) spec->offload->ifindex = device.ifindex;
    }
  }
  const std::string& name = record.selector_interface;
  if (name.empty() || spec->selector->ifindex == 0) return {};
  const int32_t now = NumberOf(name);
  if (now == 0) {
    return MakeError(Errc::kNoDevice, Describe(*spec) + ": the interface of its selector, " + name +
                                          ", does not exist");
  }
  spec->selector.Change()->ifindex = now;
  return {};
}

bool KeptSas::IsInStore(const Sa& sa) const {
  return store_ == Store::kFile && control_->HasNumbersInStore(sa);
}

StateRecord KeptSas::RecordOf(const Sa& sa) const {
  return {.number = sa.number,
          .iv_mask = sa.outbound() != nullptr ? sa.outbound()->iv_mask : 0,
          .in_store = IsInStore(sa),
          .exact = std::nullopt,
          .progress = ProgressOf(sa),
          .offload_device = DeviceOf(sa),
          .selector_interface = InterfaceOf(sa),
          .message = xfrm::EncodeSa(ViewOf(sa), {}, xfrm::DumpPart::kNo)};
}

// An ACQUIRE's state has no SPI: traffic asks again.
void KeptSas::Keep(const ConstSaPtr& sa) {
  if (stopped_ || control_ == nullptr || sa->spec().spi.value == 0) return;
  const auto slot = memory_->Write(RecordOf(*sa));
  if (!slot) {
    if (left_out_++ == 0) {
      Log(LogLevel::kWarning, "SA " + Describe(sa->spec()) + " will be lost in a restart: " +
                                  slot.error().message + "; further ones are counted only");
    }
    return;
  }
  rows_.insert_or_assign(sa->number, {sa, *slot});
}

NumberCells* KeptSas::Cells(const Sa& sa) const {
  const auto row = rows_.find(sa.number);
  return row == rows_.end() ? nullptr : memory_->cells(row->second.slot);
}

void KeptSas::Update(const Sa& sa) {
  const auto row = rows_.find(sa.number);
  if (row == rows_.end() || stopped_) return;
  (void)memory_->Rewrite(row->second.slot, RecordOf(sa));  // no change makes a message longer
}

void KeptSas::Forget(const Sa& sa) {
  const auto row = rows_.find(sa.number);
  if (row == rows_.end() || stopped_) return;
  // Workers may still have the SA.
  if (sa.inbound() != nullptr) sa.inbound()->replay.SetCell(nullptr);
  memory_->Wipe(row->second.slot);
  rows_.erase(row);
}

bool KeptSas::DoSome() {
  constexpr int kAtOnce = 512;
  if (!next_ || stopped_) return false;
  auto row = rows_.lower_bound(*next_);
  for (int i = 0; i < kAtOnce && row != rows_.end(); ++i, ++row) {
    memory_->Checkpoint(row->second.slot, ProgressOf(*row->second.sa));
  }
  next_ = row == rows_.end() ? std::nullopt : std::optional(row->first);
  return next_.has_value();
}

// --- The end ---

// The message of an SA that has received nothing says all that is not beside it: what a client
// changes is written at once. Half of all SAs only send.
void KeptSas::Finish(const Sa& sa, uint32_t slot) {
  const ExactNumbers exact = NumbersOf(sa);
  if (exact.seq == 0 && memory_->Finish(slot, exact, IsInStore(sa), ProgressOf(sa))) return;
  StateRecord record = RecordOf(sa);
  record.exact = exact;
  const bool lost = sa.inbound() != nullptr && exact.seq > sa.inbound()->replay.highest();
  if (lost) {
    SaView view = ViewOf(sa);
    FillBitmap(&view.replay);
    record.message = xfrm::EncodeSa(view, {}, xfrm::DumpPart::kNo);
  }
  (void)memory_->Rewrite(slot, record);  // it has the length of before
}

void KeptSas::Stop() {
  for (const auto& [number, row] : rows_) Finish(*row.sa, row.slot);
  rows_ = {};
  stopped_ = true;
}

// --- The start ---

Status KeptSas::RestoreOne(uint32_t slot, Outcome* outcome) {
  const auto record = memory_->Read(slot);
  if (!record) return record.error();
  auto spec = Decode(record->message, record->progress.state);
  if (!spec) return spec.error();
  CYGNET_RETURN_IF_ERROR(Renumber(*record, &*spec));
  const StateProgress& progress = record->progress;
  const bool larval = progress.state == SaState::kLarval;
  // Without its store, numbers are used that the store does not know: under another mask.
  RestoredSa sa{.spec = *std::move(spec),
                .iv_mask = record->in_store ? RandomWord() : record->iv_mask,
                .accepted_to = 0,
                .last_used = progress.last_used,
                .state = progress.state,
                .soft_time_signalled = progress.soft_time_signalled};
  sa.spec.rare.Change()->initial_usage = progress.usage;
  if (!larval) {
    sa.spec.rare.Change()->replay_max_diff = progress.max_diff;
    sa.spec.rare.Change()->replay_max_age = progress.max_age;
    Continue(*record, *memory_->cells(slot), &sa);
  }
  const Status taken = control_->RestoreSa(std::move(sa));
  if (!taken) {
    const auto again = Decode(record->message, progress.state);  // to say which one it is
    return MakeError(taken.error().code, Describe(*again) + ": " + taken.error().message);
  }
  ++(larval ? outcome->larval : outcome->restored);
  if (record->in_store && store_ == Store::kNone) ++outcome->left_store;
  return {};
}

// In the order of their numbers: of two SAs that fit a policy, the newer one is used. Each gets a
// slot of its own before that of the earlier process is wiped.
KeptSas::Outcome KeptSas::Restore(ControlPlane* control) {
  control_ = control;
  control->CatchUp();
  Outcome outcome;
  std::vector<std::pair<uint64_t, uint32_t>> slots;
  for (const uint32_t slot : memory_->Used()) {
    slots.emplace_back(memory_->NumberIn(slot), slot);
  }
  std::ranges::sort(slots);
  memory_->UseSpare(true);
  for (const auto& [number, slot] : slots) {
    const Status restored = RestoreOne(slot, &outcome);
    memory_->Wipe(slot);
    if (restored) continue;
    ++outcome.lost;
    Log(LogLevel::kError, "an SA of the daemon before is lost: " + restored.error().message +
                              "; its traffic is blocked until it is replaced");
  }
  memory_->UseSpare(false);
  return outcome;
}

}  // namespace cygnet
