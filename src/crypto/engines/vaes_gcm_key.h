// Shared by the AES-GCM kernels and the engine: the expanded key of a session, and the function
// table of one instruction set. Plain data only: the kernels' files are built for CPUs that may not
// be present, so this header must not contain inline functions.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cygnet {

struct CryptoJob;

namespace vaes_gcm {

// What is kept of a key. The round keys follow it in memory, 16 bytes each, rounds + 1 of them:
// with a virtual table in front, the session of an AES-128 key is five cache lines, of an AES-256
// key six. A million keys do not fit into a cache, and a packet waits for each line. So higher
// powers, which only packets of more than 96 bytes use, are computed for each run of packets with
// one key.
struct GcmKey {
  uint8_t rounds;
  uint8_t icv_bytes;
  bool seals;
  uint8_t unused;
  uint8_t powers[8 * 16];  // of the hash key H: H^8 … H^1
};
static_assert(sizeof(GcmKey) == 132, "round keys follow without a gap");

// J0 or AAD, six blocks of text and the lengths: eight powers are enough for a short packet.
inline constexpr unsigned kMaxText = 96;

struct Work {
  CryptoJob* job;
  const GcmKey* key;
};

// One instruction set. Every job is finished when the call returns.
struct Kernel {
  // REQUIRES: key_bytes is 16, 24 or 32; key_bytes * 4 + 112 bytes of memory follow `out`.
  void (*expand)(const uint8_t* key, size_t key_bytes, GcmKey* out);
  void (*seal)(const Work* works, size_t count);
  void (*open)(const Work* works, size_t count);
};

extern const Kernel kAvx2Kernel;    // AVX2, VAES, VPCLMULQDQ; neither GFNI nor AVX-512
extern const Kernel kAvx512Kernel;  // AVX-512 F, BW, DQ, VL, VAES, VPCLMULQDQ

}  // namespace vaes_gcm
}  // namespace cygnet
