// Engines: who can do which algorithm how well, sessions (keyed, opaque), and the queues that the
// data path submits jobs to. A CPU engine finishes jobs at once; a look-aside engine is a device of
// its own that finishes them later.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "crypto/algorithm.h"
#include "crypto/crypto_job.h"

namespace cygnet {

enum class CryptoDirection : uint8_t { kSeal, kOpen };

// Largest number of queues (= worker threads and device threads) a session serves at once.
inline constexpr uint32_t kMaxCryptoQueues = 16;

struct SessionParams {
  const AlgorithmDescriptor* cipher = nullptr;  // an AEAD or a cipher
  std::span<const uint8_t> key{};               // with the salt at its end
  const AlgorithmDescriptor* auth = nullptr;    // beside a cipher; nullptr with an AEAD
  std::span<const uint8_t> auth_key{};
  uint8_t icv_bytes = 0;
  CryptoDirection direction = CryptoDirection::kSeal;
  uint32_t queues = 1;  // queue numbers 0 … queues-1 may use the session concurrently
};

// A key schedule. Made and destroyed by the control thread; jobs name it.
class CryptoSession {
 public:
  virtual ~CryptoSession() = default;
};

// All the data path sees of an engine: one per thread, never shared.
class CryptoQueue {
 public:
  virtual ~CryptoQueue() = default;
  // Takes the first n jobs and returns n; less than all when the queue is full. A CPU engine
  // finishes them inside the call. An asynchronous one copies them, leaves their status kPending
  // and hands the copies back by Poll. Never allocates. Completes in order per session.
  virtual std::size_t Submit(std::span<CryptoJob> jobs) = 0;

  // Asynchronous engines only. Finished jobs, up to the room in `done`.
  virtual std::size_t Poll(std::span<CryptoJob> done) {
    (void)done;
    return 0;
  }
  // Before its thread sleeps: a descriptor that becomes readable when Poll may have something (-1:
  // none), and a last look. False: there is something, do not sleep.
  virtual int wait_fd() const { return -1; }
  virtual bool PrepareWait() { return true; }
  virtual void FinishWait() {}
};

struct EngineStats {
  uint64_t jobs = 0;           // finished
  uint64_t refused = 0;        // not taken: the queue was full or the device down
  uint64_t not_done = 0;       // given back undone
  uint32_t sessions = 0;       // that it holds now
  uint32_t session_limit = 0;  // 0 = none
  uint32_t in_flight = 0;
};

// Who does the cryptography, as an operator's boundary list names it (cygnet-fips(7)).
struct ModuleIdentity {
  std::string model;     // "OpenSSL FIPS Provider", "Intel ipsec-mb"
  std::string version;   // "3.0.9"; empty: it cannot say
  std::string advice{};  // what would make it a validated module; empty: nothing to say
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
  // Errc::kNoSpace when a device holds no more sessions, Errc::kNetworkDown when it is down.
  virtual Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) = 0;
  // `number` is the thread's, below SessionParams::queues of the sessions it will be given.
  virtual std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) = 0;
  // Of what is behind it now: EngineOptions may choose between modules.
  virtual ModuleIdentity identity() const { return {std::string(name()), {}}; }
  // Any thread; what an engine does not count stays 0.
  virtual EngineStats stats() const { return {}; }
};

// What every engine asks of parameters: that it does the pair, and that lengths are the table's.
// Errc::kInvalid otherwise.
Status CheckSessionParams(const CryptoEngine& engine, const SessionParams& params);

enum class EngineKind : uint8_t { kCpu, kLookAside };

// What the operator may set of an engine; what does not concern one is ignored by it.
struct EngineOptions {
  uint32_t threads = 1;
  uint32_t queue_depth = 256;  // jobs in flight per queue
  uint32_t session_limit = 0;  // 0 = none
  // FIPS mode: approved algorithms alone, done by a validated module if there is one. Whether that
  // is so, identity() says.
  bool fips = false;
  bool avx512 = true;  // false: the CPU's registers of 512 bits are left alone
};

// One row of the built-in table (engines/CMakeLists.txt).
struct EngineInfo {
  std::string_view name;
  std::string_view help;
  EngineKind kind = EngineKind::kCpu;
  int (*probe)();  // 0 = cannot run here; the highest number is preferred
  std::unique_ptr<CryptoEngine> (*create)(const EngineOptions& options);
  std::string (*version)();  // of the library or device behind it
};

std::span<const EngineInfo* const> BuiltinEngines();

}  // namespace cygnet
