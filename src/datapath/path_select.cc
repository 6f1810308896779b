#include "datapath/path_select.h"

#include <utility>

#include "esp/crypto_jobs.h"

namespace cygnet {
namespace {

// --- Engines ---

bool IsDenied(const PlacementInputs& inputs, uint32_t engine) {
  return inputs.engine_denied[engine].has_value();
}

// Number of the first engine of this kind that may be given keys and does the SA's algorithms.
Result<uint32_t> ChooseEngine(EngineKind kind, const SessionParams& params,
                              const PlacementInputs& inputs) {
  const EngineSet& engines = *inputs.engines;
  std::string denied;
  for (uint32_t i = 0; i < engines.size(); ++i) {
    if (engines[i].info->kind != kind || !engines.engine(i)->Supports(*params.cipher, params.auth))
      continue;
    if (!IsDenied(inputs, i)) return i;
    denied = inputs.engine_denied[i]->Spoken();
  }
  if (!denied.empty()) return MakeError(Errc::kNotSupported, denied);
  return MakeError(Errc::kNotImplemented,
                   "no crypto engine can do " + std::string(params.cipher->name) +
                       (params.auth != nullptr ? " with " + std::string(params.auth->name) : ""));
}

// The observer knows of the key before the engine does, and of its end after the key schedule is
// gone.
Result<std::shared_ptr<CryptoSession>> Observed(uint32_t engine, const SaSpec& spec, bool inbound,
                                                const SessionParams& params,
                                                const PlacementInputs& inputs) {
  CryptoEngine& holder = *inputs.engines->engine(engine);
  const std::shared_ptr<KeyObserver> keys = inputs.keys;
  if (keys == nullptr) {
    auto session = holder.CreateSession(params);
    if (!session) return session.error();
    return std::shared_ptr<CryptoSession>(*std::move(session));
  }
  const auto key = keys->GiveToEngine(engine, spec, inbound);
  if (!key) {
    return MakeError(key.error().code,
                     std::string(Meaning(ReasonCode::kNotRecorded)) + ": " + key.error().message);
  }
  auto session = holder.CreateSession(params);
  if (!session) {
    keys->NotTaken(*key, session.error().message);
    return session.error();
  }
  return std::shared_ptr<CryptoSession>(session->release(),
                                        [keys, number = *key](CryptoSession* last) {
                                          delete last;
                                          keys->Erased(number);
                                        });
}

// `now`: the session that the half has on an engine of this kind, used again when it is the right
// one.
Result<EngineSession> SessionOn(EngineKind kind, const SaSpec& spec, CryptoDirection direction,
                                const PlacementInputs& inputs, const EngineSession* now) {
  const SessionParams params = esp::SessionFor(spec, direction, inputs.queues);
  if (params.cipher == nullptr) return MakeError(Errc::kInvalid, "the SA has no algorithm");
  const auto number = ChooseEngine(kind, params, inputs);
  if (!number) return number.error();
  if (now != nullptr && now->session != nullptr && now->engine == *number) return *now;
  auto session = Observed(*number, spec, direction == CryptoDirection::kOpen, params, inputs);
  if (!session) return session.error();
  return EngineSession{*std::move(session), static_cast<uint8_t>(*number)};
}

// --- Devices ---

ReasonCode ReasonOf(DeviceState state) {
  switch (state) {
    case DeviceState::kLinkDown:
      return ReasonCode::kLinkDown;
    case DeviceState::kResetting:
      return ReasonCode::kDeviceReset;
    case DeviceState::kRemoved:
      return ReasonCode::kDeviceRemoved;
    case DeviceState::kFailed:
      return ReasonCode::kDeviceFailed;
    default:
      return ReasonCode::kDeviceDown;
  }
}

ReasonCode ReasonOf(AddSaError kind) {
  switch (kind) {
    case AddSaError::kTableFull:
      return ReasonCode::kTableFull;
    case AddSaError::kAddressTableFull:
      return ReasonCode::kAddressTableFull;
    case AddSaError::kDeviceDown:
      return ReasonCode::kDeviceDown;
    case AddSaError::kRefused:
      break;
  }
  return ReasonCode::kDeviceRefused;
}

std::optional<PlacementReason> CheckModes(const PlacementDevice& device, bool packet) {
  if (device.mode == PlacementMode::kNo) return PlacementReason{ReasonCode::kDeviceOff, {}};
  const bool allowed =
      packet ? device.allow_packet : device.allow_crypto && device.mode != PlacementMode::kPacket;
  if (allowed) return std::nullopt;
  return PlacementReason{ReasonCode::kModeNotAllowed, packet ? "packet" : "crypto"};
}

std::optional<PlacementReason> CheckSlots(const PlacementDevice& device, bool inbound,
                                          bool is_rekey) {
  const OffloadStats stats = device.device->offload_stats();
  const uint32_t used = inbound ? stats.inbound_used : stats.outbound_used;
  const std::string detail = std::to_string(used) + " of " + std::to_string(stats.direction_limit) +
                             (inbound ? " inbound" : " outbound") + " SA slots in use";
  if (stats.direction_limit != 0 && used >= stats.direction_limit) {
    return PlacementReason{ReasonCode::kTableFull, detail};
  }
  if (!is_rekey && device.rekey_reserve != 0 && stats.direction_limit != 0 &&
      used + device.rekey_reserve >= stats.direction_limit) {
    return PlacementReason{ReasonCode::kRekeyReserve, detail};
  }
  return std::nullopt;
}

// What keeps an SA off a device before the device itself is asked. That its table is full the
// device says: it knows best.
std::optional<PlacementReason> FirstObstacle(const std::vector<Requirement>& requirements) {
  for (const Requirement& r : requirements) {
    if (r.failure.has_value() && r.failure->code != ReasonCode::kTableFull) return r.failure;
  }
  return std::nullopt;
}

const PlacementDevice* Named(int32_t ifindex, const PlacementInputs& inputs) {
  for (const PlacementDevice& candidate : inputs.devices) {
    if (candidate.ifindex == ifindex) return &candidate;
  }
  return nullptr;
}

// The devices that are to be asked, in their order.
std::vector<const PlacementDevice*> Candidates(const PlacementRequest& request,
                                               const PlacementInputs& inputs) {
  if (request.ifindex != 0) return {Named(request.ifindex, inputs)};
  std::vector<const PlacementDevice*> candidates;
  for (const PlacementDevice& device : inputs.devices) {
    const bool wanted = request.by != RequestedBy::kDevice || device.mode == PlacementMode::kAuto;
    if (device.device != nullptr && wanted) candidates.push_back(&device);
  }
  if (candidates.empty()) candidates.push_back(nullptr);
  return candidates;
}

// One half that looks for its place.
class Search {
 public:
  Search(const SaSpec& spec, CryptoDirection direction, const PlacementInputs& inputs)
      : spec_(spec), direction_(direction), in_(inputs), binding_(std::make_unique<SaBinding>()) {}

  Result<Selection> Run(PlacementTerms* terms);

 private:
  bool moving() const { return in_.cause == PlacementCause::kMove; }
  const SaBinding* current() const { return in_.current; }
  PlacementRequest ChooseRequest() const;
  std::optional<PlacementReason> TryDevices(const PlacementRequest& request);
  std::optional<PlacementReason> TryDevice(const PlacementDevice* candidate, PlacementMode mode);
  std::optional<PlacementReason> GiveKey(OffloadDevice* device);
  bool IsOn(const OffloadDevice* device) const {
    return current() != nullptr && current()->device == device &&
           current()->device_resets == device->resets();
  }
  std::optional<Error> ErrorOf(const PlacementReason& obstacle) const;
  Status TakeEngines();
  Result<Selection> Block(PlacementReason reason, PlacementTerms* terms);
  bool NeedsCpu() const;
  Result<Selection> WithoutEngine(const Error& error, PlacementTerms* terms);
  Result<Selection> Finish(PlacementTerms* terms);

  const SaSpec& spec_;
  const CryptoDirection direction_;
  const PlacementInputs& in_;
  Selection binding_;
  bool required_ = false;
  std::optional<Errc> device_errno_;  // of a device that refused for good
};

PlacementRequest Search::ChooseRequest() const {
  PlacementRequest request = in_.request.has_value() ? *in_.request : ClientRequest(spec_);
  if (request.by != RequestedBy::kNobody) return request;
  for (const PlacementDevice& device : in_.devices) {
    if (device.device != nullptr && device.mode == PlacementMode::kAuto && in_.direction_is_known) {
      request.mode = PlacementMode::kAuto;
      request.by = RequestedBy::kDevice;
    }
  }
  return request;
}

// nullopt: a device has it. Else what the first one had against it.
std::optional<PlacementReason> Search::TryDevices(const PlacementRequest& request) {
  std::optional<PlacementReason> first;
  for (const PlacementDevice* candidate : Candidates(request, in_)) {
    required_ = request.mode == PlacementMode::kRequired ||
                (candidate != nullptr && candidate->mode == PlacementMode::kRequired);
    auto obstacle = TryDevice(candidate, request.mode);
    if (!obstacle.has_value()) return std::nullopt;
    if (!first.has_value()) first = std::move(obstacle);
  }
  // Of several that refused none speaks for all; one that was named does.
  if (request.ifindex == 0) required_ = request.mode == PlacementMode::kRequired;
  return first;
}

std::optional<PlacementReason> Search::TryDevice(const PlacementDevice* candidate,
                                                 PlacementMode mode) {
  // On its device already: it keeps its slot, whatever the table's state.
  const bool holds_slot =
      candidate != nullptr && candidate->device != nullptr && IsOn(candidate->device);
  auto obstacle =
      FirstObstacle(CheckDevice(spec_, direction_, candidate, mode, in_.is_rekey || holds_slot));
  if (obstacle.has_value()) return obstacle;
  OffloadDevice* device = candidate->device;
  // Read before the handle is made: one that a reset in between has voided is seen to be void.
  const uint32_t resets = holds_slot ? current()->device_resets : device->resets();
  if (holds_slot) {
    binding_->handle = current()->handle;
  } else if (auto refusal = GiveKey(device)) {
    return refusal;
  }
  binding_->path = ProcessingPath::kCryptoOffload;
  binding_->device = device;
  binding_->device_resets = resets;
  return std::nullopt;
}

// What is not on record is not given away. nullopt: the device has the key.
std::optional<PlacementReason> Search::GiveKey(OffloadDevice* device) {
  const bool inbound = direction_ == CryptoDirection::kOpen;
  std::optional<uint64_t> key;
  if (in_.keys != nullptr) {
    const auto recorded = in_.keys->GiveToDevice(*device, spec_, inbound);
    if (!recorded) return PlacementReason{ReasonCode::kNotRecorded, recorded.error().message};
    key = *recorded;
  }
  const auto refusal =
      device->AddSa({spec_, inbound, in_.highest.value_or(spec_.replay.seq)}, &binding_->handle);
  if (!refusal) {
    if (key) in_.keys->TakenByDevice(*device, binding_->handle, *key);
    return std::nullopt;
  }
  if (refusal->code != Errc::kNotSupported) device_errno_ = refusal->code;
  const PlacementReason reason{ReasonOf(refusal->kind), refusal->text};
  if (key) in_.keys->NotTaken(*key, reason.Text());
  return reason;
}

// Whether the obstacle fails the client's request instead of leading to software.
std::optional<Error> Search::ErrorOf(const PlacementReason& obstacle) const {
  const PlacementRequest& request = binding_->request;
  if (request.mode == PlacementMode::kPacket) {
    const PlacementDevice* named = Named(request.ifindex, in_);
    const bool no_device = named == nullptr || named->device == nullptr;
    return MakeError(no_device ? Errc::kInvalid : device_errno_.value_or(Errc::kNotSupported),
                     "packet offload: " + obstacle.Spoken());
  }
  if (required_) {
    return MakeError(device_errno_.value_or(Errc::kNotSupported),
                     "offload required: " + obstacle.Spoken());
  }
  if (request.by != RequestedBy::kClient) return std::nullopt;
  if (obstacle.code == ReasonCode::kNoCapability && obstacle.detail == "esn") {
    return MakeError(Errc::kInvalid, "Device doesn't support ESN");
  }
  if (device_errno_.has_value()) return MakeError(*device_errno_, obstacle.detail);
  return std::nullopt;
}

// The CPU, always; what no NIC takes may go to a look-aside engine; what that cannot take stays
// with the CPU.
Status Search::TakeEngines() {
  auto cpu = SessionOn(EngineKind::kCpu, spec_, direction_, in_,
                       current() != nullptr ? &current()->cpu : nullptr);
  if (!cpu) return cpu.error();
  binding_->cpu = *std::move(cpu);
  if (binding_->device != nullptr || in_.look_aside == LookAsideMode::kNo) return {};
  auto session = SessionOn(EngineKind::kLookAside, spec_, direction_, in_,
                           current() != nullptr ? &current()->look_aside : nullptr);
  if (session) {
    binding_->path = ProcessingPath::kLookAside;
    binding_->look_aside = *std::move(session);
  } else if (binding_->reason.code == ReasonCode::kNotRequested) {
    binding_->reason = {ReasonCode::kEngineRefused, session.error().message};
  }
  return {};
}

Result<Selection> Search::Block(PlacementReason reason, PlacementTerms* terms) {
  const PlacementRequest request = binding_->request;
  if (current() != nullptr && current()->path == ProcessingPath::kBlocked) {
    if (terms != nullptr) *terms = {request, std::move(reason)};
    return Selection();
  }
  binding_ = std::make_unique<SaBinding>();
  binding_->path = ProcessingPath::kBlocked;
  binding_->request = request;
  binding_->reason = std::move(reason);
  binding_->since = in_.now;
  return std::move(binding_);
}

// A half that stays where it is keeps its binding.
Result<Selection> Search::Finish(PlacementTerms* terms) {
  if (terms != nullptr) *terms = {binding_->request, binding_->reason};
  const SaBinding* now = current();
  const bool stays = now != nullptr && now->path == binding_->path &&
                     now->device == binding_->device && now->handle == binding_->handle &&
                     now->device_resets == binding_->device_resets &&
                     now->cpu.session == binding_->cpu.session &&
                     now->look_aside.session == binding_->look_aside.session;
  if (stays) return Selection();
  return std::move(binding_);
}

// Whether the half can be without a session of the CPU's is known before a device is asked.
bool Search::NeedsCpu() const {
  const PlacementRequest& request = binding_->request;
  if (request.mode == PlacementMode::kRequired) return false;
  const PlacementDevice* named = request.ifindex != 0 && request.mode != PlacementMode::kNo
                                     ? Named(request.ifindex, in_)
                                     : nullptr;
  return named == nullptr || named->mode != PlacementMode::kRequired;
}

Result<Selection> Search::WithoutEngine(const Error& error, PlacementTerms* terms) {
  if (!moving()) return error;
  const SessionParams params = esp::SessionFor(spec_, direction_, in_.queues);
  for (uint32_t e = 0; e < in_.engines->size(); ++e) {
    if ((*in_.engines)[e].info->kind == EngineKind::kCpu && IsDenied(in_, e) &&
        in_.engines->engine(e)->Supports(*params.cipher, params.auth)) {
      return Block(*in_.engine_denied[e], terms);
    }
  }
  return Block({ReasonCode::kEngineRefused, error.message}, terms);
}

Result<Selection> Search::Run(PlacementTerms* terms) {
  binding_->since = in_.now;
  binding_->request = ChooseRequest();
  const PlacementRequest& request = binding_->request;
  if (in_.algorithm_denied.has_value()) {
    if (!moving()) {
      return MakeError(Errc::kNotImplemented, in_.algorithm_denied->Spoken());
    }
    return Block(*in_.algorithm_denied, terms);
  }
  const SessionParams params = esp::SessionFor(spec_, direction_, in_.queues);
  if (params.cipher == nullptr) return MakeError(Errc::kInvalid, "the SA has no algorithm");
  if (NeedsCpu()) {  // no key is given away for an SA that cannot be
    if (const auto cpu = ChooseEngine(EngineKind::kCpu, params, in_); !cpu) {
      return WithoutEngine(cpu.error(), terms);
    }
  }
  if (request.mode == PlacementMode::kNo) {
    binding_->reason = {
        request.by == RequestedBy::kNobody ? ReasonCode::kNotRequested : ReasonCode::kOperatorRule,
        {}};
  } else if (auto obstacle = TryDevices(request)) {
    const bool fails = required_ || request.mode == PlacementMode::kPacket;
    if (!moving()) {
      if (auto error = ErrorOf(*obstacle)) return *std::move(error);
    } else if (fails) {
      return Block(*std::move(obstacle), terms);
    }
    binding_->reason = *std::move(obstacle);
  } else {
    binding_->reason = {in_.success, {}};
    if (required_) return Finish(terms);
  }
  if (Status engines = TakeEngines(); !engines) {
    if (binding_->device != nullptr && !IsOn(binding_->device)) {
      binding_->device->ReleaseSa(binding_->handle);
    }
    return WithoutEngine(engines.error(), terms);
  }
  return Finish(terms);
}

}  // namespace

PlacementRequest ClientRequest(const SaSpec& spec) {
  PlacementRequest request;
  if (!spec.offload.has_value() || spec.offload->mode == OffloadMode::kNo) return request;
  request.by = RequestedBy::kClient;
  request.mode =
      spec.offload->mode == OffloadMode::kPacket ? PlacementMode::kPacket : PlacementMode::kCrypto;
  request.ifindex = spec.offload->ifindex;
  return request;
}

std::vector<Requirement> CheckDevice(const SaSpec& spec, CryptoDirection direction,
                                     const PlacementDevice* device, PlacementMode mode,
                                     bool is_rekey) {
  std::vector<Requirement> all;
  const auto add = [&all](std::string_view name, std::optional<PlacementReason> failure) {
    all.push_back({std::string(name), std::move(failure)});
  };
  if (device == nullptr) {
    add("device", PlacementReason{ReasonCode::kDeviceUnknown, {}});
    return all;
  }
  const bool inbound = direction == CryptoDirection::kOpen;
  const bool packet = mode == PlacementMode::kPacket;
  add("device", std::nullopt);
  if (device->device == nullptr) {  // its driver offers nothing
    const char* name = packet ? "packet-offload" : "crypto-offload";
    add(name, PlacementReason{ReasonCode::kNoCapability, name});
    return all;
  }
  add("trust", device->denied);
  add("enabled", device->away);
  add("mode", CheckModes(*device, packet));
  const DeviceState state = device->device->state();
  add("state", state == DeviceState::kUp ? std::nullopt
                                         : std::optional<PlacementReason>({ReasonOf(state), {}}));
  for (CapabilityCheck& check : CheckCapabilities(device->device->caps(), spec, inbound, packet)) {
    add(check.name,
        check.missing.has_value()
            ? std::optional<PlacementReason>({ReasonCode::kNoCapability, *std::move(check.missing)})
            : std::nullopt);
  }
  add("slots", CheckSlots(*device, inbound, is_rekey));
  return all;
}

Result<Selection> SelectPath(const SaSpec& spec, CryptoDirection direction,
                             const PlacementInputs& inputs, PlacementTerms* terms) {
  return Search(spec, direction, inputs).Run(terms);
}

}  // namespace cygnet
