// PluginDevice: a driver by others (include/cygnet/driver.h) as a device of the stack. It believes
// nothing that the plug-in returns before it is checked: whoever breaks the contract is failed.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>
#include <vector>

#include "device/device_extras.h"
#include "device/driver.h"
#include "device/packet_offload.h"
#include "plugin/driver_plugin.h"
#include "plugin/plugin_services.h"

namespace cygnet {

struct PluginDeviceParams {
  std::string name;
  std::string wire_name = {};  // the interface of the configuration; empty: none
  uint32_t queues = 1;         // one for each worker
  PacketPools* pools = nullptr;
  // Behind its guard; nullptr for a driver that sends by itself. Its queues: 1, or `queues` for
  // CYGNET_WIRE_EACH.
  std::unique_ptr<Port> wire = nullptr;
  CapturePoints* capture = nullptr;  // nullptr: none
  // For what a driver that sends by itself is given in clear. nullptr: not checked.
  SealGuard* guard = nullptr;
  const Clock* clock = nullptr;  // nullptr: the system's
  std::vector<std::string> options = {};
};

class PluginDevice final : public Port,
                           public OffloadDevice,
                           public PacketOffload,
                           public DeviceRecords,
                           public SaFindings,
                           public Loopback,
                           public FaultInjection {
 public:
  // Opens the device. The error is the plug-in's refusal, or what is wrong with its capabilities.
  static Result<std::unique_ptr<PluginDevice>> Open(const DriverPlugin& plugin,
                                                    PluginDeviceParams params);
  ~PluginDevice() override;

  // What broke the contract; empty: nothing did.
  std::string breach() const { return contract_.breach(); }
  // Ends the plug-in. Returns how many packets it did not give back. The destructor does it, too.
  uint32_t Close();
  const cygnet_caps& plugin_caps() const { return *plugin_caps_; }

  // Port.
  std::string_view name() const override { return name_; }
  MacAddress mac() const override;
  uint32_t mtu() const override;
  uint32_t queues() const override { return queues_; }
  PortStats stats() const override;
  const DropCounters* device_drops() const override { return &services_.drops(); }
  LinkStatus link() const override;
  Status Follow(const PortLink& link) override;
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override;
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override;

  // OffloadDevice.
  std::string_view device_name() const override { return name_; }
  DeviceIdentity identity() const override { return identity_; }
  const OffloadCaps& caps() const override { return caps_; }
  DeviceState state() const override;
  uint32_t resets() const override;
  std::string failure() const override;
  void TryAgain() override;
  void SetBell(Doorbell* bell) override { contract_.SetBell(bell); }
  std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) override;
  std::optional<DeviceRefusal> OwnRefusal(const SaSpec& spec, Half half,
                                          OffloadMode mode) const override;
  void StartSa(OffloadHandle handle) override;
  void StopSa(OffloadHandle handle) override;
  void ReleaseSa(OffloadHandle handle) override;
  std::vector<OffloadHandle> TakeErased() override;
  OffloadStats offload_stats() const override;
  void AdvanceEsn(OffloadHandle handle, uint64_t highest) override;
  void FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) override;

  // PacketOffload.
  PacketOffload* packet_offload() override { return caps_.packet_offload ? this : nullptr; }
  std::optional<DeviceRefusal> AddPolicy(const OffloadPolicy& policy,
                                         OffloadPolicyHandle* handle) override;
  void RemovePolicy(OffloadPolicyHandle handle) override;
  void Grant(OffloadHandle handle, const NumberBlock& block) override;
  void SetLimits(OffloadHandle handle, const LifetimeLimits& limits) override;
  std::optional<SaReading> Read(OffloadHandle handle) const override;
  std::optional<SaHandOver> TakeState(OffloadHandle handle) override;
  std::vector<PacketOffloadEvent> TakeEvents() override;
  bool SetMirror(uint32_t n) override;

  // Optional parts.
  const DeviceRecords* records() const override {
    return driver_.records != nullptr ? this : nullptr;
  }
  std::vector<SaId> HeldSas() const override;
  std::vector<KeyLogEntry> KeyLog() const override;
  std::string DriverView() const override;
  SaFindings* findings() override { return driver_.findings != nullptr ? this : nullptr; }
  std::vector<SaFinding> TakeFindings() override;
  Loopback* loopback() override { return driver_.loopback != nullptr ? this : nullptr; }
  Status Loop(const OffloadSa& sa, std::span<Packet* const> packets,
              std::span<DropReason> drops) override;
  FaultInjection* faults() override { return driver_.faults != nullptr ? this : nullptr; }
  Status InjectFault(std::string_view fault) override;

 private:
  PluginDevice(const DriverPlugin& plugin, PluginDeviceParams params);
  Status OpenPlugin(const PluginDeviceParams& params);
  Status LookAtCaps();
  bool usable() const { return device_ != nullptr && !contract_.broken(); }
  template <typename T>
  T Ask(void (*ask)(void*, T*), T* last) const;
  cygnet_status Look() const;
  cygnet_driver_stats LookAtStats() const;
  cygnet_port LookAtPort() const;
  Packet* TakeUp(uint32_t queue, cygnet_packet* view, DropSink* sink);
  bool MayComeUp(const cygnet_packet& view, const PluginPackets::Returned& returned,
                 uint32_t queue);
  void GuardClear(uint32_t queue, PacketBatch* batch, DropSink* sink);
  void NotTaken(cygnet_packet* view, DropSink* sink);
  Status LoopSome(const cygnet_sa& sa, std::span<Packet* const> packets,
                  std::span<DropReason> drops);
  std::optional<DeviceRefusal> Refused(int32_t result, const cygnet_refusal& refusal,
                                       const char* call);

  const DriverPlugin plugin_;
  const cygnet_driver& driver_;  // of plugin_
  const std::string name_;
  const uint32_t queues_;
  const std::unique_ptr<Port> wire_;
  CapturePoints* const capture_;
  SealGuard* const guard_;
  mutable PluginContract contract_;
  PluginPackets packets_;
  PluginServices services_;
  std::vector<cygnet_memory> memory_;
  void* device_ = nullptr;
  const cygnet_caps* plugin_caps_ = nullptr;
  OffloadCaps caps_;
  DeviceIdentity identity_;
  // Used by the control thread: handles of SAs and policies that the plug-in has given.
  std::unordered_set<uint32_t> live_;
  std::unordered_set<uint32_t> policies_;
  uint32_t policy_resets_ = 0;  // resets when policies_ was last emptied
  // What the plug-in last said: a plug-in that broke the contract is not asked any more.
  mutable std::mutex last_mutex_;
  mutable cygnet_status last_status_{};
  mutable cygnet_driver_stats last_stats_{};
  mutable cygnet_port last_port_{};
};

}  // namespace cygnet
