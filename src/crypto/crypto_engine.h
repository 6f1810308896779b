// Engines: supported algorithms, sessions (keyed, opaque), and the queues to which the data path
// submits jobs. A CPU engine finishes jobs inside the call; a look-aside engine finishes them
// later.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/counted_ptr.h"
#include "base/result.h"
#include "crypto/algorithm.h"
#include "crypto/crypto_job.h"

namespace cygnet {

enum class CryptoDirection : uint8_t { kSeal, kOpen };

// Maximum number of queues (worker and device threads) that may use one session concurrently.
inline constexpr uint32_t kMaxCryptoQueues = 16;

struct SessionParams {
  const AlgorithmDescriptor* cipher = nullptr;  // an AEAD or a cipher
  std::span<const uint8_t> key{};               // including the salt at the end
  const AlgorithmDescriptor* auth = nullptr;    // paired with a cipher; nullptr with an AEAD
  std::span<const uint8_t> auth_key{};
  uint8_t icv_bytes = 0;
  CryptoDirection direction = CryptoDirection::kSeal;
  uint32_t queues = 1;  // queue numbers 0 … queues-1 may use the session concurrently
};

// A key schedule that jobs refer to. The control thread makes and destroys it.
class CryptoSession {
 public:
  virtual ~CryptoSession() = default;

 private:
  // Counted by datapath/shared_session.h. Members of an engine's session may begin behind it, so
  // that it takes no memory of its own.
  friend class SharedSession;
  const OwnerCount owners_;
};

// The data path's interface to an engine. One per thread, never shared.
class CryptoQueue {
 public:
  virtual ~CryptoQueue() = default;
  // Accepts the first n jobs and returns n; n is smaller than jobs.size() when the queue is full. A
  // CPU engine finishes them inside the call. An asynchronous engine copies them, leaves their
  // status kPending and returns the copies from Poll. Never allocates. Jobs of one session complete
  // in order.
  virtual std::size_t Submit(std::span<CryptoJob> jobs) = 0;

  // Asynchronous engines only. Fills `done` with finished jobs and returns how many.
  virtual std::size_t Poll(std::span<CryptoJob> done) {
    (void)done;
    return 0;
  }
  // Used before the thread sleeps. wait_fd: a descriptor that becomes readable when Poll may have
  // jobs (-1: none). PrepareWait: false if jobs are already there, so do not sleep. FinishWait:
  // call it after waking.
  virtual int wait_fd() const { return -1; }
  virtual bool PrepareWait() { return true; }
  virtual void FinishWait() {}
};

struct EngineStats {
  uint64_t jobs = 0;           // finished
  uint64_t refused = 0;        // not accepted: the queue was full or the device down
  uint64_t not_done = 0;       // handed back undone
  uint32_t sessions = 0;       // currently held
  uint32_t session_limit = 0;  // 0 = none
  uint32_t in_flight = 0;
};

// The module that does the cryptography, as a boundary list names it (cygnet-fips(7)).
struct ModuleIdentity {
  std::string model;     // "OpenSSL FIPS Provider", "Intel ipsec-mb"
  std::string version;   // "3.0.9"; empty if unknown
  std::string advice{};  // how to get a validated module instead; empty if not applicable
  // The device behind it, as "0000:3d:01.0"; empty: the engine is a program. Nothing tells the
  // firmware of such a device.
  std::string serial{};
};

// "OpenSSL FIPS Provider 3.0.9"
std::string Text(const ModuleIdentity& identity);

class CryptoEngine {
 public:
  virtual ~CryptoEngine() = default;
  virtual std::string_view name() const = 0;
  // `auth` is nullptr for an AEAD.
  virtual bool Supports(const AlgorithmDescriptor& cipher,
                        const AlgorithmDescriptor* auth) const = 0;
  // Errc::kNoSpace if a device can hold no more sessions, Errc::kNetworkDown if it is down.
  virtual Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) = 0;
  // `number` identifies the thread. REQUIRES: it is below SessionParams::queues of every session
  // used on the queue.
  virtual std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) = 0;
  // The module in use now: EngineOptions may select between modules.
  virtual ModuleIdentity identity() const { return {std::string(name()), {}}; }
  // Why it does no jobs any more; empty: it has not failed. Any thread.
  virtual std::string failure() const { return {}; }
  // Any thread. Counters that an engine does not keep stay 0.
  virtual EngineStats stats() const { return {}; }
};

// Parameter checks common to all engines: the engine supports the pair, and the lengths are valid
// in the table. Errc::kInvalid otherwise.
Status CheckSessionParams(const CryptoEngine& engine, const SessionParams& params);

enum class EngineKind : uint8_t { kCpu, kLookAside };

// Operator's settings for an engine. An engine ignores the ones that do not apply to it.
struct EngineOptions {
  uint32_t threads = 1;
  uint32_t queue_depth = 256;  // jobs in flight per queue
  uint32_t session_limit = 0;  // 0 = none
  // FIPS mode: only approved algorithms, by a validated module if available. identity() tells
  // whether it is.
  bool fips = false;
  bool avx512 = true;  // false: do not use 512-bit registers
};

// One row of the table of built-in engines (engines/CMakeLists.txt).
struct EngineInfo {
  std::string_view name;
  std::string_view help;
  EngineKind kind = EngineKind::kCpu;
  int (*probe)();  // 0 = cannot run here; otherwise the highest value is preferred
  std::unique_ptr<CryptoEngine> (*create)(const EngineOptions& options);
  std::string (*version)();  // of the library or device behind it
};

std::span<const EngineInfo* const> BuiltinEngines();

}  // namespace cygnet
