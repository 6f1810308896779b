// DevicePolicies: which policies of the SPD devices hold for packet offload.
//
// - A policy that its client offloads (XFRMA_OFFLOAD_DEV). The device has it before it is in force;
//   what the device refuses is not stored.
// - An outbound policy whose template fits an SA that a rule or the operator has put in packet
// mode:
//   the device holds it as long as such an SA is there.
//
// A policy stays in force whatever happens to its device: what the device cannot protect is
// dropped. Control thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "control/device_policy_table.h"
#include "control/placement/devices.h"
#include "datapath/data_path.h"
#include "sa/sa.h"

namespace cygnet {

class DevicePolicies {
 public:
  explicit DevicePolicies(DataPath* path) : path_(*path) {}
  // Once, before anything else.
  void Attach(const PlacementDevices* devices, PlacementHost host);

  // --- Requests of clients ---
  // Replaces the interface of a request for packet offload by that of its device, as the kernel
  // finds it. Errors: those of xfrm_dev_policy_add and xfrm_dev_state_add before the driver.
  Status Resolve(PolicySpec* spec) const;
  void Resolve(SaSpec* spec) const;

  // Policies in devices that are not in force yet. Unless it is accepted, the devices give them up.
  class Offer {
   public:
    Offer() = default;
    Offer(Offer&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), held_(std::move(other.held_)) {}
    Offer& operator=(Offer&&) = delete;
    ~Offer();

   private:
    friend class DevicePolicies;
    DevicePolicies* owner_ = nullptr;
    std::vector<std::pair<std::size_t, DevicePolicyTable::Id>> held_;
  };
  // Gives a policy to the device that its client wants. `place`: DevicePolicyTable::Give. REQUIRES:
  // Resolve(spec) succeeded.
  Result<Offer> Give(const PolicySpec& spec, uint64_t place = DevicePolicyTable::kNewest);
  // The policy is in force. It may have the number of one that it replaces.
  void Accept(Offer offer, const std::shared_ptr<Policy>& policy);
  // The policy has left the SPD.
  void Take(const Policy& policy);

  // --- SAs in packet mode that no client has requested ---
  // Gives the device the policies of the SA. Call before the SA runs there. A refusal names the
  // first policy that the device does not take; what it drops for that reason, it drops until it
  // takes it.
  std::optional<DeviceRefusal> Follow(const SaPtr& sa, std::size_t device);
  // The SA has left packet mode, or is removed. No effect for another one.
  void Forget(uint64_t sa_number);

  // --- Devices ---
  // Gives the device again what it lost in a reset or has refused. Call before its SAs come back.
  void GiveAgain(std::size_t device);
  void Tick();
  // The policies that clients have offloaded to the device.
  std::vector<std::shared_ptr<Policy>> RequestedOn(std::size_t device) const;
  // Every policy of the SPD leaves every device.
  void TakeAll();

 private:
  struct Held {
    std::size_t device = 0;
    DevicePolicyTable::Id id = 0;
    uint32_t sas = 0;  // that need it there; 0: its client wants it
  };
  struct Row {
    std::shared_ptr<Policy> policy;
    std::vector<Held> held;
  };
  struct Follower {
    SaPtr sa;
    std::size_t device = 0;
  };
  // Numbers in sets: thousands of policies may share a reqid.
  using ByReqid = std::unordered_map<uint32_t, std::set<uint64_t>>;

  std::optional<std::size_t> DeviceOf(int32_t ifindex) const;
  std::optional<DeviceRefusal> Need(Row* row, std::size_t device);
  void Release(Row* row, std::size_t device);

  DataPath& path_;
  const PlacementDevices* devices_ = nullptr;
  PlacementHost host_;
  std::vector<std::unique_ptr<DevicePolicyTable>> tables_;  // by device; nullptr: no packet offload
  std::vector<bool> complained_;                            // by device
  std::unordered_map<uint64_t, Row> rows_;                  // by Policy::number
  std::unordered_map<uint64_t, Follower> followers_;        // by Sa::number
  // Policies and SAs that may belong together, by reqid.
  ByReqid policies_of_;
  ByReqid followers_of_;
};

// True if an SA in packet mode may protect packets of the policy, which its client did not offload.
bool FitsForDevice(const PolicySpec& policy, const SaSpec& sa);

}  // namespace cygnet
