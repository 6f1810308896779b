// Engines: who can do which algorithm how well, sessions (keyed, opaque), and the queues that the
// data path submits jobs to.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "crypto/algorithm.h"
#include "crypto/crypto_job.h"

namespace cygnet {

enum class CryptoDirection : uint8_t { kSeal, kOpen };

// Largest number of queues (= worker threads and device threads) a session serves at once.
inline constexpr uint32_t kMaxCryptoQueues = 16;

struct SessionParams {
  const AlgorithmDescriptor* algorithm = nullptr;
  std::span<const uint8_t> key;  // with the salt at its end
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
  // finishes them inside the call. Never allocates. Completes in order per session.
  virtual std::size_t Submit(std::span<CryptoJob> jobs) = 0;
};

class CryptoEngine {
 public:
  virtual ~CryptoEngine() = default;
  virtual std::string_view name() const = 0;
  virtual bool Supports(const AlgorithmDescriptor& algorithm) const = 0;
  virtual Result<std::unique_ptr<CryptoSession>> CreateSession(const SessionParams& params) = 0;
  // `number` is the thread's, below SessionParams::queues of the sessions it will be given.
  virtual std::unique_ptr<CryptoQueue> CreateQueue(uint32_t number) = 0;
};

// One row of the built-in table (engines/CMakeLists.txt).
struct EngineInfo {
  std::string_view name;
  std::string_view help;
  int (*probe)();  // 0 = cannot run here; the highest number is preferred
  std::unique_ptr<CryptoEngine> (*create)();
};

std::span<const EngineInfo* const> BuiltinEngines();

}  // namespace cygnet
