// NicUnderTest: the software NIC of a unit test, as it is or behind the C table of drivers by
// others (test/plugins/sim_nic_plugin.h). What the stack calls goes the chosen way; what only a
// test looks at is the NIC's own.
//
// These tests are not run by the table:
// - sim_nic_loopback_test.cc, sim_nic_spread_test.cc, CaptureTest: the plug-in of the tests has no
//   loopback, and neither wires of its own kind nor the capture points, which the adapter has.
// - sim_nic_table_test.cc, sim_nic_script_test.cc, card_profile_test.cc: they test parts of the
//   NIC, which the stack does not call.
// - FullRingDropsAndCounts, RingOfTheWorkerThatIsFull…: the plug-in has queues of its own.
// - HeldSasNamesWhatItHolds, AddressesAreShown, OneTableForBothDirections: they count what the
//   table does not tell (peaks of use, slots that both directions share) or the plug-in leaves out.
// - Mlx5AnswersForPoliciesInItsWords, ForgedPacketOfACipherWithAnAuthenticatorPasses: they ask for
//   forward policies, or algorithms that the capabilities do not name. The adapter refuses these
//   before it asks the driver.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "device/sim_nic/sim_nic.h"
#include "plugin/plugin_device.h"
#include "plugins/sim_nic_plugin.h"

namespace cygnet::test {

enum class NicPath : uint8_t { kDirect, kTable };

// For INSTANTIATE_TEST_SUITE_P.
inline auto NicPaths() { return testing::Values(NicPath::kDirect, NicPath::kTable); }
inline std::string NameOf(NicPath path) { return path == NicPath::kDirect ? "Direct" : "Table"; }
inline std::string NameOfPath(const testing::TestParamInfo<NicPath>& info) {
  return NameOf(info.param);
}

class NicUnderTest {
 public:
  struct Setup {
    SimNicOptions options = {};
    FaultScript script = {};
    const Clock* clock = nullptr;
    uint32_t queues = 1;
  };
  NicUnderTest(NicPath path, std::unique_ptr<Port> wire, PacketPools* pools, Setup setup) {
    if (path == NicPath::kDirect) {
      auto nic = std::make_unique<SimNic>("nic0", std::move(wire), setup.queues, pools, nullptr,
                                          setup.options, std::move(setup.script), setup.clock);
      nic_ = nic.get();
      device_ = nic.get();
      port_ = std::move(nic);
      return;
    }
    SimNicPluginSetup made{.options = std::move(setup.options),
                           .script = std::move(setup.script),
                           .clock = setup.clock,
                           .by_steps = true};
    SetUpSimNicPlugin(&made);
    const auto plugin = ReadDriver(SimNicPluginTable(), "sim_nic");
    auto device = PluginDevice::Open(*plugin, {.name = "nic0",
                                               .queues = setup.queues,
                                               .pools = pools,
                                               .wire = std::move(wire),
                                               .clock = setup.clock});
    if (!device) throw std::runtime_error(device.error().message);
    nic_ = made.nic;
    device_ = device->get();
    plugin_ = device->get();
    port_ = *std::move(device);
  }
  // A breach of the contract would look like drops.
  ~NicUnderTest() {
    if (plugin_ != nullptr) {
      EXPECT_EQ(plugin_->breach(), "");
    }
  }
  NicUnderTest(const NicUnderTest&) = delete;
  NicUnderTest& operator=(const NicUnderTest&) = delete;

  uint32_t RunOnce() { return nic_->RunOnce(); }

  // --- As the stack does ---
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) {
    port_->Transmit(queue, batch, sink);
  }
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) {
    return port_->Receive(queue, out, sink);
  }
  std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) {
    return device_->InstallSa(sa, handle);
  }
  void StartSa(OffloadHandle handle) { device_->StartSa(handle); }
  void StopSa(OffloadHandle handle) { device_->StopSa(handle); }
  void ReleaseSa(OffloadHandle handle) { device_->ReleaseSa(handle); }
  std::vector<OffloadHandle> TakeErased() { return device_->TakeErased(); }
  void AdvanceEsn(OffloadHandle handle, uint64_t to) { device_->AdvanceEsn(handle, to); }
  void FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) {
    device_->FilterEligible(packets, eligible);
  }
  const OffloadCaps& caps() const { return device_->caps(); }
  DeviceState state() const { return device_->state(); }
  LinkStatus link() const { return port_->link(); }
  uint32_t resets() const { return device_->resets(); }
  OffloadStats offload_stats() const { return device_->offload_stats(); }
  std::vector<SaFinding> TakeFindings() { return device_->findings()->TakeFindings(); }
  Status InjectFault(std::string_view fault) { return device_->faults()->InjectFault(fault); }
  void SetOffloadUp(bool up) { (void)InjectFault(up ? "up" : "down"); }

  PacketOffload* packet_offload() { return device_->packet_offload(); }
  std::optional<DeviceRefusal> AddPolicy(const OffloadPolicy& policy, OffloadPolicyHandle* handle) {
    return packet_offload()->AddPolicy(policy, handle);
  }
  void RemovePolicy(OffloadPolicyHandle handle) { packet_offload()->RemovePolicy(handle); }
  void SetLimits(OffloadHandle handle, const LifetimeLimits& limits) {
    packet_offload()->SetLimits(handle, limits);
  }
  std::optional<SaReading> Read(OffloadHandle handle) { return packet_offload()->Read(handle); }
  std::optional<SaHandOver> TakeState(OffloadHandle handle) {
    return packet_offload()->TakeState(handle);
  }
  std::vector<PacketOffloadEvent> TakeEvents() { return packet_offload()->TakeEvents(); }

  // --- Of the NIC ---
  SimNic& nic() { return *nic_; }
  const DropCounters* device_drops() const { return nic_->device_drops(); }
  std::vector<SaId> HeldSas() const { return nic_->HeldSas(); }
  std::vector<KeyLogEntry> KeyLog() const { return nic_->KeyLog(); }
  std::string DriverView() const { return nic_->DriverView(); }
  std::vector<DeviceStatistic> Statistics() const { return nic_->Statistics(); }
  std::vector<std::string> FaultsPlayed() const { return nic_->FaultsPlayed(); }
  void SetBell(Doorbell* bell) { nic_->SetBell(bell); }

 private:
  std::unique_ptr<Port> port_;  // the NIC, or the adapter
  OffloadDevice* device_ = nullptr;
  PluginDevice* plugin_ = nullptr;
  SimNic* nic_ = nullptr;
};

}  // namespace cygnet::test
