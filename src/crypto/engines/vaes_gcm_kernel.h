// AES-GCM over vectors of several blocks. The same text serves every width: S is Ymm or Zmm. One
// file per instruction set includes it. Everything is in the unnamed namespace: otherwise the
// linker could pick one file's copy of a shared function, which may not run on this CPU.
//
// A packet is a row of blocks. The AES row is J0, text; the GHASH row is AAD, text, lengths. So
// lane 0 of the first vector holds J0 and AAD, and text block i is at place i + 1 in both rows.
//
// GHASH (NIST SP 800-38D) uses byte-reversed blocks and powers of H shifted left by one bit, so the
// product of a carry-less multiplication needs no shift. Karatsuba needs three multiplications per
// vector; on AMD one costs two cycles at any width, as much as two rounds of AES. Chunks are 16
// blocks with one reduction. Between chunks the sum stays spread over the lanes of a vector: lane i
// is added to the next block of lane i, so a chunk's vector v is multiplied by the same power in
// every lane. The end of a row is multiplied by consecutive powers down to H^1, and its lanes are
// added up.
//
// Short packets of one key and one length are columns of a group (vaes_gcm_columns.h), other short
// ones are rows of a group (vaes_gcm_group.h). Long ones of one key follow each other with tables
// of that key (vaes_gcm_one_key.h). Their rows hold text only; AES(J0) is computed beforehand, a
// packet in each lane (vaes_gcm_borders.h). The tables have a power for each vector of the chunks,
// so all chunks of such a packet share one reduction. Others are processed alone
// (vaes_gcm_packet.h).
//
// Branches and addresses depend only on lengths and pointers.
#pragma once

#include "crypto/engines/vaes_gcm_columns.h"
#include "crypto/engines/vaes_gcm_expand.h"
#include "crypto/engines/vaes_gcm_group.h"
#include "crypto/engines/vaes_gcm_one_key.h"
#include "crypto/engines/vaes_gcm_packet.h"

namespace cygnet::vaes_gcm {
namespace {

// A batch may use as many keys as packets, none of them in a near cache. The code that made the
// works has already touched line 0 of each key.
inline constexpr size_t kKeysAhead = 8;
CYGNET_INLINE void PrefetchKey(const Work* works, size_t i, size_t count) {
  if (i + kKeysAhead >= count) return;
  const Work& next = works[i + kKeysAhead];
  if (next.key == works[i + kKeysAhead - 1].key) return;
  const char* powers = reinterpret_cast<const char*>(next.key->powers);
  if (next.key->rounds > 10) _mm_prefetch(powers + 64 * 5, _MM_HINT_T0);
  Each<1, 5>([&](auto line) __attribute__((always_inline)) {
    _mm_prefetch(powers + 64 * line.value, _MM_HINT_T0);
  });
}

// How many of the next packets are longer ones of one key; zero if too few for KeyTables.
template <class S>
CYGNET_INLINE size_t OfOneKey(const Work* works, size_t count) {
  constexpr size_t kFewest = 4;
  constexpr unsigned kMaxLonger = KeyTables<S>::kMaxTextBytes - kMaxText;
  constexpr size_t kMost = KeyTables<S>::kMaxPackets;
  size_t n = 0;
  while (n < count && n < kMost && works[n].key == works[0].key &&
         works[n].job->text_length - kMaxText - 1 < kMaxLonger) {
    ++n;
  }
  return n < kFewest ? 0 : n;
}

template <class S, bool kSeal>
__attribute__((noinline)) void RunOneKey(const Work* works, size_t count) {
  unsigned longest = 0;
  for (size_t i = 0; i < count; ++i) {
    const unsigned length = works[i].job->text_length;
    longest = length > longest ? length : longest;
  }
  const KeyTables<S> tables(*works[0].key, longest);
  Borders<S> borders(works, static_cast<unsigned>(count), tables);
  if constexpr (kSeal) {
    Ending<S> ending;
    for (unsigned i = 0; i < count; ++i) {
      OneKeyPacket<S, true>::Seal(works[i], tables, &borders, i, &ending);
    }
    ending.AllSteps();
  } else {
    for (unsigned i = 0; i < count; ++i) {
      OneKeyPacket<S, false>::Open(works[i], tables, &borders, i);
    }
  }
}

template <class S, bool kSeal>
void Run(const Work* works, size_t count) {
  Columns<S, kSeal> columns;
  Group<S, kSeal> group(*works[0].key);
  AllPowers<S> powers;
  size_t taken;
  for (size_t i = 0; i < count; i += taken) {
    const bool in_columns = columns.Takes(works + i, count - i);
    const bool in_group = in_columns || group.Takes(works + i, count - i);
    taken = in_group ? S::kLanes : OfOneKey<S>(works + i, count - i);
    if (!in_group && taken != 0) {
      RunOneKey<S, kSeal>(works + i, taken);
      continue;
    }
    if (taken == 0) taken = 1;
    for (size_t k = i; k < i + taken; ++k) PrefetchKey(works, k, count);
    if (in_columns) {
      columns.Run(works + i);
    } else if (in_group) {
      group.Run(works + i);
    } else {
      const GcmKey& key = *works[i].key;
      const bool longer = works[i].job->text_length > kMaxText;
      Packet<S, kSeal>::Run(works[i], longer ? powers.Of(key) : Ghash<S>::EndOf(key));
    }
  }
  columns.Finish();
  group.Finish();
}

template <class S>
constexpr Kernel kKernelOf = {.expand = Expand<S>, .seal = Run<S, true>, .open = Run<S, false>};

}  // namespace
}  // namespace cygnet::vaes_gcm
