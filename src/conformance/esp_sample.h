// EspSample: an SA of an algorithm that a device claims, and ESP packets of it, sealed by the
// stack's own reference (the OpenSSL engine).
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "conformance/memory_wire.h"
#include "crypto/crypto_engine.h"
#include "cygnet/driver.h"
#include "esp/crypto_jobs.h"
#include "sa/sa_spec.h"

namespace cygnet::conformance {

// One combination that the capabilities name.
struct Choice {
  const AlgorithmDescriptor* encryption = nullptr;
  uint16_t key_bytes = 0;  // without salt
  const AlgorithmDescriptor* auth = nullptr;
  uint16_t auth_key_bytes = 0;
  uint8_t icv_bytes = 0;
  std::string Text() const;  // "rfc4106(gcm(aes)), key 16, ICV 16"
};
std::vector<Choice> ChoicesOf(const cygnet_caps& caps);

struct SampleOptions {
  uint32_t spi = 0x1001;
  bool esn = false;
  bool ipv6 = false;
  SaMode mode = SaMode::kTunnel;
  uint8_t last_octet = 2;  // of the destination
  uint16_t udp_port = 0;   // of both ends, for UDP encapsulation; 0: none
};

class EspSample {
 public:
  EspSample(const Choice& choice, const SampleOptions& options);
  const SaSpec& spec() const { return spec_; }
  uint16_t esp_offset() const { return ipv6_ ? 54 : 34; }
  const EspLayout& layout() const { return layout_; }

  // A frame with room for the ICV, its text readable. `text_bytes` is rounded up to what the
  // algorithm needs. `seq`: with its high word.
  Bytes Readable(uint64_t seq, std::size_t text_bytes) const;
  Bytes Sealed(uint64_t seq, std::size_t text_bytes) const;
  // A frame of tunnel mode with `inner`, an IPv4 packet, sealed.
  Bytes SealedTunnel(uint64_t seq, const Bytes& inner) const;
  // A frame of the SA that a device has built and sealed.
  struct Opened {
    uint32_t spi = 0, seq = 0;
    uint64_t iv = 0;  // its first eight bytes
    Bytes inner = {};
  };
  // nullopt: not ESP of this SA, or its ICV does not verify.
  std::optional<Opened> OpenTunnel(const Bytes& frame) const;
  // The text of a frame that Readable made, where it stands when it is opened.
  Bytes TextOf(const Bytes& frame) const;

 private:
  std::size_t Rounded(std::size_t text_bytes) const;
  Bytes Seal(Bytes frame, uint64_t seq) const;
  CryptoStatus RunJob(CryptoSession* session, CryptoDirection direction, std::span<uint8_t> esp,
                      uint32_t esn_high) const;
  SaSpec spec_;
  bool ipv6_;
  EspLayout layout_;
  std::unique_ptr<CryptoEngine> engine_;
  std::unique_ptr<CryptoSession> seal_, open_;
  std::unique_ptr<CryptoQueue> queue_;
};

// A UDP packet in clear.
Bytes ClearFrame(std::size_t payload);

}  // namespace cygnet::conformance
