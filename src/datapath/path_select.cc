#include "datapath/path_select.h"

#include "esp/crypto_jobs.h"

namespace cygnet {
namespace {

Result<std::unique_ptr<CryptoSession>> SoftwareSession(const SaSpec& spec,
                                                       CryptoDirection direction,
                                                       const PlacementInputs& inputs) {
  return inputs.engine->CreateSession(esp::SessionFor(spec, direction, inputs.queues));
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
  const auto refusal = device->AddSa(spec, inbound, &binding->handle);
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
  auto session = SoftwareSession(spec, direction, inputs);
  if (!session) return session.error();
  auto binding = std::make_unique<SaBinding>();
  binding->session = *std::move(session);
  binding->engine = inputs.engine;
  binding->since = inputs.now;
  const PlacementDevice* candidate = nullptr;
  if (spec.offload.has_value()) {
    binding->requested = spec.offload->mode;
    candidate = DeviceOfRequest(spec, inputs);
  } else {
    candidate = AutoDevice(inputs);
    if (candidate == nullptr) {
      binding->reason = {ReasonCode::kNotRequested, {}};
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
    return binding;
  }
  binding->reason = {ReasonCode::kRequested, {}};
  return binding;
}

}  // namespace cygnet
