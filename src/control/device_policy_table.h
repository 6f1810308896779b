// DevicePolicyTable: the policies that one device holds for packet offload. Their order in the
// device is that of the SPD, so that both choose the same one. Control thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "base/quiescence.h"
#include "device/packet_offload.h"
#include "policy/policy.h"

namespace cygnet {

class DevicePolicyTable {
 public:
  using Id = uint64_t;
  // The place of a policy that will be the newest of its priority.
  static constexpr uint64_t kNewest = ~uint64_t{0};

  // REQUIRES: device->packet_offload() != nullptr
  DevicePolicyTable(OffloadDevice* device, Quiescence* quiescence)
      : device_(*device), packet_(*device->packet_offload()), quiescence_(*quiescence) {}

  // Gives the device a policy that is not in force yet. `place`: Policy::place. On a refusal device
  // and table are as before.
  std::optional<DeviceRefusal> Give(const PolicySpec& spec, uint64_t place, Id* id);
  // The same, but the policy stays in the table after a refusal, and GiveAgain repeats the offer.
  std::optional<DeviceRefusal> Want(const PolicySpec& spec, uint64_t place, Id* id);
  // The policy is in force now, at this place.
  void Accept(Id id, uint64_t place);
  // The policy never came into force.
  void Withdraw(Id id);
  // The policy is no longer in force. The device keeps it for packets that were decided by it.
  void Take(Id id);
  // Gives the device what it lost in a reset or has refused, until it refuses one.
  std::optional<DeviceRefusal> GiveAgain();

  // False: GiveAgain has something to do.
  bool complete() const;

 private:
  // The device looks policies up in this order.
  struct Key {
    PolicyDirection direction = PolicyDirection::kOut;
    uint32_t priority = 0;
    uint64_t place = 0;
    Id id = 0;
    auto operator<=>(const Key&) const = default;
  };
  struct Row {
    PolicySpec spec;
    OffloadPolicyHandle handle;
    uint32_t resets = 0;  // of the device, from before it got the policy
    bool given = false;
    // Copies of later policies that newer ones behind this policy have replaced.
    std::vector<OffloadPolicyHandle> replaced{};
  };
  using Rows = std::map<Key, Row>;

  bool Holds(const Row& row) const { return row.given && row.resets == device_.resets(); }
  Rows::iterator Add(const PolicySpec& spec, uint64_t place, Id* id);
  Rows::iterator Find(Id id);
  std::optional<DeviceRefusal> GiveInOrder(Rows::iterator at);
  std::optional<DeviceRefusal> GiveOne(const PolicySpec& spec, uint32_t resets,
                                       OffloadPolicyHandle* handle);
  void RemoveLater(std::vector<OffloadPolicyHandle> handles);

  OffloadDevice& device_;
  PacketOffload& packet_;
  Quiescence& quiescence_;
  Rows rows_;
  std::unordered_map<Id, Key> keys_;
  Id next_id_ = 1;
};

// True if one flow may match both.
bool MayOverlap(const Selector& a, const Selector& b);

}  // namespace cygnet
