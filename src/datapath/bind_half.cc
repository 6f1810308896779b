#include "datapath/bind_half.h"

#include <utility>
#include <vector>

#include "datapath/bind_engines.h"
#include "esp/crypto_jobs.h"

namespace cygnet {
namespace {

ReasonCode ReasonOf(InstallError kind) {
  switch (kind) {
    case InstallError::kTableFull:
      return ReasonCode::kTableFull;
    case InstallError::kAddressTableFull:
      return ReasonCode::kAddressTableFull;
    case InstallError::kDeviceDown:
      return ReasonCode::kDeviceDown;
    case InstallError::kRefused:
      break;
  }
  return ReasonCode::kDeviceRefused;
}

const PlacementDevice* Named(int32_t ifindex, std::span<const PlacementDevice> devices) {
  for (const PlacementDevice& candidate : devices) {
    if (candidate.ifindex == ifindex) return &candidate;
  }
  return nullptr;
}

// Candidate devices, in configuration order. nullptr: the named device does not exist.
std::vector<const PlacementDevice*> Candidates(const PlacementRequest& request,
                                               std::span<const PlacementDevice> devices) {
  if (request.ifindex != 0) return {Named(request.ifindex, devices)};
  std::vector<const PlacementDevice*> candidates;
  for (const PlacementDevice& device : devices) {
    const bool wanted = request.by != RequestedBy::kDevice || device.mode == PlacementMode::kAuto;
    if (device.device != nullptr && wanted) candidates.push_back(&device);
  }
  if (candidates.empty()) candidates.push_back(nullptr);
  return candidates;
}

class HalfBinder {
 public:
  HalfBinder(const SaSpec& spec, Half half, const BindInputs& inputs)
      : spec_(spec),
        half_(half),
        in_(inputs),
        params_(esp::SessionFor(spec, DirectionOf(half), inputs.queues)),
        binding_(std::make_unique<SaBinding>()) {}

  Result<BoundHalf> Bind();

 private:
  bool moving() const { return in_.cause != PlacementCause::kInstall; }
  const PlacementRequest& request() const { return in_.request; }
  HalfToBind whole() const { return {spec_, half_, in_}; }
  // Devices.
  std::optional<PlacementReason> TryDevices();
  std::optional<PlacementReason> TryDevice(const PlacementDevice* candidate);
  std::optional<PlacementReason> GiveToDevice(OffloadDevice* device);
  PlacementReason InDriversWords(const OffloadDevice* device, PlacementReason obstacle);
  PlacementReason Refused(const DeviceRefusal& refusal);
  bool IsOn(const OffloadDevice* device) const {
    return in_.current != nullptr && in_.current->device() == device &&
           in_.current->path == DevicePath() && in_.current->device_resets() == device->resets();
  }
  bool wants_packet() const { return request().mode == PlacementMode::kPacket; }
  ProcessingPath DevicePath() const {
    return wants_packet() ? ProcessingPath::kPacketOffload : ProcessingPath::kCryptoOffload;
  }
  // The client asked for packet offload: like the kernel, no software stands by.
  bool device_only() const {
    return required_ || (wants_packet() && request().by == RequestedBy::kClient);
  }
  std::optional<Error> ErrorOf(const PlacementReason& obstacle) const;
  void SetFirstNumber(uint64_t first) {
    if (first != 0) binding_->MakeRare()->first_number = first;
  }
  // Engines.
  bool NeedsCpu() const;
  Status BindEngines();
  // Shadow verification.
  void BindShadow();
  void KeepShadow();
  // --- Results ---
  Result<BoundHalf> WithoutEngine(const Error& error);
  BoundHalf Block(PlacementReason reason);
  BoundHalf Finish();

  const SaSpec& spec_;
  const Half half_;
  const BindInputs& in_;
  const SessionParams params_;
  std::unique_ptr<SaBinding> binding_;
  PlacementReason reason_;
  std::string not_verified_;
  uint32_t verify_one_of_ = 0;  // of the device that has the half
  bool required_ = false;
  std::optional<Error> device_error_;  // what a device answered
};

Result<BoundHalf> HalfBinder::Bind() {
  if (in_.algorithm_denied.has_value()) {
    if (moving()) return Block(*in_.algorithm_denied);
    return MakeError(Errc::kNotImplemented, in_.algorithm_denied->FullText());
  }
  if (params_.cipher == nullptr) return MakeError(Errc::kInvalid, "the SA has no algorithm");
  if (NeedsCpu()) {  // no key is handed out for an SA that cannot work
    const auto cpu = ChooseEngine(EngineKind::kCpu, params_, *in_.engines, in_.engine_denied);
    if (!cpu) return WithoutEngine(cpu.error());
  }
  if (request().mode == PlacementMode::kNo) {
    const bool nobody = request().by == RequestedBy::kNobody;
    reason_ = {nobody ? ReasonCode::kNotRequested : ReasonCode::kOperatorRule, {}};
  } else if (auto obstacle = TryDevices()) {
    const bool fails = required_ || request().mode == PlacementMode::kPacket;
    if (!moving()) {
      if (auto error = ErrorOf(*obstacle)) return *std::move(error);
    } else if (fails) {
      return Block(*std::move(obstacle));
    }
    reason_ = *std::move(obstacle);
  } else {
    reason_ = {in_.success, {}};
    BindShadow();
    if (device_only()) return Finish();
  }
  if (!binding_->on_device()) KeepShadow();
  if (Status engines = BindEngines(); !engines) {
    if (binding_->on_device() && !IsOn(binding_->device())) {
      binding_->device()->ReleaseSa(binding_->handle);
    }
    return WithoutEngine(engines.error());
  }
  return Finish();
}

// --- Devices ---

// nullopt: a device has the half. Otherwise the first candidate's obstacle.
std::optional<PlacementReason> HalfBinder::TryDevices() {
  std::optional<PlacementReason> first;
  for (const PlacementDevice* candidate : Candidates(request(), in_.devices)) {
    required_ = request().mode == PlacementMode::kRequired ||
                (candidate != nullptr && candidate->mode == PlacementMode::kRequired);
    auto obstacle = TryDevice(candidate);
    if (!obstacle.has_value()) return std::nullopt;
    if (!first.has_value()) first = std::move(obstacle);
  }
  // `required_` reflects a single named device only; with several candidates it depends on the
  // request alone.
  if (request().ifindex == 0) required_ = request().mode == PlacementMode::kRequired;
  return first;
}

std::optional<PlacementReason> HalfBinder::TryDevice(const PlacementDevice* candidate) {
  // A half on its device keeps its slot, whatever the table's state.
  const bool is_on =
      candidate != nullptr && candidate->device != nullptr && IsOn(candidate->device);
  const bool holds_slot = is_on && in_.cause != PlacementCause::kRenew;
  const SlotClaim claim = is_on ? SlotClaim::kRekey : in_.claim;
  auto obstacle = FirstObstacle(CheckDevice(spec_, half_, candidate, request().mode, claim));
  OffloadDevice* device = candidate != nullptr ? candidate->device : nullptr;
  if (obstacle.has_value()) return InDriversWords(device, *std::move(obstacle));
  if (device == in_.lost_by) return PlacementReason{ReasonCode::kDeviceRefused, in_.lost_why};
  (void)binding_->MakeRare();  // now: nothing may fail once the device has the key
  // Read before the handle is made, so that a reset in between is detected.
  const uint32_t resets = holds_slot ? in_.current->device_resets() : device->resets();
  if (holds_slot) {
    binding_->handle = in_.current->handle;
    SetFirstNumber(in_.current->rare().first_number);
  } else if (auto refusal = GiveToDevice(device)) {
    return refusal;
  }
  binding_->path = DevicePath();
  // Numbers from before the move are still opened by the CPU.
  if (wants_packet() && IsInbound(half_) && in_.current != nullptr) {
    binding_->cpu = in_.current->cpu;
  }
  binding_->SetDevice(device, resets);
  verify_one_of_ = candidate->verify_one_of;
  return std::nullopt;
}

// Hands the key to the device. A key that cannot be recorded is not handed out. nullopt: the device
// has it.
std::optional<PlacementReason> HalfBinder::GiveToDevice(OffloadDevice* device) {
  std::optional<uint64_t> key;
  if (in_.keys != nullptr) {
    const auto recorded = in_.keys->GiveToDevice(*device, spec_, half_);
    if (!recorded) return PlacementReason{ReasonCode::kNotRecorded, recorded.error().message};
    key = *recorded;
  }
  OffloadSa sa{.spec = spec_, .half = half_, .highest = in_.highest.value_or(spec_.replay.seq)};
  if (wants_packet()) {
    sa.mode = OffloadMode::kPacket;
    sa.number = in_.number;
    sa.iv_mask = in_.iv_mask;
    if (in_.numbers) sa.numbers = in_.numbers(*device);
    if (IsInbound(half_)) SetFirstNumber(sa.numbers.first);
  }
  const auto refusal = device->InstallSa(sa, &binding_->handle);
  if (!refusal) {
    if (key) in_.keys->TakenByDevice(*device, binding_->handle, *key);
    return std::nullopt;
  }
  PlacementReason reason = Refused(*refusal);
  if (key) in_.keys->NotTaken(*key, reason.Text());
  return reason;
}

// A client hears of a missing capability in the words of the device's driver, if it has any. "Do it
// in software" is heard by nobody: the capability is the better reason then.
PlacementReason HalfBinder::InDriversWords(const OffloadDevice* device, PlacementReason obstacle) {
  const bool asks = obstacle.code == ReasonCode::kNoCapability && device != nullptr && !moving() &&
                    request().by == RequestedBy::kClient;
  if (!asks) return obstacle;
  const bool packet = request().mode == PlacementMode::kPacket;
  const auto refusal =
      device->OwnRefusal(spec_, half_, packet ? OffloadMode::kPacket : OffloadMode::kCrypto);
  const bool heard = refusal.has_value() && (packet || refusal->code != Errc::kNotSupported);
  return heard ? Refused(*refusal) : obstacle;
}

PlacementReason HalfBinder::Refused(const DeviceRefusal& refusal) {
  device_error_ = MakeError(refusal.code, refusal.text);
  return {ReasonOf(refusal.kind), refusal.text};
}

// The error if the obstacle fails the client's request instead of leading to software.
std::optional<Error> HalfBinder::ErrorOf(const PlacementReason& obstacle) const {
  const Errc code = device_error_.has_value() ? device_error_->code : Errc::kNotSupported;
  if (request().mode == PlacementMode::kPacket) {
    const PlacementDevice* named = Named(request().ifindex, in_.devices);
    const bool no_device = named == nullptr || named->device == nullptr;
    if (device_error_.has_value() && request().by == RequestedBy::kClient) return device_error_;
    return MakeError(no_device ? Errc::kInvalid : code, "packet offload: " + obstacle.FullText());
  }
  if (required_) return MakeError(code, "offload required: " + obstacle.FullText());
  if (request().by != RequestedBy::kClient) return std::nullopt;
  if (obstacle.code == ReasonCode::kNoCapability && obstacle.detail.str() == "esn") {
    return MakeError(Errc::kInvalid, "Device doesn't support offload with ESN");
  }
  if (code != Errc::kNotSupported) return MakeError(code, obstacle.detail);
  return std::nullopt;
}

// --- Engines ---

// Decides before a device is asked whether the half can do without a CPU session.
bool HalfBinder::NeedsCpu() const {
  if (request().mode == PlacementMode::kRequired) return false;
  if (wants_packet() && request().by == RequestedBy::kClient) return false;
  const PlacementDevice* named = request().ifindex != 0 && request().mode != PlacementMode::kNo
                                     ? Named(request().ifindex, in_.devices)
                                     : nullptr;
  return named == nullptr || named->mode != PlacementMode::kRequired;
}

// Binds the CPU always. If no NIC has the half, it may use a look-aside engine, with
// the CPU as its fallback.
Status HalfBinder::BindEngines() {
  const SaBinding* now = in_.current;
  auto cpu = SessionOn(EngineKind::kCpu, params_, whole(), now != nullptr ? &now->cpu : nullptr);
  if (!cpu) return cpu.error();
  binding_->cpu = *std::move(cpu);
  if (binding_->on_device() || in_.look_aside == LookAsideMode::kNo) return {};
  auto session = SessionOn(EngineKind::kLookAside, params_, whole(),
                           now != nullptr ? &now->rare().look_aside : nullptr);
  if (session) {
    binding_->path = ProcessingPath::kLookAside;
    binding_->MakeRare()->look_aside = *std::move(session);
  } else if (reason_.code == ReasonCode::kNotRequested) {
    reason_ = {ReasonCode::kEngineRefused, session.error().message};
  }
  return {};
}

// --- Shadow verification ---

// Gives the CPU the key of a half that a device has, if its packets are to be verified. The half
// runs without it, too.
void HalfBinder::BindShadow() {
  if (verify_one_of_ == 0) return;
  if (required_) {
    not_verified_ = "a device is required, so that the CPU does not get the key";
    return;
  }
  auto shadow = ShadowOf(wants_packet() ? OffloadMode::kPacket : OffloadMode::kCrypto, whole());
  if (shadow) {
    binding_->MakeRare()->shadow = *std::move(shadow);
  } else {
    not_verified_ = shadow.error().message;
  }
}

// Packets of the device that had the half are still on their way.
void HalfBinder::KeepShadow() {
  const SaBinding* now = in_.current;
  if (now == nullptr || !now->on_device() || now->shadow() == nullptr) return;
  binding_->MakeRare()->shadow = now->rare().shadow;
}

// --- Results ---

Result<BoundHalf> HalfBinder::WithoutEngine(const Error& error) {
  if (!moving()) return error;
  for (uint32_t e = 0; e < in_.engines->size(); ++e) {
    if ((*in_.engines)[e].info->kind == EngineKind::kCpu && e < in_.engine_denied.size() &&
        in_.engine_denied[e].has_value() &&
        in_.engines->engine(e)->Supports(*params_.cipher, params_.auth)) {
      return Block(*in_.engine_denied[e]);
    }
  }
  return Block({ReasonCode::kEngineRefused, error.message});
}

BoundHalf HalfBinder::Block(PlacementReason reason) {
  if (in_.current != nullptr && in_.current->blocked()) return {StaysBound{}, std::move(reason)};
  binding_ = std::make_unique<SaBinding>();
  binding_->path = ProcessingPath::kBlocked;
  return {std::move(binding_), std::move(reason)};
}

BoundHalf HalfBinder::Finish() {
  const SaBinding* now = in_.current;
  // A shadow that was kept for packets on their way needs no new binding.
  const bool same_shadow =
      now != nullptr && (now->shadow() == binding_->shadow() || !now->on_device());
  const bool stays = same_shadow && now->path == binding_->path &&
                     now->device() == binding_->device() && now->handle == binding_->handle &&
                     now->device_resets() == binding_->device_resets() &&
                     now->cpu.session == binding_->cpu.session &&
                     now->rare().look_aside.session == binding_->rare().look_aside.session;
  if (stays) return {StaysBound{}, std::move(reason_), std::move(not_verified_)};
  return {std::move(binding_), std::move(reason_), std::move(not_verified_)};
}

}  // namespace

Result<BoundHalf> BindHalf(const SaSpec& spec, Half half, const BindInputs& inputs) {
  return HalfBinder(spec, half, inputs).Bind();
}

}  // namespace cygnet
