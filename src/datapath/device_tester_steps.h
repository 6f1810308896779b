// DeviceTester: one run of the self-test of a device (device_tester.h). Internal to it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "datapath/device_tester.h"
#include "device/device_extras.h"

namespace cygnet {

// A slot: one mode in one direction.
inline constexpr std::size_t kSlots = 4;
constexpr std::size_t SlotOf(OffloadMode mode, Half half) {
  return (mode == OffloadMode::kPacket ? 2u : 0u) + IndexOf(half);
}
constexpr OffloadMode ModeOf(std::size_t slot) {
  return slot < 2 ? OffloadMode::kCrypto : OffloadMode::kPacket;
}
constexpr Half HalfOf(std::size_t slot) { return HalfFor(slot % 2 == 1); }

// The algorithms and lengths of an SA.
struct Suite {
  const AlgorithmDescriptor* encryption = nullptr;
  const AlgorithmDescriptor* auth = nullptr;
  uint16_t key_bytes = 0;
  uint8_t icv_bytes = 0;
};

// What came of an algorithm in each slot.
struct AlgorithmResult {
  const AlgorithmDescriptor* algorithm = nullptr;
  Suite works{};  // the first lengths and companion that work wherever any do
  std::array<bool, kSlots> passed{};
  std::array<std::optional<SelfTestFailure>, kSlots> failed{};

  bool PassesIn(std::size_t slot) const { return passed[slot] && !failed[slot].has_value(); }
};

class DeviceTester {
 public:
  DeviceTester(OffloadDevice* device, const EngineSet& engines, uint32_t mtu);
  DeviceSelfTest Run();

 private:
  using Kind = SelfTestOutcomeOfCase::Kind;

  OffloadCaps& caps() { return result_.caps; }
  bool ClaimsSlot(std::size_t slot) const;
  bool Claims(OffloadMode mode) const {
    return ClaimsSlot(SlotOf(mode, Half::kOutbound)) || ClaimsSlot(SlotOf(mode, Half::kInbound));
  }
  Kind Try(const SelfTestCase& test, std::optional<SelfTestFailure>* failure);
  SelfTestCase CaseFor(std::size_t slot, const Suite& suite, SelfTestSizes sizes) const;
  // The modes of SAs and families that the algorithms are tested with.
  void FindBase(OffloadMode mode);
  uint32_t Probe(OffloadMode mode, const Suite& suite, SaMode sa_mode, IpFamily family);
  std::vector<SaMode> SaModes() const;
  std::vector<IpFamily> Families() const;
  // Algorithms.
  std::vector<uint16_t> KeysOf(const AlgorithmDescriptor& encryption) const;
  std::vector<uint8_t> IcvsOf(const AlgorithmDescriptor& integrity) const;
  std::vector<Suite> SuitesOf(const AlgorithmDescriptor& row) const;
  void TestAlgorithm(const AlgorithmDescriptor& row);
  void TestLengths(const Suite& pair, SelfTestSizes sizes, AlgorithmResult* result);
  void BlameMode(OffloadMode mode);
  void BlameDirection(Half half);
  void BlameAlgorithms();
  // Features.
  const AlgorithmResult* Working(OffloadMode mode) const;
  void TestFeatures(OffloadMode mode);
  void TestFamilies(const SelfTestCase& base);
  void TestSaModes(const SelfTestCase& base);
  void TestReplay(const SelfTestCase& base);
  bool TestFeature(std::string_view name, SelfTestCase test);
  void Withdraw(std::string name, SelfTestFailure failure);

  const OffloadCaps& claimed_;
  Loopback& loopback_;
  const EngineSet& engines_;
  const uint32_t mtu_;
  std::vector<const AlgorithmDescriptor*> rows_;
  struct Base {
    SaMode sa_mode = SaMode::kTransport;
    IpFamily family = IpFamily::kV4;
  };
  std::array<Base, 2> bases_{};  // crypto, packet
  std::vector<AlgorithmResult> algorithms_;
  bool down_ = false;
  DeviceSelfTest result_;
};

// For the lists of capabilities.
template <typename Array, typename T>
bool Has(const Array& values, T value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace cygnet
