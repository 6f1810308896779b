#include "control/placement/packet_halves.h"

#include <algorithm>

namespace cygnet {
namespace {

// Sizes of blocks. Small ones cost a call for each; large ones cost, if the device is lost, numbers
// that are never used (outbound) or packets that are refused (inbound).
constexpr uint64_t kSmallest = 1024;
constexpr uint64_t kLargest = 1u << 20;
// A block lasts about this long.
constexpr uint64_t kOutboundNs = 100'000'000;
constexpr uint64_t kInboundNs = 1'000'000'000;
// A device that asks for numbers although its readings show that it has enough gets a block this
// often: the readings may be old. If it asks without need, numbers do not end soon.
constexpr uint64_t kAskedNs = 10'000'000;

// Up to where numbers are refused that a lost device may have accepted.
std::optional<uint64_t> RefusedTo(ReplayWindow* window) {
  const uint64_t edge = window->safe_edge();
  return edge > window->highest() ? std::optional(edge) : std::nullopt;
}

}  // namespace

PacketHalves::Row* PacketHalves::Find(const Sa& sa, Half half) {
  const auto it = rows_.find(KeyOf(sa, half));
  return it == rows_.end() ? nullptr : &it->second;
}

// --- Into packet offload ---

// Inbound, the stack accepts numbers up to an edge, and the device those above it.
NumberBlock PacketHalves::Prepare(const SaPtr& sa, Half half, Standby standby) {
  if (!IsInbound(half)) return {};
  ReplayWindow& window = sa->inbound()->replay;
  if (const auto left = leaving_.find(KeyOf(*sa, half)); left != leaving_.end()) {
    TakeBackInbound(left->second);
  }
  const uint64_t margin = standby == Standby::kCpu ? kOnTheirWay : 0;
  // Packets that the last device opened but did not accept may still come up.
  const auto met = met_.find(KeyOf(*sa, half));
  const uint64_t behind = met == met_.end() ? 0 : met->second;
  uint64_t edge = std::max(window.safe_edge(), behind) + margin;
  window.Limit(edge);
  // From here on workers accept nothing above the edge. One may have been quicker.
  if (const uint64_t now = window.safe_edge(); now > edge) {
    edge = now + margin;
    window.Limit(edge);
  }
  const bool wait_for_traffic = idle_.contains(KeyOf(*sa, half));
  const NumberBlock block{edge + 1, wait_for_traffic ? edge : Reserved(*sa, edge + 2 * kSmallest)};
  prepared_[KeyOf(*sa, half)] = block;
  return block;
}

void PacketHalves::Forget(const Sa& sa, Half half) {
  Stop(sa, half);
  (void)Finish(sa, half);
  met_.erase(KeyOf(sa, half));
  idle_.erase(KeyOf(sa, half));
}

void PacketHalves::Cancel(const Sa& sa, Half half) {
  if (prepared_.erase(KeyOf(sa, half)) == 0) return;
  sa.inbound()->replay.Limit(~uint64_t{0});
  path_.BumpGeneration();
}

void PacketHalves::Adopt(const SaPtr& sa, Half half, const SaBinding& binding) {
  const Key key = KeyOf(*sa, half);
  Row row;
  row.sa = sa;
  row.half = half;
  row.device = binding.device();
  row.handle = binding.handle;
  row.step = 2 * kSmallest;
  row.granted_ns = clock_.MonotonicNs();
  if (const auto block = prepared_.find(key); block != prepared_.end()) {
    row.block = block->second;
    prepared_.erase(block);
  }
  by_handle_[{row.device, row.handle.value}] = key;
  SetLimits(row);
  rows_[key] = std::move(row);
  if (IsInbound(half)) path_.sad.IndexByNumber(sa);
}

// Workers that still use the old binding take numbers, and these must reach the peer before those
// of the block.
void PacketHalves::Begin(const Sa& sa, Half half) {
  Row* row = Find(sa, half);
  if (IsInbound(half) || row == nullptr) return;
  row->quiet = std::make_shared<bool>(false);
  waiting_.push_back(KeyOf(sa, half));
  path_.quiescence.Retire([quiet = row->quiet] { *quiet = true; });
  path_.control_bell.Ring();
}

bool PacketHalves::DoSome() {
  std::erase_if(waiting_, [this](const Key& key) {
    const auto it = rows_.find(key);
    if (it == rows_.end() || it->second.quiet == nullptr) return true;  // it has left
    if (!*it->second.quiet) return false;
    GrantFirst(&it->second);
    return true;
  });
  return !waiting_.empty();
}

void PacketHalves::GrantFirst(Row* row) {
  row->quiet.reset();
  SetLimits(*row);  // other workers may have charged until now
  GrantOutbound(row, SaReading{});
}

// --- Out of packet offload ---

// Outbound, the numbers that the device did not use are returned. Packets that come back from it
// get numbers like new ones.
void PacketHalves::Stop(const Sa& sa, Half half) {
  const auto it = rows_.find(KeyOf(sa, half));
  if (it == rows_.end()) return;
  Row row = std::move(it->second);
  rows_.erase(it);
  by_handle_.erase({row.device, row.handle.value});
  row.device->StopSa(row.handle);
  if (lied_(*row.device)) {
    CountLast(&row);
  } else {
    row.state = row.offload().TakeState(row.handle);
  }
  row.lost = !row.state.has_value();
  if (row.state.has_value()) {
    Absorb(&row, row.state->reading);
    if (IsInbound(half)) met_[KeyOf(sa, half)] = row.state->reading.wanted;
    if (!IsInbound(half) && !row.block.empty()) {
      const uint64_t used = std::max(row.state->reading.highest, row.block.first - 1);
      row.sa->outbound()->sequence.ReturnUnused(used, row.block.last);
    }
  }
  if (IsInbound(half)) {
    const bool met_none = std::max(row.counted.highest, row.counted.wanted) < row.block.first;
    if (row.lost && met_none && !lied_(*row.device)) {
      idle_.insert(KeyOf(sa, half));
    } else {
      idle_.erase(KeyOf(sa, half));
    }
  }
  leaving_[KeyOf(sa, half)] = std::move(row);
}

// Of a device that was caught. Its packets and bytes count, as before it was caught: too many end a
// lifetime too early, which is safe. Its numbers are not believed.
void PacketHalves::CountLast(Row* row) {
  const auto reading = row->offload().Read(row->handle);
  if (!reading.has_value()) return;
  const uint64_t highest = row->counted.highest;
  const uint64_t wanted = row->counted.wanted;
  Absorb(row, *reading);
  row->counted.highest = highest;
  row->counted.wanted = wanted;
}

// The window has the numbers that the device accepted. If they are unknown, it refuses the block. A
// device without a block has accepted none.
void PacketHalves::TakeBackInbound(const Row& row) {
  ReplayWindow& window = row.sa->inbound()->replay;
  if (row.state.has_value()) {
    const bool any = row.state->reading.highest >= row.block.first;
    window.Merge(any ? row.state->reading.highest : row.block.first - 1, row.state->bitmap);
  } else if (row.block.empty() && !lied_(*row.device)) {
    window.Merge(row.block.first - 1, {});
  } else {
    window.GiveUp(row.counted.highest, row.block.last);
  }
}

PacketHalves::Outcome PacketHalves::Finish(const Sa& sa, Half half) {
  const auto it = leaving_.find(KeyOf(sa, half));
  if (it == leaving_.end()) return {};
  const Row row = std::move(it->second);
  leaving_.erase(it);
  Outcome outcome;
  if (IsInbound(half)) {
    // Else Prepare has taken them back.
    if (Find(sa, half) == nullptr) TakeBackInbound(row);
    if (row.lost) outcome.refused_to = RefusedTo(&row.sa->inbound()->replay);
  }
  path_.BumpGeneration();  // packets wait for this (EarlyArrivals, HoldQueue)
  return outcome;
}

std::optional<uint64_t> PacketHalves::EdgeOf(const Sa& sa, Half half) const {
  const auto it = rows_.find(KeyOf(sa, half));
  if (it == rows_.end() || !IsInbound(half)) return std::nullopt;
  return it->second.block.first - 1;
}

// --- Blocks ---

// The last number that was used or met.
uint64_t PacketHalves::SeenOf(const Row& row, const SaReading& reading) {
  return std::max({reading.wanted, reading.highest, row.block.first - 1});
}

// How many numbers are left.
uint64_t PacketHalves::Ahead(const Row& row, const SaReading& reading) {
  const uint64_t seen = SeenOf(row, reading);
  return row.block.last > seen ? row.block.last - seen : 0;
}

// Two blocks ahead at most, however often the device asks.
bool PacketHalves::HasEnough(const Row& row, const SaReading& reading) const {
  if (row.block.empty() || Ahead(row, reading) <= 2 * row.step) return false;
  return !row.asked || clock_.MonotonicNs() - row.granted_ns < kAskedNs;
}

// A block that was used up quickly is followed by a larger one; so is an outbound one that was used
// up before this thread came to it.
void PacketHalves::ChooseStep(Row* row, const SaReading& reading) {
  const uint64_t now = clock_.MonotonicNs();
  const uint64_t lasts = IsInbound(row->half) ? kInboundNs : kOutboundNs;
  const uint64_t took = now - row->granted_ns;
  const uint64_t ahead = Ahead(*row, reading);
  const bool dry = !IsInbound(row->half) && !row->block.empty() && ahead == 0;
  row->asked = false;
  if (ahead > 2 * row->step) {
    // Its readings do not show how fast it is.
  } else if (took < lasts || dry) {
    row->step = std::min(row->step * 2, kLargest);
  } else if (took > 4 * lasts) {
    row->step = std::max(row->step / 2, kSmallest);
  }
  row->granted_ns = now;
}

void PacketHalves::Extend(Row* row) {
  const auto reading = row->offload().Read(row->handle);
  if (!reading.has_value()) return;
  Absorb(row, *reading);
  if (IsInbound(row->half)) {
    GrantInbound(row, *reading);
  } else if (row->quiet == nullptr) {
    GrantOutbound(row, *reading);
  }
}

void PacketHalves::GrantOutbound(Row* row, const SaReading& reading) {
  if (HasEnough(*row, reading)) return;
  ChooseStep(row, reading);
  SequenceCounter& sequence = row->sa->outbound()->sequence;
  if (numbers_ != nullptr) numbers_->EnsureOutbound(*row->sa, row->step);
  const SequenceRange range = sequence.Reserve(static_cast<uint32_t>(row->step));
  if (range.count == 0) {
    if (sequence.exhausted() && reading.highest >= row->block.last) {
      Report(DataPathEvent::Kind::kSequenceExhausted, *row);
    }
    return;
  }
  const NumberBlock block{range.first, range.first + range.count - 1};
  sequence.Depart(block.last);  // no worker waits for them
  // Numbers between the blocks went elsewhere (NEWAE); the device leaves the rest of its block.
  row->block = !row->block.empty() && block.first == row->block.last + 1
                   ? NumberBlock{row->block.first, block.last}
                   : block;
  row->offload().Grant(row->handle, block);
}

// How far up to `last` a device may accept numbers.
uint64_t PacketHalves::Reserved(const Sa& sa, uint64_t last) const {
  if (numbers_ == nullptr || !numbers_->Keeps(sa)) return last;
  const uint64_t reserved = numbers_->EnsureInbound(sa, last);
  sa.inbound()->replay.Lend(reserved);
  return reserved;
}

void PacketHalves::GrantInbound(Row* row, const SaReading& reading) {
  if (HasEnough(*row, reading)) return;
  const bool traffic = row->asked || std::max(reading.wanted, reading.highest) >= row->block.first;
  if (row->block.empty() && !traffic) return;
  // Beyond the end, if the device has passed what its reading shows.
  const bool old = Ahead(*row, reading) > 2 * row->step;
  ChooseStep(row, reading);
  const uint64_t seen = old ? row->block.last : SeenOf(*row, reading);
  row->block.last = std::max(row->block.last, Reserved(*row->sa, seen + row->step));
  row->offload().Grant(row->handle, row->block);
}

void PacketHalves::FollowTakeOver(const Sa& sa) {
  Row* row = Find(sa, Half::kInbound);
  if (row == nullptr) return;
  ReplayWindow& window = sa.inbound()->replay;
  const uint64_t edge = std::max(window.safe_edge(), row->block.first - 1);
  window.Limit(edge);
  row->block.first = edge + 1;
  row->block.last = std::max(row->block.last, Reserved(sa, edge + 2 * kSmallest));
  row->offload().Grant(row->handle, row->block);
}

}  // namespace cygnet
