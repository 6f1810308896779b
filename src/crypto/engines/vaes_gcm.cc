// Sessions and queues of Cygnet's own AES-GCM for CPUs with vector AES and carry-less
// multiplication. Reasons: doc/decisions/0012-own-aes-gcm.md.
#include <cpuid.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/huge_memory.h"
#include "base/key_material.h"
#include "crypto/crypto_engine.h"
#include "crypto/engines/vaes_gcm_key.h"

namespace cygnet {
namespace {

using vaes_gcm::GcmKey;
using vaes_gcm::Kernel;
using vaes_gcm::Work;

// VAES and VPCLMULQDQ (CPUID leaf 7, ECX). Compilers do not agree on their names.
bool HasVectorCrypto() {
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  constexpr unsigned kNeeded = 1u << 9 | 1u << 10;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (c & kNeeded) == kNeeded;
}

// nullptr if this CPU has neither. The compiler's builtins also check the operating system's
// support.
const Kernel* ChooseKernel(bool avx512) {
  if (!HasVectorCrypto() || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("aes") ||
      !__builtin_cpu_supports("pclmul") || !__builtin_cpu_supports("bmi2")) {
    return nullptr;
  }
  const bool wide = avx512 && __builtin_cpu_supports("avx512f") &&
                    __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
  return wide ? &vaes_gcm::kAvx512Kernel : &vaes_gcm::kAvx2Kernel;
}

class Session : public CryptoSession {
 public:
  const GcmKey& key() const { return key_; }

 protected:
  GcmKey key_{};  // the round keys are in the derived class
};

// As large as its key needs. Allocated from slabs of huge pages: with a million sessions each would
// otherwise miss the TLB.
template <std::size_t kKeyBytes>
class alignas(64) SizedSession final : public Session, public FromSlab<SizedSession<kKeyBytes>> {
 public:
  // REQUIRES: the lengths are valid in the table.
  SizedSession(const Kernel& kernel, const SessionParams& params) {
    CYGNET_CHECK(reinterpret_cast<uint8_t*>(&key_ + 1) == round_keys_.data());
    kernel.expand(params.key.data(), kKeyBytes, &key_);
    key_.icv_bytes = params.icv_bytes;
    key_.seals = params.direction == CryptoDirection::kSeal;
  }
  ~SizedSession() override {
    SecureWipe(&key_, sizeof(key_));
    SecureWipe(round_keys_.data(), round_keys_.size());
  }
  SizedSession(const SizedSession&) = delete;
  SizedSession& operator=(const SizedSession&) = delete;

 private:
  std::array<uint8_t, kKeyBytes * 4 + 112> round_keys_;  // 11, 13 or 15 of 16 bytes
};
static_assert(sizeof(SizedSession<16>) == 320 && sizeof(SizedSession<32>) == 384);

class Queue final : public CryptoQueue {
 public:
  explicit Queue(const Kernel& kernel) : kernel_(kernel) {}

  std::size_t Submit(std::span<CryptoJob> jobs) override {
    for (std::size_t begin = 0; begin < jobs.size(); begin += kWindow) {
      RunWindow(jobs.subspan(begin, std::min(kWindow, jobs.size() - begin)));
    }
    return jobs.size();
  }

 private:
  static constexpr std::size_t kWindow = 64;

  // Works of one direction. Short packets go to the front, others to the back: kernels process
  // several short ones at a time, which must be neighbours for that.
  using Works = std::array<Work, kWindow>;
  struct Ends {
    std::size_t front = 0;
    std::size_t back = kWindow;
  };
  static void Add(CryptoJob* job, const GcmKey* key, Works* works, Ends* ends) {
    const std::size_t is_short = job->text_length <= vaes_gcm::kMaxText ? 1 : 0;
    // One of both places is the right one. By fields: a copy would wait for both stores.
    Work& at_front = (*works)[ends->front];
    Work& at_back = (*works)[ends->back - 1];
    at_front.job = at_back.job = job;
    at_front.key = at_back.key = key;
    ends->front += is_short;
    ends->back -= 1 - is_short;
  }
  static void Run(void (*kernel)(const Work*, std::size_t), const Works& works, Ends ends) {
    if (ends.front != 0) kernel(works.data(), ends.front);
    if (ends.back != kWindow) kernel(works.data() + ends.back, kWindow - ends.back);
  }

  void RunWindow(std::span<CryptoJob> jobs) {
    Works seal;
    Works open;
    Ends seal_ends;
    Ends open_ends;
    for (CryptoJob& job : jobs) {
      const GcmKey& key = static_cast<const Session*>(job.session)->key();
      if (key.seals) {
        Add(&job, &key, &seal, &seal_ends);
      } else {
        Add(&job, &key, &open, &open_ends);
      }
    }
    Run(kernel_.seal, seal, seal_ends);
    Run(kernel_.open, open, open_ends);
  }

  const Kernel& kernel_;
};

class VaesGcmEngine final : public CryptoEngine {
 public:
  explicit VaesGcmEngine(const Kernel* kernel) : kernel_(kernel) {}

  std::string_view name() const override { return "vaes_gcm"; }
  ModuleIdentity identity() const override {
    return {.model = "Cygnet AES-GCM", .version = CYGNET_VERSION};
  }
  bool Supports(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth) const override {
    return kernel_ != nullptr && cipher.id == AlgorithmId::kAesGcm && auth == nullptr;
  }

  Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) override {
    CYGNET_RETURN_IF_ERROR(CheckSessionParams(*this, params));
    switch (params.key.size() - params.cipher->salt_bytes) {
      case 16:
        return Make<16>(params);
      case 24:
        return Make<24>(params);
      default:
        return Make<32>(params);
    }
  }

  std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) override {
    CYGNET_CHECK(kernel_ != nullptr);
    (void)number;  // sessions are read-only, so any queue serves any of them
    return std::make_unique<Queue>(*kernel_);
  }

 private:
  template <std::size_t kKeyBytes>
  std::unique_ptr<CryptoSession> Make(const SessionParams& params) const {
    return std::make_unique<SizedSession<kKeyBytes>>(*kernel_, params);
  }

  const Kernel* const kernel_;
};

}  // namespace

extern const EngineInfo kVaesGcmEngine;
const EngineInfo kVaesGcmEngine = {
    .name = "vaes_gcm",
    .help = "Cygnet's AES-GCM with the CPU's vector AES (VAES, VPCLMULQDQ)",
    .probe = [] { return ChooseKernel(true) != nullptr ? 30 : 0; },
    .create = [](const EngineOptions& options) -> std::unique_ptr<CryptoEngine> {
      return std::make_unique<VaesGcmEngine>(ChooseKernel(options.avx512));
    },
    .version = [] { return std::string(CYGNET_VERSION); },
};

}  // namespace cygnet
