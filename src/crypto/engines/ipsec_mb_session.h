// Sessions of the ipsec-mb engine: expanded keys and a filled-in job that every packet starts from.
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

// The widest lanes that this CPU has and that are allowed; nullptr when the library cannot run on
// it. A manager is not for two threads at once.
Manager CreateManager(bool avx512);
// Narrow lanes with the CPU's SHA instructions: faster for a packet or two, where sixteen lanes
// would run empty. nullptr when the CPU has none.
Manager CreateNarrowManager();
// Whether lanes are 512 bits wide.
bool HasWideLanes(const IMB_MGR& manager);

inline constexpr std::size_t kAesScheduleBytes = 240;  // 15 round keys

struct AesKeys {
  alignas(16) std::array<uint8_t, kAesScheduleBytes> encrypt;
  alignas(16) std::array<uint8_t, kAesScheduleBytes> decrypt;
};
struct Des3Keys {
  std::array<std::array<uint64_t, 16>, 3> schedules;
  std::array<const uint64_t*, 3> pointers;  // what a job names
};
struct MacKeys {
  alignas(16) std::array<uint8_t, kAesScheduleBytes> chaining;  // CMAC: expanded
  alignas(16) std::array<uint8_t, 64> first;   // HMAC: state behind K ⊕ ipad; else a subkey
  alignas(16) std::array<uint8_t, 64> second;  // HMAC: state behind K ⊕ opad; else a subkey
};

class Session final : public CryptoSession {
 public:
  enum class Way : uint8_t {
    kGcm,   // one packet at a time, by the direct functions
    kGmac,  // likewise
    kJob,   // through the job manager, beside packets of other sessions
  };

  // What fills lanes together and has SHA instructions.
  enum class LaneGroup : uint8_t { kOther, kSha1, kSha256 };

  // REQUIRES: the engine supports the pair, lengths are those of the table.
  Session(IMB_MGR* manager, const SessionParams& params);
  ~Session() override;  // wipes the keys

  Way way() const { return way_; }
  CryptoDirection direction() const { return direction_; }
  const AlgorithmDescriptor& cipher() const { return *cipher_; }
  std::size_t icv_bytes() const { return icv_bytes_; }
  bool encrypts() const { return job_.cipher_mode != IMB_CIPHER_NULL; }

  // kGcm and kGmac.
  const gcm_key_data* gcm_key() const { return keys_.gcm.get(); }
  std::size_t key_bytes() const { return key_bytes_; }

  // kJob: all that does not change from packet to packet.
  const IMB_JOB& job() const { return job_; }
  LaneGroup lane_group() const {
    if (job_.cipher_mode == IMB_CIPHER_DES3) return LaneGroup::kOther;  // narrow lanes crawl
    if (job_.hash_alg == IMB_AUTH_HMAC_SHA_1) return LaneGroup::kSha1;
    return job_.hash_alg == IMB_AUTH_HMAC_SHA_256 ? LaneGroup::kSha256 : LaneGroup::kOther;
  }

 private:
  void ExpandGcm(IMB_MGR* manager, std::span<const uint8_t> key);
  void ExpandCipher(IMB_MGR* manager, std::span<const uint8_t> key);
  void ExpandAes(IMB_MGR* manager, std::span<const uint8_t> key);
  void ExpandMac(IMB_MGR* manager, const AlgorithmDescriptor& auth, std::span<const uint8_t> key);

  // Only what the algorithm needs is there.
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
