// Reassembler: reassembles IP fragments (RFC 791, RFC 8200 section 4.5), which must happen before
// ESP input (RFC 4303 section 3.4.1). It holds a bounded number of datagrams, fragments and bytes,
// because anybody can send fragments.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

#include "datapath/fragment_piece.h"
#include "packet/packet_batch.h"

namespace cygnet {

// Belongs to one worker. Owns the fragments it holds. Each leaves as part of a whole packet,
// through the drop sink with a reason, or recycled as a duplicate. Nothing is allocated after
// construction. Times are monotonic milliseconds.
//
// No ICMP "time exceeded" is sent: a receiver could not trust it, and it would answer forged
// fragments.
class Reassembler {
 public:
  // How a datagram was cut by its source or a router.
  struct Cut {
    uint32_t largest = 0;  // bytes of the largest fragment, IP header included; 0: it was not cut
    uint32_t id = 0;
  };

  static constexpr uint32_t kMaxDatagrams = 256;  // in progress, including refused ones
  static constexpr uint32_t kMaxFragments = 64;   // of one datagram
  // Of packet buffers, each counted whole: even a fragment of 8 bytes occupies a buffer.
  static constexpr uint32_t kMaxBytes = 1024 * 1024;
  // Counted from the first fragment that arrives. IPv4 as in Linux: within the 60 – 120 s of RFC
  // 1122 section 3.3.2, 16-bit identifications repeat (RFC 4963). IPv6: RFC 8200.
  static constexpr uint64_t kTimeoutV4Ms = 30'000;
  static constexpr uint64_t kTimeoutV6Ms = 60'000;

  // `sink` outlives this object, unless Use() replaces it. `hash_seed`: random, so that an attacker
  // cannot choose fragments of one bucket.
  Reassembler(DropSink* sink, uint64_t hash_seed);
  // Sets the sink that drops packets, and whose caches supply them, from now on.
  void Use(DropSink* sink) { sink_ = sink; }
  // Recycles the held fragments without counting them as drops.
  void Clear();
  ~Reassembler() { Clear(); }
  Reassembler(const Reassembler&) = delete;
  Reassembler& operator=(const Reassembler&) = delete;

  // Takes ownership of a fragment, which `ip` describes. REQUIRES: ip.fragment. `came_by`:
  // identifies the way of arrival (interface, SAs). Only fragments that came the same way are
  // joined, so that nobody can insert a piece into an authenticated datagram. Returns the whole
  // packet once its last missing piece is there, else nullptr. The whole packet parses (`ip` does
  // not describe it), is not a fragment, has at most kMaxIpPacket bytes from l3 on, and
  // kPacketTailroom bytes after its end. Its headers, interface and offload state are those of the
  // first fragment.
  //
  // Drops: kInBadHeader: ReadFragment refused it, or the whole packet would be malformed.
  // kInFragmentOverlap: fragments overlap, give two different ends, or have ECN marks that must not
  // be joined (RFC 3168 section 5.3). By RFC 5722 this drops the datagram and all its later
  // fragments until it would have timed out. kInFragmentMemory: a bound was reached and the oldest
  // datagram was evicted; or no buffer was free; or the datagram has more than kMaxFragments, which
  // refuses it as an overlap does. An exact duplicate of a held fragment is not counted as a drop.
  Packet* Add(Packet* packet, const IpPacketView& ip, uint64_t now_ms, uint64_t came_by = 0);
  // The cut of the packet that Add returned last.
  const Cut& last_cut() const { return last_cut_; }

  // Drops datagrams that have waited too long (kInFragmentTimeout). It checks only the oldest, so
  // it is cheap enough for every turn of the worker's loop.
  void Expire(uint64_t now_ms);

  bool Idle() const { return in_progress_ == 0; }
  uint32_t in_progress() const { return in_progress_; }
  uint32_t bytes_held() const { return bytes_held_; }

 private:
  static constexpr uint16_t kNone = 0xffff;
  static constexpr uint32_t kBuckets = 2 * kMaxDatagrams;  // power of two

  // Its fragments are sorted by offset and do not overlap.
  struct Datagram {
    FragmentKey key;
    uint64_t begun_ms = 0;
    uint32_t end = 0;  // bytes of the whole datagram's data; 0 = the last piece is not there yet
    uint32_t received = 0;
    uint32_t largest = 0;  // bytes of the largest fragment
    uint16_t next_header_at = 0;
    uint16_t chain = kNone;  // next in its bucket, or in the free list
    uint16_t older = kNone;
    uint16_t newer = kNone;
    uint8_t count = 0;
    uint8_t ecn_seen = 0;                    // bit n: codepoint n
    DropReason refused = DropReason::kNone;  // why the datagram was refused
    std::array<Fragment, kMaxFragments> fragments;

    std::span<const Fragment> held() const { return {fragments.data(), count}; }
    bool Whole() const { return end != 0 && received == end; }
  };

  // Datagrams by age. One list per family, because each family has its own timeout.
  struct AgeList {
    uint16_t oldest = kNone;
    uint16_t newest = kNone;
    uint64_t timeout_ms = 0;
  };

  enum class Fit : uint8_t { kFits, kDuplicate, kOverlap };
  // Sets `place` to the index that the piece has or would have.
  static Fit FindPlace(const Datagram& datagram, const FragmentPiece& piece, uint32_t* place);
  static void Insert(const FragmentPiece& piece, uint32_t place, Datagram* datagram);

  AgeList& ListOf(IpFamily family) { return ages_[family == IpFamily::kV4 ? 0 : 1]; }
  uint16_t* BucketOf(const FragmentKey& key);
  uint16_t FindOrBegin(const FragmentKey& key, uint64_t now_ms);
  void Link(uint16_t index, uint64_t now_ms);
  void Unlink(uint16_t index);
  uint16_t Oldest() const;
  // Evicts the oldest datagrams until `bytes` more may be held. False if `keep` itself was evicted.
  bool MakeRoom(uint32_t bytes, uint16_t keep);
  void Evict(uint16_t index, DropReason reason);
  void DropHeld(Datagram* datagram, DropReason reason);
  void Refuse(Datagram* datagram, Packet* packet, DropReason reason);
  Packet* Unwrap(const FragmentPiece& atomic);
  Packet* Join(uint16_t index);
  Packet* Checked(Packet* whole);

  DropSink* sink_;
  const uint64_t hash_seed_;
  const std::unique_ptr<Datagram[]> datagrams_;
  std::array<uint16_t, kBuckets> buckets_;
  std::array<AgeList, 2> ages_;
  uint16_t free_ = 0;
  uint32_t in_progress_ = 0;
  uint32_t bytes_held_ = 0;
  Cut last_cut_;
};

}  // namespace cygnet
