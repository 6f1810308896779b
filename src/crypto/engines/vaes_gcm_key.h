// Shared by the AES-GCM kernels and the engine: the expanded key of a session, and the function
// table of one instruction set. Plain data only: the kernels' files are built for CPUs that may not
// be present, so this header must not contain inline functions.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cygnet {

struct CryptoJob;

namespace vaes_gcm {

// 504 bytes, so that a session with its virtual table is eight cache lines. AES-128 needs seven of
// them, and six for short packets. Only the kernel knows which powers are stored and in which
// order.
struct GcmKey {
  uint8_t rounds;
  uint8_t icv_bytes;
  bool seals;
  uint8_t unused[5];
  uint8_t powers[256];  // of the hash key H
  uint8_t round_keys[15 * 16];
};

struct Work {
  CryptoJob* job;
  const GcmKey* key;
};

// One instruction set. Every job is finished when the call returns.
struct Kernel {
  // REQUIRES: key_bytes is 16, 24 or 32.
  void (*expand)(const uint8_t* key, size_t key_bytes, GcmKey* out);
  void (*seal)(const Work* works, size_t count);
  void (*open)(const Work* works, size_t count);
};

extern const Kernel kAvx2Kernel;    // AVX2, VAES, VPCLMULQDQ; neither GFNI nor AVX-512
extern const Kernel kAvx512Kernel;  // AVX-512 F, BW, DQ, VL, VAES, VPCLMULQDQ

}  // namespace vaes_gcm
}  // namespace cygnet
