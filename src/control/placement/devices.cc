#include "control/placement/devices.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "device/packet_offload.h"

namespace cygnet {
namespace {

// MTU of the packets of a self-test, if no port tells it.
constexpr uint32_t kUsualMtu = 1500;

// It was not working, so nobody knows what it is now.
bool IsBroken(DeviceState state) {
  return state == DeviceState::kResetting || state == DeviceState::kRemoved ||
         state == DeviceState::kFailed;
}

}  // namespace

PlacementDevices::PlacementDevices(std::vector<ControlDevice> devices, DataPath* path,
                                   const EngineSet* engines, const PlacementGate* gate,
                                   const Clock* clock)
    : devices_(std::move(devices)),
      path_(*path),
      engines_(*engines),
      gate_(gate),
      clock_(*clock),
      rows_(devices_.size()) {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const OffloadDevice* device = devices_[i].offload;
    if (device == nullptr) continue;
    rows_[i].seen = device->state();
    rows_[i].seen_resets = device->resets();
  }
  (void)RefreshGate();
  SetShadows();
}

// Tells devices and data path how many packets are verified.
void PlacementDevices::SetShadows() {
  for (const ControlDevice& d : devices_) {
    if (d.shadow == nullptr || d.offload == nullptr) continue;
    PacketOffload* packets = d.offload->packet_offload();
    const bool copies = packets != nullptr && packets->SetMirror(d.terms.verify);
    d.shadow->Set(d.terms.verify, copies, clock_.MonotonicNs() / 1'000'000);
  }
}

std::optional<std::size_t> PlacementDevices::Named(const std::string& name) const {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i].name == name) return i;
  }
  return std::nullopt;
}

std::size_t PlacementDevices::NumberOf(const OffloadDevice* device) const {
  std::size_t i = 0;
  while (devices_[i].offload != device) ++i;
  return i;
}

bool PlacementDevices::Usable(std::size_t i) const {
  const OffloadDevice* device = devices_[i].offload;
  return device != nullptr && device->offload_up() && !rows_[i].disabled && !rows_[i].lied &&
         !rows_[i].denied.has_value() && !AwaitsSelfTest(i);
}

const OffloadCaps& PlacementDevices::caps(std::size_t i) const {
  const DeviceSelfTest* test = self_test(i);
  return test != nullptr && test->ran ? test->caps : devices_[i].offload->caps();
}

bool PlacementDevices::AwaitsSelfTest(std::size_t i) const {
  const OffloadDevice* device = devices_[i].offload;
  return device != nullptr && device->offload_up() &&
         (rows_[i].test_due || rows_[i].tested_resets != device->resets());
}

std::string ExplainLink(const ControlDevice& device) {
  const LinkStatus link = device.wire_port->link();
  const DeviceState state = device.offload != nullptr ? device.offload->state() : DeviceState::kUp;
  if (link == LinkStatus::kGone && state == DeviceState::kRemoved) {
    return "device " + device.name + " is removed";
  }
  if (link == LinkStatus::kBarred && state == DeviceState::kFailed) {
    const std::string why = device.offload->failure();
    return "device " + device.name + " has failed" + (why.empty() ? why : ": " + why);
  }
  return Explain(link, device.wire);
}

// A device that goes down meanwhile stays due.
const DeviceSelfTest& PlacementDevices::RunSelfTest(std::size_t i) {
  OffloadDevice* device = devices_[i].offload;
  Row& row = rows_[i];
  ++self_tests_;
  row.tested_resets = device->resets();
  const Port* wire = devices_[i].wire_port;
  row.self_test = TestDevice(device, engines_, wire != nullptr ? wire->mtu() : kUsualMtu);
  row.test_due = !row.self_test->ran && device->loopback() != nullptr;
  return *row.self_test;
}

bool PlacementDevices::AnyIsAuto() const {
  return std::any_of(devices_.begin(), devices_.end(), [](const ControlDevice& d) {
    return d.offload != nullptr && d.terms.mode == PlacementMode::kAuto;
  });
}

std::vector<PlacementDevice> PlacementDevices::Inputs() const {
  std::vector<PlacementDevice> inputs;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const DeviceTerms& terms = devices_[i].terms;
    PlacementDevice input{.device = devices_[i].offload,
                          .mode = terms.mode,
                          .ifindex = devices_[i].ifindex,
                          .denied = rows_[i].denied,
                          .away = {},
                          .allow_crypto = terms.allow_crypto,
                          .allow_packet = terms.allow_packet,
                          .caps = devices_[i].offload != nullptr ? &caps(i) : nullptr,
                          .rekey_reserve = terms.rekey_reserve,
                          .verify_one_of = devices_[i].shadow != nullptr ? terms.verify : 0};
    if (rows_[i].disabled) {
      input.away = PlacementReason{ReasonCode::kOperatorDisabled, {}};
    } else if (rows_[i].lied) {
      input.away = PlacementReason{ReasonCode::kDeviceFailed, rows_[i].lied_why};
    } else if (AwaitsSelfTest(i)) {
      input.away = PlacementReason{ReasonCode::kUntested, {}};
    }
    inputs.push_back(std::move(input));
  }
  return inputs;
}

PlacementDevices::GuardHits PlacementDevices::PollGuard(std::size_t i) {
  if (i >= path_.interfaces.size() || path_.interfaces[i].guard == nullptr) return {};
  const SealGuardStats now = path_.interfaces[i].guard->stats();
  const SealGuardStats before = std::exchange(rows_[i].seen_guard, now);
  return {
      .clear = now.clear_stopped - before.clear_stopped,
      .unsealed = now.unsealed_stopped - before.unsealed_stopped,
      .caught = now.unsealed_stopped > before.unsealed_stopped && devices_[i].offload != nullptr};
}

uint64_t PlacementDevices::PollEngine(uint32_t engine) {
  uint64_t now = 0;
  for (const auto& worker : path_.engine_jobs) {
    now += worker->unsealed[engine].load(std::memory_order_relaxed);
  }
  return now - std::exchange(engine_unsealed_[engine], now);
}

std::string PlacementDevices::engine_failure(uint32_t engine) const {
  const EngineSet::Entry& entry = engines_[engine];
  if (std::string failure = entry.engine->failure(); !failure.empty()) return failure;
  if (engine_unsealed_[engine] == 0) return {};
  return "it reported packets as sealed that were not; the seal guard stopped them";
}

std::array<uint64_t, kHalves.size()> PlacementDevices::PollShadow(std::size_t i) {
  std::array<uint64_t, kHalves.size()> wrong{};
  if (devices_[i].shadow == nullptr) return wrong;
  const ShadowStats now = devices_[i].shadow->stats();
  const ShadowStats before = std::exchange(rows_[i].seen_shadow, now);
  for (const Half half : kHalves) {
    wrong[IndexOf(half)] = now.wrong[IndexOf(half)] - before.wrong[IndexOf(half)];
  }
  return wrong;
}

bool PlacementDevices::MarkLied(std::size_t i, const std::string& why) {
  if (std::exchange(rows_[i].lied, true)) return false;
  rows_[i].lied_why = why;
  return true;
}

std::optional<PlacementDevices::Change> PlacementDevices::PollState(std::size_t i) {
  const OffloadDevice* device = devices_[i].offload;
  if (device == nullptr) return std::nullopt;
  Row& row = rows_[i];
  const DeviceState state = device->state();
  const uint32_t resets = device->resets();
  if (state == row.seen && resets == row.seen_resets) return std::nullopt;
  const bool lost_tables = std::exchange(row.seen_resets, resets) != resets;
  // One that lost its tables is due anyway.
  if (!lost_tables && (IsBroken(state) || IsBroken(row.seen))) row.test_due = true;
  row.seen = state;
  return Change{.state = state, .lost_tables = lost_tables};
}

bool PlacementDevices::RefreshGate() {
  bool changed = false;
  const uint64_t now = clock_.WallSeconds();
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const ControlDevice& d = devices_[i];
    std::optional<PlacementReason> denied;
    if (!d.terms.trusted) {
      denied = PlacementReason{ReasonCode::kNotTrusted, {}};
    } else if (d.offload != nullptr && gate_ != nullptr) {
      denied = gate_->DenyDevice(d, now);
    }
    changed = changed || denied != rows_[i].denied;
    rows_[i].denied = std::move(denied);
  }
  for (uint32_t e = 0; e < engines_.size(); ++e) {
    auto denied = gate_ != nullptr ? gate_->DenyEngine(engines_, e, now) : std::nullopt;
    // The CPU's engines stay: somebody must do the jobs.
    const std::string failure = engine_failure(e);
    if (!failure.empty() && engines_[e].info->kind == EngineKind::kLookAside) {
      denied = PlacementReason{ReasonCode::kDeviceFailed, failure};
    }
    if (engine_disabled_[e]) denied = PlacementReason{ReasonCode::kOperatorDisabled, {}};
    changed = changed || denied != engine_denied_[e];
    engine_denied_[e] = std::move(denied);
  }
  return changed;
}

std::vector<OperatorOrder> PlacementDevices::Orders() const {
  std::vector<OperatorOrder> orders;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const auto& mark = rows_[i].disabled;
    if (mark) orders.push_back({.kind = "device", .name = devices_[i].name, .mark = *mark});
  }
  for (uint32_t e = 0; e < engines_.size(); ++e) {
    const auto& mark = engine_disabled_[e];
    if (!mark) continue;
    orders.push_back(
        {.kind = "engine", .name = std::string(engines_[e].info->name), .mark = *mark});
  }
  return orders;
}

void PlacementDevices::SetEnabled(std::size_t i, bool enabled, const OrderMark& mark) {
  rows_[i].disabled.reset();
  if (!enabled) rows_[i].disabled = mark;
  if (!enabled) return;
  rows_[i].lied = false;
  rows_[i].test_due = true;
  rows_[i].lied_why.clear();
  if (devices_[i].shadow != nullptr) devices_[i].shadow->ForgetEvidence();
}

Status PlacementDevices::SetEngineEnabled(const std::string& name, bool enabled,
                                          const OrderMark& mark) {
  std::optional<uint32_t> number;
  bool other_cpu = false;
  for (uint32_t e = 0; e < engines_.size(); ++e) {
    if (engines_[e].info->name == name) {
      number = e;
    } else {
      other_cpu = other_cpu || (engines_[e].info->kind == EngineKind::kCpu && !engine_denied_[e]);
    }
  }
  if (!number.has_value()) return MakeError(Errc::kNoDevice, "no device or engine '" + name + "'");
  if (!enabled && !other_cpu) {
    return MakeError(Errc::kBusy, name + ": cannot disable the last CPU engine");
  }
  engine_disabled_[*number].reset();
  if (!enabled) engine_disabled_[*number] = mark;
  return {};
}

void PlacementDevices::SetTerms(std::span<const DeviceTerms> terms) {
  CYGNET_CHECK(terms.size() == devices_.size());
  for (std::size_t i = 0; i < devices_.size(); ++i) devices_[i].terms = terms[i];
  SetShadows();
}

}  // namespace cygnet
