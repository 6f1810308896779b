// SelfTestCase: one question of a device's self-test: does the device, for an SA with random keys,
// make of packets the same bytes as the CPU? Control thread; the device knows the SA during the
// test only.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "crypto/engine_set.h"
#include "device/device_extras.h"
#include "device/offload_device.h"
#include "esp/crypto_jobs.h"
#include "sa/sa.h"

namespace cygnet {

// The packets of a case. Every case has wrong ones, too.
enum class SelfTestSizes : uint8_t {
  kProbe,  // a few
  kShort,  // around the blocks of ciphers and what fits the MTU
  kAll,    // and every size from 0 to 64
};

struct SelfTestCase {
  OffloadMode mode = OffloadMode::kCrypto;
  Half half = Half::kOutbound;
  SaMode sa_mode = SaMode::kTransport;
  IpFamily outer = IpFamily::kV4;
  IpFamily inner = IpFamily::kV4;
  const AlgorithmDescriptor* encryption = nullptr;
  const AlgorithmDescriptor* auth = nullptr;  // nullptr: an AEAD
  uint16_t key_bytes = 0;                     // of the encryption, without salt
  uint8_t icv_bytes = 0;
  bool esn = false;  // the numbers cross 2^32
  bool encap = false;
  bool replay = false;  // packet offload, inbound: seen numbers must be refused, too
  uint32_t window = 64;
  uint32_t mtu = 1500;
  SelfTestSizes sizes = SelfTestSizes::kShort;

  // "packet offload inbound, rfc4106(gcm(aes)) key-128 icv-128, tunnel ipv4 in ipv6, esn".
  std::string Text() const;
};

// The packet that proved a failure: IP packets as they were sent to the device, as they should have
// come back, and as they did. Their keys were random and served for nothing else.
struct SelfTestProof {
  std::vector<uint8_t> sent;
  std::vector<uint8_t> expected;  // empty: the device had to drop or refuse it
  std::vector<uint8_t> got;
  bool operator==(const SelfTestProof&) const = default;
};

struct SelfTestFailure {
  std::string text;
  SelfTestProof proof;
};

struct SelfTestOutcomeOfCase {
  enum class Kind : uint8_t {
    kPassed,
    kFailed,
    kNotTaken,  // the device takes no such SA, or no engine of the CPU can tell what is right
    kDown,      // the device went down meanwhile
  };
  Kind kind = Kind::kPassed;
  uint32_t packets = 0;
  std::optional<SelfTestFailure> failure = {};
};

SelfTestOutcomeOfCase RunSelfTestCase(const SelfTestCase& test, const EngineSet& engines,
                                      Loopback* loopback);

}  // namespace cygnet
