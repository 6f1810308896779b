// SelfTestBench: makes the packets of one SelfTestCase and what must become of them, with the
// stack's own transforms and an engine of the CPU. Control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "datapath/self_test_case.h"
#include "packet/packet.h"

namespace cygnet {

// A frame with memory of its own.
class SelfTestFrame {
 public:
  explicit SelfTestFrame(uint32_t length);
  SelfTestFrame(const SelfTestFrame& other) : memory_(other.memory_), packet(other.packet) {
    packet.buffer = memory_.data();
  }
  SelfTestFrame(SelfTestFrame&&) noexcept = default;  // the memory stays where it is
  SelfTestFrame& operator=(SelfTestFrame&&) noexcept = default;
  ~SelfTestFrame() = default;
  // From the IP header on.
  std::vector<uint8_t> Bytes() const {
    const std::span<const uint8_t> bytes = packet.l3();
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::vector<uint8_t> memory_;

 public:
  Packet packet;
};

class SelfTestBench {
 public:
  // nullptr: no engine of the CPU supports the algorithms.
  static std::unique_ptr<SelfTestBench> Make(const SelfTestCase& test, const EngineSet& engines);

  // False: the CPU did not seal or open what it should, so nothing can be compared.
  bool sound() const { return sound_; }
  const SaSpec& spec() const { return spec_; }
  uint64_t iv_mask() const { return out_.iv_mask; }
  // Payload sizes of the case, without the IP header.
  std::vector<uint32_t> Sizes() const;

  SelfTestFrame Inner(uint32_t payload);
  // The ESP packet of `inner` before and after the seal.
  SelfTestFrame Built(const SelfTestFrame& inner, uint64_t seq) const;
  SelfTestFrame Sealed(const SelfTestFrame& built) const;
  // UDP encapsulation over IPv6: the checksum that the stack or a device in packet mode writes.
  void FinishOuter(SelfTestFrame* sealed) const;
  // Of a sealed packet: opened in place; and what it carries.
  SelfTestFrame Opened(const SelfTestFrame& sealed) const;
  SelfTestFrame Carried(const SelfTestFrame& opened) const;

 private:
  SelfTestBench(const SelfTestCase& test, SaSpec spec, uint64_t iv_mask);
  bool MakeSessions(const EngineSet& engines);
  void Run(const esp::JobParams& params, SelfTestFrame* frame) const;
  uint64_t NextRandom();

  const SelfTestCase& test_;
  const SaSpec spec_;
  const OutboundSa out_;
  const InboundSa in_;
  std::unique_ptr<CryptoSession> seal_;
  std::unique_ptr<CryptoSession> open_;
  std::unique_ptr<CryptoQueue> queue_;
  uint64_t random_;
  mutable bool sound_ = true;
};

}  // namespace cygnet
