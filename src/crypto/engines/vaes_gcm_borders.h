// What begins and ends the packets of one key: AES(J0), a packet in each lane, and the length
// block. Part of vaes_gcm_kernel.h.
#pragma once

#include "crypto/engines/vaes_gcm_key_tables.h"

namespace cygnet::vaes_gcm {
namespace {

template <class S>
class Borders {
  using V = typename S::V;
  using G = Ghash<S>;

 public:
  static constexpr unsigned kMaxPackets = KeyTables<S>::kMaxPackets;

  // REQUIRES: count is at least 1, at most kMaxPackets.
  __attribute__((noinline)) Borders(const Work* works, unsigned count, const KeyTables<S>& tables)
      : works_(works), count_(count), power_(S::InLane0(LoadBlock(tables.powers_end() - 16))) {
    const GcmKey& key = *works->key;
    for (unsigned i = 0; i < end(); i += S::kLanes) Prepare(i, key);
    for (unsigned i = 0; i < end(); i += kAtOnce) Encrypt(i, key, tables);
  }
  Borders(const Borders&) = delete;
  Borders& operator=(const Borders&) = delete;
  CYGNET_INLINE ~Borders() {
    power_ = S::Zero();
    lengths_times_h_ = {};
    for (unsigned i = 0; i < end(); i += S::kLanes) {
      for (uint8_t* secret : {counters_, pads_}) S::Store(secret + 16 * i, S::Zero());
    }
    __asm__ volatile("" : : "r"(this) : "memory");  // the wipe stays
  }

  // Counter 0 of packet `i`, after the first round.
  CYGNET_INLINE __m128i Counter(unsigned i) const { return LoadBlock(counters_ + 16 * i); }
  // Its AES(J0).
  CYGNET_INLINE __m128i Pad(unsigned i) const { return LoadBlock(pads_ + 16 * i); }
  // The length block times H, not reduced. Most packets have the lengths of the one before.
  CYGNET_INLINE const typename G::Sum& LengthsTimesH(const CryptoJob& job) {
    const uint64_t lengths = uint64_t{job.aad_length} << 32 | job.text_length;
    if (lengths != lengths_) {
      lengths_ = lengths;
      lengths_times_h_ = {};
      G::AddOne(S::InLane0(Lengths(job)), power_, &lengths_times_h_);
    }
    return lengths_times_h_;
  }

 private:
  // Packets that are encrypted at a time: in four vectors, so that none waits for its own results.
  static constexpr int kVectors = 4;
  static constexpr unsigned kAtOnce = kVectors * S::kLanes;
  static_assert(kMaxPackets % kAtOnce == 0);

  CYGNET_INLINE unsigned end() const { return (count_ + kAtOnce - 1) / kAtOnce * kAtOnce; }
  // Up to end() the last packet is repeated.
  CYGNET_INLINE const Work& WorkOf(unsigned i) const { return works_[i < count_ ? i : count_ - 1]; }
  static CYGNET_INLINE V RoundKey(const GcmKey& key, unsigned r) {
    return S::Repeat(LoadBlock(RoundKeys(key) + 16 * r));
  }

  CYGNET_INLINE void Prepare(unsigned first, const GcmKey& key) {
    const uint8_t* nonces[S::kLanes];
    Each<0, S::kLanes>([&](auto g) __attribute__((always_inline)) {
      nonces[g.value] = reinterpret_cast<const uint8_t*>(&WorkOf(first + g.value).job->nonce);
    });
    const V without_counter = S::Repeat(LoadBlock(kFirstBytes + 32 - 12));
    const V nonce = S::And(S::LoadEach(nonces, 0), without_counter);
    S::Store(counters_ + 16 * first, S::Aes(S::Xor(nonce, RoundKey(key, 0)), RoundKey(key, 1)));
  }

  // J0 of kAtOnce packets.
  CYGNET_INLINE void Encrypt(unsigned first, const GcmKey& key, const KeyTables<S>& tables) {
    const V counter_1 = S::Repeat(LoadBlock(tables.first_round_of_1()));
    V x[kVectors];
    const auto each = [&](auto f) __attribute__((always_inline)) {
      Each<0, kVectors>([&](auto i) __attribute__((always_inline)) {
        f(x[i.value], 16 * (first + S::kLanes * i.value));
      });
    };
    const auto round = [&](unsigned r) __attribute__((always_inline)) {
      const V k = RoundKey(key, r);
      each([&](V & v, unsigned) __attribute__((always_inline)) { v = S::Aes(v, k); });
    };
    each([&](V & v, unsigned at)
             __attribute__((always_inline)) { v = S::Xor(S::Load(counters_ + at), counter_1); });
    Each<2, 10>([&](auto r) __attribute__((always_inline)) { round(r.value); });
    RoundsOfLongerKeys(key.rounds, round);
    const V last = RoundKey(key, key.rounds);
    each([&](V & v, unsigned at)
             __attribute__((always_inline)) { S::Store(pads_ + at, S::AesLast(v, last)); });
  }

  const Work* const works_;
  const unsigned count_;
  V power_;               // H^1
  uint64_t lengths_ = 0;  // of AAD and text, whose block times H is known
  typename G::Sum lengths_times_h_;
  alignas(64) uint8_t counters_[16 * kMaxPackets];
  alignas(64) uint8_t pads_[16 * kMaxPackets];
};

}  // namespace
}  // namespace cygnet::vaes_gcm
