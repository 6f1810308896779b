// PlacementDevices: the devices and engines that SAs may be placed on, and their state: switched
// off by the operator, allowed to get keys, self-tested, last state reported. Makes no decisions
// about SAs.
// Control thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/placement/report.h"
#include "control/placement/settings.h"
#include "datapath/data_path.h"
#include "datapath/device_tester.h"

namespace cygnet {

// Why no frame passes through the device: "wire eth1 has no carrier", "device nic0 is removed".
std::string ExplainLink(const ControlDevice& device);

class PlacementDevices {
 public:
  PlacementDevices(std::vector<ControlDevice> devices, DataPath* path, const EngineSet* engines,
                   const PlacementGate* gate, const Clock* clock);

  std::size_t size() const { return devices_.size(); }
  const ControlDevice& operator[](std::size_t device) const { return devices_[device]; }
  const std::vector<ControlDevice>& all() const { return devices_; }
  const EngineSet& engines() const { return engines_; }
  std::optional<std::size_t> Named(const std::string& name) const;
  // REQUIRES: `device` is one of them.
  std::size_t NumberOf(const OffloadDevice* device) const;

  // --- Their state ---
  bool disabled(std::size_t device) const { return rows_[device].disabled.has_value(); }
  // Of devices and engines that are disabled.
  std::vector<OperatorOrder> Orders() const;
  // Caught by the seal guard of its wire, or by shadow verification. Lasts until the operator
  // enables it again.
  bool lied(std::size_t device) const { return rows_[device].lied; }
  // What it was caught at; empty: it was not.
  const std::string& lied_why(std::size_t device) const { return rows_[device].lied_why; }
  // The last file with evidence against it; empty: none.
  const std::string& evidence(std::size_t device) const { return rows_[device].evidence; }
  // Why it gets no keys; nullopt: it may get keys.
  const std::optional<PlacementReason>& denied(std::size_t device) const {
    return rows_[device].denied;
  }
  // Why the engine does no jobs: its own failure, or packets that it left without a seal; empty: it
  // works.
  std::string engine_failure(uint32_t engine) const;
  EngineDenials engine_denied() const { return {engine_denied_.data(), engines_.size()}; }
  // What it can do: what it claims, less what its self-test withdrew. REQUIRES: it has an offload.
  const OffloadCaps& caps(std::size_t device) const;
  // The last one; nullptr: none yet.
  const DeviceSelfTest* self_test(std::size_t device) const {
    return rows_[device].self_test.has_value() ? &*rows_[device].self_test : nullptr;
  }
  // Rises with each self-test of a device.
  uint64_t self_tests() const { return self_tests_; }
  // It is up, and no SA may go there before its self-test.
  bool AwaitsSelfTest(std::size_t device) const;
  // True if SAs may go there, as far as is known without asking the device.
  bool Usable(std::size_t device) const;
  bool AnyIsAuto() const;
  // In the form that CheckDevice and BindHalf need.
  std::vector<PlacementDevice> Inputs() const;

  // --- Events since the last call ---
  struct GuardHits {
    uint64_t clear = 0;     // packets of protected flows that left in clear
    uint64_t unsealed = 0;  // ESP packets that the device left without a seal
    bool caught = false;    // the device had reported some of those as sealed
  };
  GuardHits PollGuard(std::size_t device);
  // Packets that the engine reported as sealed, and that were not.
  uint64_t PollEngine(uint32_t engine);
  // Packets that the CPU computed with another result, by half.
  std::array<uint64_t, kHalves.size()> PollShadow(std::size_t device);
  struct Change {
    DeviceState state = DeviceState::kUp;
    bool lost_tables = false;
  };
  std::optional<Change> PollState(std::size_t device);
  // True if the answer for any device or engine changed.
  bool RefreshGate();

  // --- Changes ---
  // True: it was not marked before.
  bool MarkLied(std::size_t device, const std::string& why);
  void SetEvidence(std::size_t device, std::string file) {
    rows_[device].evidence = std::move(file);
  }
  // REQUIRES: RunSelfTest.
  void SetSelfTestEvidence(std::size_t device, std::string file) {
    rows_[device].self_test->evidence = std::move(file);
  }
  // An enabled device is tested again.
  void SetEnabled(std::size_t device, bool enabled, const OrderMark& mark = {});
  // REQUIRES: AwaitsSelfTest.
  const DeviceSelfTest& RunSelfTest(std::size_t device);
  // RefreshGate applies it. Errc::kBusy: it is the last engine of the CPU.
  Status SetEngineEnabled(const std::string& name, bool enabled, const OrderMark& mark = {});
  void SetTerms(std::span<const DeviceTerms> terms);
  // A slot became free since the waiting halves were last checked.
  void SetFreed(std::size_t device, bool freed) { rows_[device].freed = freed; }
  bool ClaimFreed(std::size_t device) { return std::exchange(rows_[device].freed, false); }

 private:
  void SetShadows();

  struct Row {
    std::optional<OrderMark> disabled;  // by the operator
    bool freed = false;
    bool lied = false;
    std::string lied_why;
    std::string evidence;
    ShadowStats seen_shadow;
    DeviceState seen = DeviceState::kUp;
    uint32_t seen_resets = 0;
    SealGuardStats seen_guard;
    std::optional<PlacementReason> denied;
    std::optional<DeviceSelfTest> self_test;
    bool test_due = true;
    uint32_t tested_resets = 0;  // OffloadDevice::resets() at the test
  };

  std::vector<ControlDevice> devices_;
  DataPath& path_;
  const EngineSet& engines_;
  const PlacementGate* const gate_;  // nullptr: all are trusted
  const Clock& clock_;
  std::vector<Row> rows_;  // by device
  uint64_t self_tests_ = 0;
  std::array<std::optional<PlacementReason>, EngineSet::kMaxEngines> engine_denied_{};
  std::array<std::optional<OrderMark>, EngineSet::kMaxEngines> engine_disabled_{};
  std::array<uint64_t, EngineSet::kMaxEngines> engine_unsealed_{};
};

}  // namespace cygnet
