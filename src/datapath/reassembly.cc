#include "datapath/reassembly.h"

#include <algorithm>
#include <cstring>

namespace cygnet {
namespace {

constexpr uint8_t kNotEct = 1 << 0;  // as bits of Datagram::ecn_seen
constexpr uint8_t kCe = 1 << 3;

bool SameBytes(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

Reassembler::Reassembler(DropSink* sink, uint64_t hash_seed)
    : sink_(sink),
      hash_seed_(hash_seed),
      datagrams_(std::make_unique<Datagram[]>(kMaxDatagrams)),
      ages_{AgeList{.timeout_ms = kTimeoutV4Ms}, AgeList{.timeout_ms = kTimeoutV6Ms}} {
  buckets_.fill(kNone);
  for (uint16_t i = 0; i + 1u < kMaxDatagrams; ++i) {
    datagrams_[i].chain = static_cast<uint16_t>(i + 1);
  }
}

void Reassembler::Clear() {
  while (in_progress_ > 0) {
    const uint16_t oldest = Oldest();
    for (const Fragment& fragment : datagrams_[oldest].held()) {
      bytes_held_ -= fragment.packet->capacity;
      sink_->Recycle(fragment.packet);
    }
    datagrams_[oldest].count = 0;
    Unlink(oldest);
  }
}

Packet* Reassembler::Add(Packet* packet, const IpPacketView& ip, uint64_t now_ms,
                         uint64_t came_by) {
  Expire(now_ms);
  std::optional<FragmentPiece> piece = ReadFragment(packet, ip);
  if (!piece) {
    sink_->Drop(packet, DropReason::kInBadHeader);
    return nullptr;
  }
  piece->key.came_by = came_by;
  if (piece->Atomic()) return Unwrap(*piece);
  const uint16_t index = FindOrBegin(piece->key, now_ms);
  Datagram& datagram = datagrams_[index];
  if (datagram.refused != DropReason::kNone) {
    sink_->Drop(packet, datagram.refused);
    return nullptr;
  }
  uint32_t place = 0;
  const Fit fit = FindPlace(datagram, *piece, &place);
  if (fit == Fit::kDuplicate) {
    sink_->Recycle(packet);
    return nullptr;
  }
  if (fit == Fit::kOverlap) {
    Refuse(&datagram, packet, DropReason::kInFragmentOverlap);
    return nullptr;
  }
  if (datagram.count == kMaxFragments) {
    Refuse(&datagram, packet, DropReason::kInFragmentMemory);
    return nullptr;
  }
  if (!MakeRoom(packet->capacity, index)) {
    sink_->Drop(packet, DropReason::kInFragmentMemory);
    return nullptr;
  }
  Insert(*piece, place, &datagram);
  datagram.largest = std::max(datagram.largest, ip.total_length);
  bytes_held_ += packet->capacity;
  return datagram.Whole() ? Join(index) : nullptr;
}

// An atomic fragment is independent of other fragments with the same identification.
Packet* Reassembler::Unwrap(const FragmentPiece& atomic) {
  Packet* packet = atomic.fragment.packet;
  last_cut_ = {};
  Packet* whole = JoinFragments({&atomic.fragment, 1}, {.next_header_at = atomic.next_header_at},
                                sink_->caches());
  if (whole == nullptr) {
    sink_->Drop(packet, DropReason::kInFragmentMemory);
    return nullptr;
  }
  if (whole != packet) sink_->Recycle(packet);
  return Checked(whole);
}

void Reassembler::Expire(uint64_t now_ms) {
  for (const AgeList& list : ages_) {
    while (list.oldest != kNone && now_ms >= datagrams_[list.oldest].begun_ms + list.timeout_ms) {
      Evict(list.oldest, DropReason::kInFragmentTimeout);
    }
  }
}

Reassembler::Fit Reassembler::FindPlace(const Datagram& datagram, const FragmentPiece& piece,
                                        uint32_t* place) {
  const Fragment& added = piece.fragment;
  const std::span<const Fragment> held = datagram.held();
  uint32_t i = datagram.count;  // from the back: fragments mostly come in order
  while (i > 0 && held[i - 1].offset >= added.offset) --i;
  *place = i;
  if (i < held.size() && held[i].offset == added.offset) {
    const bool is_last = datagram.end != 0 && held[i].end() == datagram.end;
    const bool same = is_last == !piece.more && SameBytes(held[i].data(), added.data());
    return same ? Fit::kDuplicate : Fit::kOverlap;
  }
  if (i > 0 && held[i - 1].end() > added.offset) return Fit::kOverlap;
  if (i < held.size() && added.end() > held[i].offset) return Fit::kOverlap;
  // The datagram has at most one end, and no piece lies beyond it.
  const bool fits_end = piece.more ? datagram.end == 0 || added.end() <= datagram.end
                                   : datagram.end == 0 && i == held.size();
  return fits_end ? Fit::kFits : Fit::kOverlap;
}

void Reassembler::Insert(const FragmentPiece& piece, uint32_t place, Datagram* datagram) {
  Fragment* const row = datagram->fragments.data();
  std::copy_backward(row + place, row + datagram->count, row + datagram->count + 1);
  row[place] = piece.fragment;
  ++datagram->count;
  datagram->received += piece.fragment.length;
  datagram->ecn_seen = static_cast<uint8_t>(datagram->ecn_seen | 1u << piece.ecn);
  if (!piece.more) datagram->end = piece.fragment.end();
  if (piece.fragment.offset == 0) datagram->next_header_at = piece.next_header_at;
}

uint16_t* Reassembler::BucketOf(const FragmentKey& key) {
  uint64_t words[sizeof(FragmentKey) / 8];
  std::memcpy(words, &key, sizeof(key));
  uint64_t h = hash_seed_;
  for (const uint64_t word : words) {
    h = SeededHash(h, word);
  }
  return &buckets_[h % kBuckets];
}

uint16_t Reassembler::FindOrBegin(const FragmentKey& key, uint64_t now_ms) {
  for (uint16_t i = *BucketOf(key); i != kNone; i = datagrams_[i].chain) {
    if (datagrams_[i].key == key) return i;
  }
  if (in_progress_ == kMaxDatagrams) Evict(Oldest(), DropReason::kInFragmentMemory);
  const uint16_t index = free_;
  free_ = datagrams_[index].chain;
  // Reset everything but the fragments, because only the first `count` of them are valid.
  Datagram& datagram = datagrams_[index];
  datagram.key = key;
  datagram.end = 0;
  datagram.received = 0;
  datagram.largest = 0;
  datagram.count = 0;
  datagram.ecn_seen = 0;
  datagram.refused = DropReason::kNone;
  Link(index, now_ms);
  return index;
}

void Reassembler::Link(uint16_t index, uint64_t now_ms) {
  Datagram& datagram = datagrams_[index];
  uint16_t* bucket = BucketOf(datagram.key);
  datagram.chain = *bucket;
  *bucket = index;
  AgeList& list = ListOf(datagram.key.family);
  datagram.begun_ms = now_ms;
  datagram.older = list.newest;
  datagram.newer = kNone;
  (list.newest == kNone ? list.oldest : datagrams_[list.newest].newer) = index;
  list.newest = index;
  ++in_progress_;
}

void Reassembler::Unlink(uint16_t index) {
  Datagram& datagram = datagrams_[index];
  uint16_t* link = BucketOf(datagram.key);
  while (*link != index) link = &datagrams_[*link].chain;
  *link = datagram.chain;
  AgeList& list = ListOf(datagram.key.family);
  (datagram.older == kNone ? list.oldest : datagrams_[datagram.older].newer) = datagram.newer;
  (datagram.newer == kNone ? list.newest : datagrams_[datagram.newer].older) = datagram.older;
  datagram.chain = free_;
  free_ = index;
  --in_progress_;
}

uint16_t Reassembler::Oldest() const {
  const uint16_t v4 = ages_[0].oldest;
  const uint16_t v6 = ages_[1].oldest;
  if (v4 == kNone || v6 == kNone) return v4 == kNone ? v6 : v4;
  return datagrams_[v4].begun_ms <= datagrams_[v6].begun_ms ? v4 : v6;
}

bool Reassembler::MakeRoom(uint32_t bytes, uint16_t keep) {
  while (bytes_held_ + bytes > kMaxBytes) {
    const uint16_t oldest = Oldest();
    Evict(oldest, DropReason::kInFragmentMemory);
    if (oldest == keep) return false;
  }
  return true;
}

void Reassembler::DropHeld(Datagram* datagram, DropReason reason) {
  for (const Fragment& fragment : datagram->held()) {
    bytes_held_ -= fragment.packet->capacity;
    sink_->Drop(fragment.packet, reason);
  }
  datagram->count = 0;
}

void Reassembler::Evict(uint16_t index, DropReason reason) {
  DropHeld(&datagrams_[index], reason);
  Unlink(index);
}

void Reassembler::Refuse(Datagram* datagram, Packet* packet, DropReason reason) {
  sink_->Drop(packet, reason);
  DropHeld(datagram, reason);
  datagram->refused = reason;
}

Packet* Reassembler::Join(uint16_t index) {
  Datagram& datagram = datagrams_[index];
  const bool ce = (datagram.ecn_seen & kCe) != 0;
  if (ce && (datagram.ecn_seen & kNotEct) != 0) {
    Evict(index, DropReason::kInFragmentOverlap);
    return nullptr;
  }
  // The first fragment may have a longer header than the others.
  if (JoinedLength(datagram.held()) > kMaxIpPacket) {
    Evict(index, DropReason::kInBadHeader);
    return nullptr;
  }
  Packet* whole = JoinFragments(
      datagram.held(), {.next_header_at = datagram.next_header_at, .congestion_experienced = ce},
      sink_->caches());
  if (whole == nullptr) {
    Evict(index, DropReason::kInFragmentMemory);
    return nullptr;
  }
  for (const Fragment& fragment : datagram.held()) {
    bytes_held_ -= fragment.packet->capacity;
    if (fragment.packet != whole) sink_->Recycle(fragment.packet);
  }
  datagram.count = 0;
  last_cut_ = {datagram.largest, datagram.key.id};
  Unlink(index);
  return Checked(whole);
}

// With nested fragment headers, the joined packet may again be a fragment.
Packet* Reassembler::Checked(Packet* whole) {
  const auto ip = ParseIpPacket(whole->l3());
  if (ip && !ip->fragment) return whole;
  sink_->Drop(whole, DropReason::kInBadHeader);
  return nullptr;
}

}  // namespace cygnet
