#include "control/placement/keys.h"

#include <utility>

namespace cygnet {
namespace {

std::string IdentityText(const DeviceIdentity& identity) {
  std::string text = identity.model;
  if (!identity.serial.empty()) text += " serial " + identity.serial;
  text += " firmware " + (identity.firmware.empty() ? "unknown" : identity.firmware);
  if (identity.simulated) text += " (simulated: this host's CPU)";
  return text;
}

}  // namespace

SaHalf NameOf(const SaSpec& spec, Half half) {
  return {.saddr = spec.saddr,
          .daddr = spec.daddr,
          .family = spec.family,
          .spi = spec.spi,
          .proto = spec.proto,
          .reqid = spec.reqid,
          .half = half};
}

Result<uint64_t> PlacementKeys::GiveToEngine(uint32_t engine, const SaSpec& spec, Half half) {
  const CryptoEngine& holder = *engines_->engine(engine);
  return ledger_->KeyGiven(NameOf(spec, half), holder.name(), "engine", TextOf(engine));
}

// It is asked each time: the module behind an engine may have changed.
const std::string& PlacementKeys::TextOf(uint32_t engine) {
  if (said_.size() <= engine) said_.resize(engine + 1);
  Said& said = said_[engine];
  ModuleIdentity now = engines_->engine(engine)->identity();
  if (said.text.empty() || said.identity.model != now.model ||
      said.identity.version != now.version) {
    said.text = Text(now);
    said.identity = std::move(now);
  }
  return said.text;
}

Result<uint64_t> PlacementKeys::GiveToDevice(const OffloadDevice& device, const SaSpec& spec,
                                             Half half) {
  return ledger_->KeyGiven(NameOf(spec, half), device.device_name(), "device",
                           IdentityText(device.identity()));
}

void PlacementKeys::TakenByDevice(const OffloadDevice& device, OffloadHandle handle, uint64_t key) {
  devices_[&device][handle.value] = key;
}

void PlacementKeys::NotTaken(uint64_t key, const std::string& why) {
  ledger_->KeyEnded(key, /*erased=*/true, "refused: " + why);
}

void PlacementKeys::Erased(uint64_t key) { ledger_->KeyEnded(key, /*erased=*/true); }

void PlacementKeys::ErasedByDevice(const OffloadDevice& device, OffloadHandle handle,
                                   std::string_view note) {
  auto& keys = devices_[&device];
  const auto key = keys.find(handle.value);
  if (key == keys.end()) return;
  ledger_->KeyEnded(key->second, /*erased=*/true, note);
  keys.erase(key);
}

bool PlacementKeys::HoldsAny(const OffloadDevice& device) const {
  const auto keys = devices_.find(&device);
  return keys != devices_.end() && !keys->second.empty();
}

void PlacementKeys::EndAll(const OffloadDevice& device, const std::string& note) {
  for (const auto& [handle, key] : devices_[&device]) ledger_->KeyEnded(key, false, note);
  devices_.erase(&device);
}

}  // namespace cygnet
