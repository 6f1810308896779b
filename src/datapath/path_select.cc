#include "datapath/path_select.h"

#include "esp/crypto_jobs.h"

namespace cygnet {
namespace {

// A session of the first engine of this kind that can do the SA's algorithms.
Result<EngineSession> SessionOn(EngineKind kind, const SaSpec& spec, CryptoDirection direction,
                                const PlacementInputs& inputs) {
  const SessionParams params = esp::SessionFor(spec, direction, inputs.queues);
  if (params.cipher == nullptr) return MakeError(Errc::kInvalid, "the SA has no algorithm");
  const auto number = inputs.engines->Find(kind, *params.cipher, params.auth);
  if (!number.has_value()) {
    return MakeError(Errc::kNotImplemented,
                     "no crypto engine can do " + std::string(params.cipher->name) +
                         (params.auth != nullptr ? " with " + std::string(params.auth->name) : ""));
  }
  auto session = inputs.engines->engine(*number)->CreateSession(params);
  if (!session) return session.error();
  return EngineSession{*std::move(session), static_cast<uint8_t>(*number)};
}

// What no NIC takes may go to a look-aside engine; what that cannot take stays with the CPU.
void TryLookAside(const SaSpec& spec, CryptoDirection direction, const PlacementInputs& inputs,
                  SaBinding* binding) {
  if (inputs.look_aside == LookAsideMode::kNo) return;
  auto session = SessionOn(EngineKind::kLookAside, spec, direction, inputs);
  if (session) {
    binding->path = ProcessingPath::kLookAside;
    binding->look_aside = *std::move(session);
  } else if (binding->reason.code == ReasonCode::kNotRequested) {
    binding->reason = {ReasonCode::kEngineRefused, session.error().message};
  }
}

const PlacementDevice* DeviceOfRequest(const SaSpec& spec, const PlacementInputs& inputs) {
  for (const PlacementDevice& candidate : inputs.devices) {
    if (candidate.ifindex == spec.offload->ifindex) return &candidate;
  }
  return nullptr;
}

const PlacementDevice* AutoDevice(const PlacementInputs& inputs) {
  if (!inputs.direction_is_known) return nullptr;
  for (const PlacementDevice& candidate : inputs.devices) {
    if (candidate.device != nullptr && candidate.mode == DeviceOffloadMode::kAuto) {
      return &candidate;
    }
  }
  return nullptr;
}

struct Attempt {
  std::optional<PlacementReason> fallback;  // set: not on the device, and why
  std::optional<Error> error;               // set: the request fails
};

// Offers the SA to one device.
Attempt TryDevice(const SaSpec& spec, CryptoDirection direction, const PlacementDevice* candidate,
                  SaBinding* binding) {
  const bool inbound = direction == CryptoDirection::kOpen;
  if (candidate == nullptr || candidate->device == nullptr) {
    return {.fallback = PlacementReason{ReasonCode::kDeviceUnknown, {}}, .error = {}};
  }
  if (candidate->mode == DeviceOffloadMode::kNo) {
    return {.fallback = PlacementReason{ReasonCode::kDeviceOff, {}}, .error = {}};
  }
  OffloadDevice* device = candidate->device;
  if (auto missing = MissingCapability(device->caps(), spec, inbound); missing.has_value()) {
    if (*missing == "esn" &&
        spec.offload.has_value()) {  // the kernel refuses, it does not fall back
      return {.fallback = {}, .error = MakeError(Errc::kInvalid, "Device doesn't support ESN")};
    }
    return {.fallback = PlacementReason{ReasonCode::kNoCapability, *missing}, .error = {}};
  }
  const auto refusal = device->AddSa({spec, inbound, spec.replay.seq}, &binding->handle);
  if (!refusal.has_value()) {
    binding->path = ProcessingPath::kCryptoOffload;
    binding->device = device;
    return {};
  }
  if (refusal->code != Errc::kNotSupported) {
    return {.fallback = {}, .error = MakeError(refusal->code, refusal->text)};
  }
  const ReasonCode code = refusal->kind == AddSaError::kTableFull    ? ReasonCode::kTableFull
                          : refusal->kind == AddSaError::kDeviceDown ? ReasonCode::kDeviceDown
                                                                     : ReasonCode::kDeviceRefused;
  return {.fallback = PlacementReason{code, refusal->text}, .error = {}};
}

}  // namespace

Result<std::unique_ptr<SaBinding>> SelectPath(const SaSpec& spec, CryptoDirection direction,
                                              const PlacementInputs& inputs) {
  auto session = SessionOn(EngineKind::kCpu, spec, direction, inputs);
  if (!session) return session.error();
  auto binding = std::make_unique<SaBinding>();
  binding->cpu = *std::move(session);
  binding->since = inputs.now;
  const PlacementDevice* candidate = nullptr;
  if (spec.offload.has_value()) {
    binding->requested = spec.offload->mode;
    candidate = DeviceOfRequest(spec, inputs);
  } else {
    candidate = AutoDevice(inputs);
    if (candidate == nullptr) {
      binding->reason = {ReasonCode::kNotRequested, {}};
      TryLookAside(spec, direction, inputs, binding.get());
      return binding;
    }
    binding->requested = OffloadMode::kCrypto;
    binding->requested_by_device_mode = true;
  }
  Attempt attempt = TryDevice(spec, direction, candidate, binding.get());
  if (attempt.error.has_value()) return *attempt.error;
  if (attempt.fallback.has_value()) {
    binding->reason = *std::move(attempt.fallback);
    if (binding->requested == OffloadMode::kPacket) {
      const bool no_device = binding->reason.code == ReasonCode::kDeviceUnknown;
      return MakeError(no_device ? Errc::kInvalid : Errc::kNotSupported,
                       "packet offload: " + binding->reason.Explanation());
    }
    TryLookAside(spec, direction, inputs, binding.get());
    return binding;
  }
  binding->reason = {ReasonCode::kRequested, {}};
  return binding;
}

}  // namespace cygnet
