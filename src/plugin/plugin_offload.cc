// PluginDevice as an offload device: SAs, handles and states.
#include <algorithm>

#include "plugin/plugin_convert.h"
#include "plugin/plugin_device.h"

namespace cygnet {
namespace {

constexpr uint32_t kAtOnce = 256;  // entries of a list that a plug-in is asked for

DeviceRefusal Unusable() {
  return {InstallError::kDeviceDown, Errc::kNotSupported, "the plug-in has failed"};
}

}  // namespace

DeviceState PluginDevice::state() const {
  if (!usable()) return DeviceState::kFailed;
  const DeviceState state = StateFromPlugin(Look().state);
  if (contract_.broken()) return DeviceState::kFailed;
  const bool no_link = wire_ != nullptr && !wire_->link_up();
  return state == DeviceState::kUp && no_link ? DeviceState::kLinkDown : state;
}

uint32_t PluginDevice::resets() const { return Look().resets; }

std::string PluginDevice::failure() const {
  if (contract_.broken()) return kBrokeContract + contract_.breach();
  return plugin_.isolated && device_ != nullptr ? WhyIsolatedDriverEnded(device_) : "";
}

void PluginDevice::TryAgain() {
  if (plugin_.isolated && usable()) RestartIsolatedDriver(device_);
}

// What a call that may refuse has answered.
std::optional<DeviceRefusal> PluginDevice::Refused(int32_t result, const cygnet_refusal& refusal,
                                                   const char* call) {
  if (result == 0) return std::nullopt;
  constexpr int32_t kLargestErrno = 4095;
  if (result < 0 && result >= -kLargestErrno) return FromPlugin(result, refusal);
  contract_.Break(std::string(call) + " returned " + std::to_string(result) +
                  ", which is neither 0 nor a negative errno");
  return Unusable();
}

std::optional<DeviceRefusal> PluginDevice::InstallSa(const OffloadSa& sa, OffloadHandle* handle) {
  if (!usable()) return Unusable();
  const std::string against = RowAgainst(*plugin_caps_, sa.spec);
  if (!against.empty()) {
    return DeviceRefusal{InstallError::kRefused, Errc::kNotSupported,
                         "the device does not do " + against};
  }
  const cygnet_sa view = ToPlugin(sa);
  cygnet_refusal refusal = NewRefusal();
  uint32_t given = 0;
  auto refused =
      Refused(driver_.install_sa(device_, &view, &given, &refusal), refusal, "install_sa");
  if (refused.has_value()) return refused;
  if (!live_.insert(given).second) {
    contract_.Break("install_sa returned handle " + std::to_string(given) +
                    ", which another SA of the device has");
    return Unusable();
  }
  *handle = OffloadHandle(given);
  return std::nullopt;
}

std::optional<DeviceRefusal> PluginDevice::OwnRefusal(const SaSpec& spec, Half half,
                                                      OffloadMode mode) const {
  if (!usable() || driver_.own_refusal == nullptr) return std::nullopt;
  const cygnet_sa view = ToPluginWithoutKeys(spec, half, mode);
  cygnet_refusal refusal = NewRefusal();
  const int32_t result = driver_.own_refusal(device_, &view, &refusal);
  return result < 0 ? std::optional(FromPlugin(result, refusal)) : std::nullopt;
}

void PluginDevice::StartSa(OffloadHandle handle) {
  if (usable()) driver_.start_sa(device_, handle.value);
}

void PluginDevice::StopSa(OffloadHandle handle) {
  if (usable()) driver_.stop_sa(device_, handle.value);
}

void PluginDevice::ReleaseSa(OffloadHandle handle) {
  if (usable()) driver_.release_sa(device_, handle.value);
}

std::vector<OffloadHandle> PluginDevice::TakeErased() {
  std::vector<OffloadHandle> erased;
  std::array<uint32_t, kAtOnce> handles;
  for (uint32_t n = kAtOnce; usable() && n == kAtOnce;) {
    n = driver_.take_erased(device_, handles.data(), kAtOnce);
    if (n > kAtOnce) {
      contract_.Break("take_erased returned " + std::to_string(n) + " handles for " +
                      std::to_string(kAtOnce) + " places");
      break;
    }
    for (uint32_t i = 0; i < n; ++i) {
      if (live_.erase(handles[i]) == 0) {
        contract_.Break("take_erased returned handle " + std::to_string(handles[i]) +
                        ", which no SA of the device has");
        if (contract_.broken()) return erased;
        continue;  // what it says of the others holds: its process is gone
      }
      erased.emplace_back(handles[i]);
    }
  }
  return erased;
}

OffloadStats PluginDevice::offload_stats() const {
  const cygnet_driver_stats from = LookAtStats();
  OffloadStats s;
  s.outbound_used = from.outbound_used;
  s.inbound_used = from.inbound_used;
  s.slots_used = from.outbound_used + from.inbound_used;
  s.slots_high_water = s.slots_used;
  if (plugin_caps_ != nullptr) {
    s.slots_limit = plugin_caps_->outbound_slots + plugin_caps_->inbound_slots;
    s.direction_limit = std::max(plugin_caps_->outbound_slots, plugin_caps_->inbound_slots);
    s.addresses_limit = plugin_caps_->addresses;
  }
  s.addresses_used = from.addresses_used;
  s.addresses_high_water = from.addresses_used;
  s.sealed = from.sealed;
  s.opened = from.opened;
  s.auth_failed = from.auth_failed;
  s.passed_unknown = from.passed_unknown;
  s.refusals = from.refusals;
  s.dropped_stale = from.dropped_stale;
  s.returned = from.returned;
  s.resets = from.resets;
  return s;
}

void PluginDevice::AdvanceEsn(OffloadHandle handle, uint64_t highest) {
  if (usable() && driver_.advance_esn != nullptr) {
    driver_.advance_esn(device_, handle.value, highest);
  }
}

void PluginDevice::FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) {
  const bool up = usable();
  std::fill(eligible.begin(), eligible.end(), up);
  if (!up || driver_.filter_eligible == nullptr) return;
  std::array<cygnet_packet*, CYGNET_BURST> views;
  std::array<uint8_t, CYGNET_BURST> answers;
  for (std::size_t at = 0; at < packets.size(); at += CYGNET_BURST) {
    const std::size_t n = std::min<std::size_t>(CYGNET_BURST, packets.size() - at);
    for (std::size_t i = 0; i < n; ++i) views[i] = packets_.Show(*packets[at + i]);
    answers.fill(0);
    driver_.filter_eligible(device_, views.data(), static_cast<uint32_t>(n), answers.data());
    for (std::size_t i = 0; i < n; ++i) {
      if (answers[i] > 1) contract_.Break("filter_eligible answered neither 0 nor 1");
      eligible[at + i] = answers[i] == 1;
    }
  }
}

// --- Packet offload ---

std::optional<DeviceRefusal> PluginDevice::AddPolicy(const OffloadPolicy& policy,
                                                     OffloadPolicyHandle* handle) {
  if (!usable()) return Unusable();
  const PolicySpec& spec = policy.spec;
  const bool esp_only = std::all_of(spec.templates.begin(), spec.templates.end(),
                                    [](const Template& t) { return t.proto == 50; });
  if (spec.type != PolicyType::kMain || spec.direction == PolicyDirection::kForward || !esp_only) {
    return DeviceRefusal{InstallError::kRefused, Errc::kNotSupported,
                         "devices take policies of type main, directions in and out, with ESP "
                         "templates"};
  }
  std::vector<cygnet_template> templates;
  const cygnet_policy view = ToPlugin(spec, &templates);
  cygnet_refusal refusal = NewRefusal();
  uint32_t given = 0;
  auto refused =
      Refused(plugin_.packet.add_policy(device_, &view, &given, &refusal), refusal, "add_policy");
  if (refused.has_value()) return refused;
  const uint32_t now = resets();
  if (std::exchange(policy_resets_, now) != now) policies_.clear();
  if (!policies_.insert(given).second) {
    contract_.Break("add_policy returned handle " + std::to_string(given) +
                    ", which another policy of the device has");
    return Unusable();
  }
  *handle = OffloadPolicyHandle(given);
  return std::nullopt;
}

void PluginDevice::RemovePolicy(OffloadPolicyHandle handle) {
  policies_.erase(handle.value);
  if (usable()) plugin_.packet.remove_policy(device_, handle.value);
}

void PluginDevice::Grant(OffloadHandle handle, const NumberBlock& block) {
  const cygnet_numbers numbers{block.first, block.last};
  if (usable()) plugin_.packet.grant(device_, handle.value, &numbers);
}

void PluginDevice::SetLimits(OffloadHandle handle, const LifetimeLimits& limits) {
  const cygnet_limits view{limits.soft_bytes, limits.hard_bytes, limits.soft_packets,
                           limits.hard_packets};
  if (usable()) plugin_.packet.set_limits(device_, handle.value, &view);
}

std::optional<SaReading> PluginDevice::Read(OffloadHandle handle) const {
  cygnet_reading reading{};
  reading.size = sizeof(reading);
  if (!usable() || plugin_.packet.read(device_, handle.value, &reading) != 0) return std::nullopt;
  return FromPlugin(reading);
}

std::optional<SaHandOver> PluginDevice::TakeState(OffloadHandle handle) {
  if (!usable()) return std::nullopt;
  cygnet_reading reading{};
  reading.size = sizeof(reading);
  SaHandOver out;
  out.bitmap.resize((caps_.max_replay_window + 31) / 32);
  auto words = static_cast<uint32_t>(out.bitmap.size());
  if (plugin_.packet.take_state(device_, handle.value, &reading, out.bitmap.data(), &words) != 0) {
    return std::nullopt;
  }
  if (words > out.bitmap.size()) {
    contract_.Break("take_state used " + std::to_string(words) + " words of " +
                    std::to_string(out.bitmap.size()));
    return std::nullopt;
  }
  out.bitmap.resize(words);
  out.reading = FromPlugin(reading);
  return out;
}

std::vector<PacketOffloadEvent> PluginDevice::TakeEvents() {
  std::vector<PacketOffloadEvent> out;
  std::array<cygnet_event, kAtOnce> events;
  if (!usable()) return out;
  const uint32_t n = plugin_.packet.take_events(device_, events.data(), kAtOnce);
  if (n > kAtOnce) {
    contract_.Break("take_events returned more events than it was given places");
    return out;
  }
  for (uint32_t i = 0; i < n; ++i) {
    if (events[i].kind > CYGNET_EVENT_HARD_LIMIT) {
      contract_.Break("an event has kind " + std::to_string(events[i].kind) +
                      ", which does not exist");
      return out;
    }
    out.push_back(
        {OffloadHandle(events[i].handle), static_cast<PacketOffloadEvent::Kind>(events[i].kind)});
  }
  if (n == kAtOnce) contract_.Ring();  // there may be more
  return out;
}

bool PluginDevice::SetMirror(uint32_t n) {
  return usable() && plugin_.packet.set_mirror != nullptr &&
         plugin_.packet.set_mirror(device_, n) == 0;
}

}  // namespace cygnet
