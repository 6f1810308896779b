// The life of an SA's numbers: from its first block to what it gives back.
#include <utility>

#include "control/numbers/numbers.h"

namespace cygnet {

Result<std::optional<NumberIdentity>> Numbers::Identify(const SaSpec& spec) {
  if (store_ == nullptr) return std::optional<NumberIdentity>();
  auto identity = store_->Identify(spec);
  if (!identity) {
    Note(identity.error());
    return identity.error();
  }
  return std::optional(*identity);
}

Status Numbers::Begin(const SaPtr& sa, const std::optional<NumberIdentity>& identity,
                      const Sa* from) {
  if (!identity.has_value() && !cells_) return {};  // its numbers end with the process
  GiveBack();
  Row row;
  row.sa = sa;
  row.identity = identity;
  if (sa->outbound() != nullptr) sa->outbound()->sequence.RequireBlocks();
  const Row* const before = from != nullptr ? Find(*from) : nullptr;
  row.gets_mark = before != nullptr && ShareInbound(*before, row);
  std::vector<Grant> grants = {{.row = &row}};
  if (!IsMute(row)) {
    // What is reserved of a group is lost if another node takes over.
    const Status asked =
        AskFirst(&grants, GroupOf(row) != 0 ? sizes_.smallest_step : sizes_.first_step);
    if (!asked && asked.error().code == Errc::kPermission && GroupOf(row) != 0) {
      NotOwner(GroupOf(row));  // so it begins mute
    } else if (!asked) {
      Note(asked);
      return MakeError(asked.error().code,
                       "The number store gives no numbers: " + asked.error().message);
    }
  }
  Row& kept = rows_[sa->number] = std::move(row);
  grants.front().row = &kept;
  IsMute(kept) ? StopWorkers(&kept) : Apply(grants.front());
  if (identity.has_value()) store_->Retain(*identity);
  return {};
}

void Numbers::Attach(const SaPtr& sa) {
  Row* const row = Find(*sa);
  if (row == nullptr || !cells_) return;
  row->cells = cells_(*sa);
  if (row->cells != nullptr) {
    if (sa->outbound() != nullptr) {
      row->cells->out_given.store(sa->outbound()->sequence.edge(), std::memory_order_release);
    }
    if (sa->inbound() != nullptr) sa->inbound()->replay.SetCell(&row->cells->in_top);
    return;
  }
  if (row->identity.has_value()) return;
  // Nothing of it outlives the process.
  if (sa->outbound() != nullptr) sa->outbound()->sequence.AllowAll();
  rows_.erase(sa->number);
}

void Numbers::Follow(const Sa& sa) {
  Row* const row = Find(sa);
  if (row == nullptr) return;
  MakeDue(row);
  (void)DoSome();
}

// A mark other than 0: a device has asked for its own meanwhile, which lies behind that of `from`.
void Numbers::HandOver(const Sa& from, const Sa& to) {
  Row* const old = Find(from);
  Row* const row = Find(to);
  if (old == nullptr || row == nullptr) return;
  row->gets_mark = false;
  if (row->mark != 0 || IsMute(*row) || !ShareInbound(*old, *row)) return;
  row->accepted = old->accepted;
  row->raised_ns = old->raised_ns;
  row->at_tick = old->at_tick;
  SetMark(row, old->mark);
  old->handed_over = true;
}

void Numbers::Forget(const Sa& sa) {
  Row* const row = Find(sa);
  if (row == nullptr) return;
  if (sa.inbound() != nullptr) sa.inbound()->replay.SetCell(nullptr);
  if (row->identity.has_value()) {
    const NumberIdentity identity = *row->identity;
    const uint64_t last = row->block.last;
    if (sa.outbound() != nullptr) {
      const uint64_t used = sa.outbound()->sequence.Close();
      returns_.push_back({identity.group, [this, identity, used, last] {
                            return used < last
                                       ? store_->ReturnOutbound(identity.outbound, used, last)
                                       : Status{};
                          }});
    }
    if (HasWindow(*row) && !row->handed_over) CloseInbound(*row);
    store_->Release(identity);
    if (!store_->reserves_inbound()) GiveBack();  // before the client hears of the end
  }
  rows_.erase(sa.number);
}

void Numbers::CloseInbound(const Row& row) {
  const NumberId id = row.identity->inbound;
  const uint64_t last = row.mark;
  const uint64_t used = row.sa->inbound()->replay.SetMark(0, ~uint64_t{0});
  returns_.push_back({row.identity->group, [this, id, used, last] {
                        if (!store_->reserves_inbound()) return NoteAccepted(id, used);
                        return used < last ? store_->LowerInbound(id, used, last) : Status{};
                      }});
}

// What fails stays a gap. Another owner has what was of a mute group.
void Numbers::GiveBack() {
  if (returns_.empty()) return;
  auto returns = std::exchange(returns_, {});
  std::erase_if(returns, [this](const Return& r) { return IsMute(r.group); });
  if (returns.empty()) return;
  Note(store_->Together([&returns]() -> Status {
    for (const Return& give : returns) CYGNET_RETURN_IF_ERROR(give.run());
    return {};
  }));
}

}  // namespace cygnet
