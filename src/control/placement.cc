// One half of an SA: chosen, published, moved, retired.
#include "control/placement.h"

#include <chrono>
#include <thread>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

std::atomic<const SaBinding*>& SlotOf(const Sa& sa, bool inbound) {
  return inbound ? sa.inbound()->binding : sa.outbound()->binding;
}

}  // namespace

Placement::Placement(PlacementParams params, PlacementListener* listener)
    : params_(std::move(params)),
      path_(*params_.path),
      listener_(listener),
      state_(params_.devices.size()) {
  if (params_.ledger == nullptr) params_.ledger = std::make_shared<Ledger>(params_.clock);
  keys_ = std::make_shared<PlacementKeys>(params_.ledger, params_.engines);
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    OffloadDevice* device = params_.devices[i].offload;
    if (device == nullptr) continue;
    state_[i].seen = device->state();
    state_[i].seen_resets = device->resets();
    device->SetBell(&path_.control_bell);
  }
  (void)RefreshGate();
}

// The SAs are gone; devices that work say soon that the keys are, too.
Placement::~Placement() {
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    OffloadDevice* device = params_.devices[i].offload;
    if (device == nullptr) continue;
    device->SetBell(nullptr);
    constexpr int kTries = 40;
    for (int n = 0; n < kTries && device->offload_up(); ++n) {
      TakeErased(i);
      if (!keys_->HoldsAny(*device)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    TakeErased(i);
    keys_->EndAll(*device, "cygnetd stopped before the device said it was erased");
  }
}

const PlacedSa* Placement::Find(uint64_t sa_number) const {
  const auto it = placed_.find(sa_number);
  return it == placed_.end() ? nullptr : &it->second;
}

std::size_t Placement::NumberOf(const OffloadDevice* device) const {
  std::size_t i = 0;
  while (params_.devices[i].offload != device) ++i;
  return i;
}

std::optional<std::size_t> Placement::DeviceNamed(const std::string& name) const {
  for (std::size_t i = 0; i < params_.devices.size(); ++i) {
    if (params_.devices[i].name == name) return i;
  }
  return std::nullopt;
}

Result<PlacedSa> Placement::Place(const std::shared_ptr<Sa>& sa) {
  PlacedSa placed;
  placed.sa = sa;
  const std::vector<PlacementDevice> devices = DeviceInputs();
  for (const bool inbound : {false, true}) {
    if (inbound ? sa->inbound() == nullptr : sa->outbound() == nullptr) continue;
    if (Status status = PlaceHalf(&placed, inbound, devices); !status) {
      Abandon(std::move(placed));
      return status.error();
    }
  }
  return placed;
}

void Placement::Abandon(PlacedSa placed) {
  for (const bool inbound : {false, true}) {
    PlacedHalf& half = placed.half(inbound);
    if (half.binding == nullptr) continue;
    SlotOf(*placed.sa, inbound).store(nullptr);
    CountSlot(placed, inbound, -1);
    Retire(std::move(half.binding), nullptr);
  }
}

void Placement::Keep(PlacedSa placed) {
  for (const bool inbound : {false, true}) {
    PlacedHalf& half = placed.half(inbound);
    if (half.binding == nullptr) continue;
    Record(placed, inbound);
    if (WaitsForReturn(half)) SetDue(&half, ReasonCode::kRequested);
  }
  const uint64_t number = placed.sa->number;
  placed_.emplace(number, std::move(placed));
}

Status Placement::PlaceHalf(PlacedSa* placed, bool inbound,
                            std::span<const PlacementDevice> devices) {
  const SaSpec& spec = placed->sa->spec();
  const auto direction = inbound ? CryptoDirection::kOpen : CryptoDirection::kSeal;
  auto selected = SelectPath(spec, direction, InputsFor(spec, inbound, devices));
  if (!selected) return selected.error();
  Publish(placed, inbound, *std::move(selected));
  return {};
}

// False: it stays. What is asked of it may have changed all the same.
bool Placement::Move(PlacedSa* placed, bool inbound, std::span<const PlacementDevice> devices,
                     ReasonCode success) {
  PlacedHalf& half = placed->half(inbound);
  const SaSpec& spec = placed->sa->spec();
  PlacementInputs inputs = InputsFor(spec, inbound, devices);
  inputs.cause = PlacementCause::kMove;
  inputs.current = half.binding.get();
  inputs.success = success;
  if (inbound) inputs.highest = placed->sa->inbound()->replay.highest();
  PlacementTerms terms{half.binding->request, half.binding->reason};
  const auto direction = inbound ? CryptoDirection::kOpen : CryptoDirection::kSeal;
  auto selected = SelectPath(spec, direction, inputs, &terms);
  CYGNET_CHECK(selected.has_value());  // a move never fails
  if (*selected == nullptr) {
    half.binding->request = terms.request;
    // On its device it keeps the reason for which it came there.
    if (half.binding->device != nullptr) return false;
    const PlacementReason before = std::exchange(half.binding->reason, std::move(terms.reason));
    // How full a table is changes all the time and is no news.
    if (before.Text() != half.binding->reason.Text()) Record(*placed, inbound);
    return false;
  }
  if (half.history.size() == PlacedHalf::kMaxHistory) half.history.erase(half.history.begin());
  half.history.push_back(EntryOf(*placed, inbound));
  Publish(placed, inbound, *std::move(selected));
  Record(*placed, inbound);
  return true;
}

// Workers know the handle before the device matches packets by it; what it opened under the old
// handle is still believed, because it is the same SA.
void Placement::Publish(PlacedSa* placed, bool inbound, Selection next) {
  PlacedHalf& half = placed->half(inbound);
  const std::unique_ptr<SaBinding>& old = half.binding;
  if (old != nullptr && inbound) {
    const bool was_on_device = old->device != nullptr;
    const bool goes_on = next->device == old->device && next->handle == old->handle;
    if (was_on_device && !goes_on && !state_[NumberOf(old->device)].lied) {
      next->earlier.push_back({old->device, old->handle});
    }
    for (const OpenedBy& e : old->earlier) {
      if (next->earlier.size() < SaBinding::kMaxEarlier) next->earlier.push_back(e);
    }
  }
  if (old != nullptr) CountSlot(*placed, inbound, -1);
  SlotOf(*placed->sa, inbound).store(next.get(), std::memory_order_release);
  const bool new_key = next->device != nullptr &&
                       (old == nullptr || old->device != next->device ||
                        old->handle != next->handle || old->device_resets != next->device_resets);
  if (new_key) next->device->StartSa(next->handle);
  std::unique_ptr<SaBinding> last = std::exchange(half.binding, std::move(next));
  CountSlot(*placed, inbound, 1);
  if (last != nullptr) Retire(std::move(last), half.binding.get());
}

// The device stops at once; its slot and key go when no worker can hold a packet for it. A handle
// that the next binding goes on with stays.
void Placement::Retire(std::unique_ptr<SaBinding> old, const SaBinding* next) {
  const bool goes_on = next != nullptr && next->device == old->device &&
                       next->handle == old->handle && next->device_resets == old->device_resets;
  if (old->device == nullptr || goes_on) {
    path_.quiescence.Retire([last = std::shared_ptr<SaBinding>(std::move(old))] {});
    return;
  }
  old->device->StopSa(old->handle);
  path_.quiescence.Retire([last = std::shared_ptr<SaBinding>(std::move(old))] {
    last->device->ReleaseSa(last->handle);
  });
}

void Placement::Remove(const Sa& sa) {
  const auto it = placed_.find(sa.number);
  if (it == placed_.end()) return;
  for (const bool inbound : {false, true}) {
    PlacedHalf& half = it->second.half(inbound);
    if (half.binding == nullptr) continue;
    PlacementEntry entry = EntryOf(it->second, inbound);
    entry.effective = "removed";
    entry.where.clear();
    entry.reason.clear();
    entry.explanation = "the SA is gone";
    params_.ledger->Placed(std::move(entry));
    CountSlot(it->second, inbound, -1);
    Retire(std::move(half.binding), nullptr);
    SetDue(&half, std::nullopt);
  }
  placed_.erase(it);
  // The operator's word about one SPI ends with its SA, unless that went on at other addresses.
  const SaSpec& spec = sa.spec();
  const auto goes_on = [&] {
    return std::any_of(placed_.begin(), placed_.end(), [&spec](const auto& entry) {
      return entry.second.sa->spec().spi == spec.spi;
    });
  };
  std::erase_if(overrides_, [&](const PlacementCommand& c) {
    return c.spi == spec.spi && (c.daddr.has_value() ? *c.daddr == spec.daddr : !goes_on());
  });
}

void Placement::CountSlot(const PlacedSa& placed, bool inbound, int delta) {
  const SaBinding* binding = placed.half(inbound).binding.get();
  if (binding == nullptr || binding->device == nullptr) return;
  const SaSpec& spec = placed.sa->spec();
  const TunnelKey key{NumberOf(binding->device), inbound, spec.reqid.value, spec.saddr, spec.daddr};
  uint32_t& count = slots_of_[key];
  count = static_cast<uint32_t>(static_cast<int>(count) + delta);
  if (count == 0) slots_of_.erase(key);
}

PlacementEntry Placement::EntryOf(const PlacedSa& placed, bool inbound) const {
  const SaBinding& binding = *placed.half(inbound).binding;
  return {.time_ms = binding.since * 1000,
          .half = HalfOf(placed.sa->spec(), inbound),
          .requested = std::string(Name(binding.request.mode)),
          .requested_by = std::string(Name(binding.request.by)),
          .effective = std::string(EffectiveName(binding)),
          .where = WhereOf(binding, *params_.engines),
          .reason = binding.reason.Text(),
          .explanation = binding.reason.Explanation(),
          .simulated = binding.device != nullptr && binding.device->identity().simulated};
}

void Placement::Record(const PlacedSa& placed, bool inbound) {
  const SaBinding& binding = *placed.half(inbound).binding;
  PlacementEntry entry = EntryOf(placed, inbound);
  // What runs where it was asked to needs no line in the log; the ledger has it.
  const bool unasked = binding.request.mode == PlacementMode::kNo;
  const bool blocked = EffectiveName(binding) == "blocked";
  if (blocked || (!unasked && binding.device == nullptr)) {
    Log(LogLevel::kInfo, "SA " + Describe(placed.sa->spec()) + (inbound ? " in: " : " out: ") +
                             (entry.effective == "software" ? "in software" : entry.effective) +
                             ": " + entry.reason + " (" + entry.explanation + ")");
  }
  params_.ledger->Placed(std::move(entry));
}

// --- Words ---

std::string_view Name(PlacementMode mode) {
  static constexpr std::string_view kNames[] = {"no", "crypto", "packet", "auto", "required"};
  return kNames[static_cast<std::size_t>(mode)];
}

std::optional<PlacementMode> ParsePlacementMode(std::string_view name) {
  for (const PlacementMode mode :
       {PlacementMode::kNo, PlacementMode::kCrypto, PlacementMode::kPacket, PlacementMode::kAuto,
        PlacementMode::kRequired}) {
    if (Name(mode) == name) return mode;
  }
  return std::nullopt;
}

std::string_view Name(RequestedBy by) {
  static constexpr std::string_view kNames[] = {"", "client", "rule", "operator", "device"};
  return kNames[static_cast<std::size_t>(by)];
}

std::string_view EffectiveName(const SaBinding& binding) {
  if (binding.device != nullptr) return "crypto";
  if (binding.look_aside.session != nullptr) return "look-aside";
  return binding.cpu.session != nullptr ? "software" : "blocked";
}

std::string WhereOf(const SaBinding& binding, const EngineSet& engines) {
  if (binding.device != nullptr) return std::string(binding.device->device_name());
  if (binding.look_aside.session != nullptr) {
    return std::string(engines.engine(binding.look_aside.engine)->name());
  }
  return binding.cpu.session != nullptr ? std::string(engines.engine(binding.cpu.engine)->name())
                                        : std::string();
}

}  // namespace cygnet
