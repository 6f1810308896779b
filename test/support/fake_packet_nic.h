// FakePacketNic: a device that does packet offload on paper. It holds policies and SAs, looks
// policies up as the contract says, and refuses and loses them when a test wants. It moves no
// packet. For tests only.
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "device/packet_offload.h"

namespace cygnet::test {

class FakePacketNic final : public OffloadDevice, public PacketOffload {
 public:
  struct HeldPolicy {
    OffloadPolicyHandle handle;
    PolicySpec spec;
  };
  struct HeldSa {
    OffloadHandle handle;
    Spi spi;
    Half half = Half::kOutbound;
    std::optional<UdpEncap> encap;
    bool stopped = false;
    LifetimeLimits limits;
    SaReading reading;
  };

  // --- What tests set and see ---
  std::vector<HeldPolicy> policies;  // in the order in which they were added
  std::vector<HeldSa> sas;
  std::optional<DeviceRefusal> refuse_policy;  // the answer to AddPolicy
  std::size_t policy_limit = 1000;             // more are refused
  std::optional<DeviceRefusal> refuse_sa;      // the answer to InstallSa
  std::function<void(const PolicySpec&)> on_add_policy = [](const PolicySpec&) {};
  std::vector<PacketOffloadEvent> events;
  std::vector<std::string> order;  // "policy 10.2.0.0/16", "sa 256", as they came

  void Become(DeviceState state) {
    state_ = state;
    Ring();
  }
  // Loses its tables.
  void Reset() {
    ++resets_;
    policies.clear();
    sas.clear();
    Ring();
  }
  // The policy that decides for a flow; nullptr: none.
  const PolicySpec* Lookup(PolicyDirection direction, const FlowKey& flow) const {
    const PolicySpec* best = nullptr;
    for (const HeldPolicy& held : policies) {
      const PolicySpec& spec = held.spec;
      if (spec.direction != direction || !spec.selector.Matches(flow, 0)) continue;
      if (best == nullptr || spec.priority < best->priority) best = &spec;
    }
    return best;
  }
  HeldSa* Sa(uint32_t spi) {
    const auto at = std::find_if(sas.begin(), sas.end(),
                                 [spi](const HeldSa& sa) { return sa.spi.value == spi; });
    return at == sas.end() ? nullptr : &*at;
  }

  // --- OffloadDevice ---
  std::string_view device_name() const override { return "nic0"; }
  DeviceIdentity identity() const override {
    DeviceIdentity identity;
    identity.simulated = true;
    return identity;
  }
  const OffloadCaps& caps() const override { return caps_; }
  DeviceState state() const override { return state_; }
  uint32_t resets() const override { return resets_; }
  void SetBell(Doorbell* bell) override { bell_ = bell; }
  std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) override {
    if (refuse_sa.has_value()) return refuse_sa;
    *handle = OffloadHandle(next_handle_++);
    order.push_back("sa " + std::to_string(sa.spec.spi.value));
    HeldSa& held = sas.emplace_back();
    held.handle = *handle;
    held.spi = sa.spec.spi;
    held.half = sa.half;
    if (sa.spec.encap.has_value()) held.encap = *sa.spec.encap;
    return std::nullopt;
  }
  void StartSa(OffloadHandle) override {}
  void StopSa(OffloadHandle handle) override {
    if (HeldSa* sa = Find(handle)) sa->stopped = true;
  }
  void ReleaseSa(OffloadHandle handle) override {
    if (Find(handle) == nullptr) return;
    std::erase_if(sas, [handle](const HeldSa& sa) { return sa.handle == handle; });
    erased_.push_back(handle);
  }
  std::vector<OffloadHandle> TakeErased() override { return std::exchange(erased_, {}); }
  OffloadStats offload_stats() const override { return {}; }
  void AdvanceEsn(OffloadHandle, uint64_t) override {}
  void FilterEligible(std::span<Packet* const>, std::span<bool> eligible) override {
    std::fill(eligible.begin(), eligible.end(), false);
  }
  PacketOffload* packet_offload() override { return this; }

  // --- PacketOffload ---
  std::optional<DeviceRefusal> AddPolicy(const OffloadPolicy& policy,
                                         OffloadPolicyHandle* handle) override {
    on_add_policy(policy.spec);
    if (refuse_policy.has_value()) return refuse_policy;
    if (policies.size() >= policy_limit) {
      return DeviceRefusal{InstallError::kTableFull, Errc::kNoSpace, "nic0: Policy table is full"};
    }
    *handle = OffloadPolicyHandle(next_handle_++);
    order.push_back("policy " + ToString(policy.spec.selector.daddr, policy.spec.selector.family));
    policies.push_back({*handle, policy.spec});
    return std::nullopt;
  }
  void RemovePolicy(OffloadPolicyHandle handle) override {
    std::erase_if(policies, [handle](const HeldPolicy& held) { return held.handle == handle; });
  }
  void Grant(OffloadHandle, const NumberBlock&) override {}
  void SetLimits(OffloadHandle handle, const LifetimeLimits& limits) override {
    if (HeldSa* sa = Find(handle)) sa->limits = limits;
  }
  std::optional<SaReading> Read(OffloadHandle handle) const override {
    for (const HeldSa& sa : sas) {
      if (sa.handle == handle) return sa.reading;
    }
    return std::nullopt;
  }
  std::optional<SaHandOver> TakeState(OffloadHandle handle) override {
    const HeldSa* sa = Find(handle);
    if (sa == nullptr) return std::nullopt;
    return SaHandOver{.reading = sa->reading, .bitmap = {}};
  }
  std::vector<PacketOffloadEvent> TakeEvents() override { return std::exchange(events, {}); }

 private:
  HeldSa* Find(OffloadHandle handle) {
    const auto at = std::find_if(sas.begin(), sas.end(),
                                 [handle](const HeldSa& sa) { return sa.handle == handle; });
    return at == sas.end() ? nullptr : &*at;
  }
  void Ring() {
    if (bell_ != nullptr) bell_->Ring();
  }
  static OffloadCaps AllCaps() {
    return {.crypto_offload = true,
            .packet_offload = true,
            .inbound = true,
            .outbound = true,
            .transport = true,
            .tunnel = true,
            .beet = true,
            .ipv4 = true,
            .ipv6 = true,
            .esn = true,
            .udp_encap = true,
            .packet_udp_encap = true,
            .algorithms = {"rfc4106(gcm(aes))"},
            .key_bytes = {16, 32},
            .icv_bytes = {8, 16},
            .max_replay_window = 4096};
  }

  const OffloadCaps caps_ = AllCaps();
  DeviceState state_ = DeviceState::kUp;
  uint32_t resets_ = 0;
  uint32_t next_handle_ = 1;
  std::vector<OffloadHandle> erased_;
  Doorbell* bell_ = nullptr;
};

}  // namespace cygnet::test
