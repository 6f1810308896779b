// Sessions of the ipsec-mb engine: expanded keys and a job template for every packet.
#pragma once

#include <intel-ipsec-mb.h>

#include <array>
#include <memory>

#include "crypto/crypto_engine.h"

namespace cygnet::ipsec_mb {

struct ManagerDeleter {
  void operator()(IMB_MGR* manager) const { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, ManagerDeleter>;

// Uses the widest lanes that the CPU has and that are allowed; nullptr if the library cannot run on
// it. Two threads must not use one manager at once.
Manager CreateManager(bool avx512);
// Narrow lanes with the CPU's SHA instructions: faster for one or two packets, which would leave
// most of sixteen lanes empty. nullptr if the CPU has no SHA instructions.
Manager CreateNarrowManager();
// True if lanes are 512 bits wide.
bool HasWideLanes(const IMB_MGR& manager);

inline constexpr std::size_t kAesScheduleBytes = 240;  // 15 round keys

struct AesKeys {
  alignas(16) std::array<uint8_t, kAesScheduleBytes> encrypt;
  alignas(16) std::array<uint8_t, kAesScheduleBytes> decrypt;
};
struct Des3Keys {
  std::array<std::array<uint64_t, 16>, 3> schedules;
  std::array<const uint64_t*, 3> pointers;  // named by a job
};
struct MacKeys {
  alignas(16) std::array<uint8_t, kAesScheduleBytes> chaining;  // CMAC: expanded
  alignas(16) std::array<uint8_t, 64> first;   // HMAC: state after K ⊕ ipad; otherwise a subkey
  alignas(16) std::array<uint8_t, 64> second;  // HMAC: state after K ⊕ opad; otherwise a subkey
};

class Session final : public CryptoSession {
 public:
  enum class Way : uint8_t {
    kGcm,   // one packet at a time, through the direct functions
    kGmac,  // same
    kJob,   // through the job manager, together with packets of other sessions
  };

  // Sessions whose jobs fill lanes together and for which the CPU may have SHA instructions.
  enum class LaneGroup : uint8_t { kOther, kSha1, kSha256 };

  // REQUIRES: the engine supports the pair, and the lengths are valid in the table.
  Session(IMB_MGR* manager, const SessionParams& params);
  ~Session() override;  // wipes the keys

  Way way() const { return way_; }
  CryptoDirection direction() const { return direction_; }
  const AlgorithmDescriptor& cipher() const { return *cipher_; }
  std::size_t icv_bytes() const { return icv_bytes_; }
  bool encrypts() const { return job_.cipher_mode != IMB_CIPHER_NULL; }

  // For kGcm and kGmac.
  const gcm_key_data* gcm_key() const { return keys_.gcm.get(); }
  std::size_t key_bytes() const { return key_bytes_; }

  // For kJob: everything that is the same for all packets.
  const IMB_JOB& job() const { return job_; }
  LaneGroup lane_group() const {
    if (job_.cipher_mode == IMB_CIPHER_DES3) return LaneGroup::kOther;  // narrow lanes are slow
    if (job_.hash_alg == IMB_AUTH_HMAC_SHA_1) return LaneGroup::kSha1;
    return job_.hash_alg == IMB_AUTH_HMAC_SHA_256 ? LaneGroup::kSha256 : LaneGroup::kOther;
  }

 private:
  void ExpandGcm(IMB_MGR* manager, std::span<const uint8_t> key);
  void ExpandCipher(IMB_MGR* manager, std::span<const uint8_t> key);
  void ExpandAes(IMB_MGR* manager, std::span<const uint8_t> key);
  void ExpandMac(IMB_MGR* manager, const AlgorithmDescriptor& auth, std::span<const uint8_t> key);

  // Holds only what the algorithm needs.
  struct Keys {
    std::unique_ptr<gcm_key_data> gcm;
    std::unique_ptr<AesKeys> aes;
    std::unique_ptr<Des3Keys> des3;
    std::unique_ptr<MacKeys> mac;
    std::array<uint8_t, 32> chacha;
  };

  const AlgorithmDescriptor* const cipher_;
  const CryptoDirection direction_;
  const std::size_t icv_bytes_;
  const std::size_t key_bytes_;  // without the salt
  Way way_ = Way::kJob;
  Keys keys_{};
  IMB_JOB job_{};
};

}  // namespace cygnet::ipsec_mb
