#include "control/placement/placement.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

template <typename T>
Result<std::string> KeepIn(EvidenceStore* store, const std::string& device,
                           std::span<const T> packets) {
  if (store == nullptr) return MakeError(Errc::kNoEntry, "the daemon has no folder for it");
  return store->Keep(device, packets);
}

std::string FileOrWhyNot(const Result<std::string>& kept) {
  return kept ? *kept : "not kept: " + kept.error().message;
}

}  // namespace

Placement::Placement(PlacementParams params, PlacementListener* listener)
    : path_(*params.path),
      engines_(*params.engines),
      look_aside_(params.look_aside),
      gate_(params.gate),
      listener_(listener),
      clock_(*params.clock),
      evidence_(params.evidence),
      ledger_(params.ledger != nullptr ? params.ledger : std::make_shared<Ledger>(params.clock)),
      keys_(std::make_shared<PlacementKeys>(ledger_, params.engines)),
      devices_(std::move(params.devices), params.path, params.engines, params.gate, params.clock),
      rules_(std::move(params.rules)),
      placed_({.path = params.path,
               .clock = params.clock,
               .look_aside = params.look_aside,
               .ledger = ledger_,
               .keys = keys_,
               .gate = params.gate,
               .host = std::move(params.host),
               .devices = &devices_,
               .rules = &rules_,
               .numbers = params.numbers,
               .on_entering =
                   [listener](const SaPtr& sa, std::size_t device) {
                     if (listener != nullptr) listener->OnEntering(sa, device);
                   },
               .on_moved =
                   [listener](const SaPtr& sa) {
                     if (listener != nullptr) listener->OnMoved(sa);
                   },
               .report =
                   [listener](const DataPathEvent& event) {
                     if (listener != nullptr) listener->OnDeviceEvent(event);
                   }}),
      scheduler_(params.scheduler, &placed_, &devices_, params.clock) {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i].offload == nullptr) continue;
    devices_[i].offload->SetBell(&path_.control_bell);
    (void)TestIfDue(i);
  }
}

// The SAs are gone. Working devices report soon that the keys are erased, too.
Placement::~Placement() {
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    OffloadDevice* device = devices_[i].offload;
    if (device == nullptr) continue;
    device->SetBell(nullptr);
    constexpr int kTries = 40;
    for (int n = 0; n < kTries && device->offload_up(); ++n) {
      CollectErased(i);
      if (!keys_->HoldsAny(*device)) break;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CollectErased(i);
    keys_->EndAll(*device, "cygnetd stopped before the device reported the erasure");
  }
}

Status Placement::Place(const SaPtr& sa) {
  // A client may be faster than the bell of a device that has just come up.
  for (std::size_t i = 0; i < devices_.size(); ++i) (void)TestIfDue(i);
  return placed_.Place(sa);
}

void Placement::ForgetCommands(const Sa& sa) {
  rules_.ForgetSa(sa.spec(), [this](const PlacementCommand& command) {
    return std::any_of(all().begin(), all().end(), [&command](const auto& entry) {
      return Covers(command, entry.second.sa->spec());
    });
  });
}

// --- Devices ---

void Placement::CheckDevices() {
  PollEngines();
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    PollGuard(i);
    PollShadow(i);
    if (devices_[i].offload == nullptr) continue;
    CollectErased(i);
    CollectFindings(i);
    placed_.packets().TakeEvents(devices_[i].offload);
    const auto change = devices_.PollState(i);
    const bool tested = TestIfDue(i);
    if (change.has_value()) {
      OnDeviceChanged(i, *change);
    } else if (tested) {
      BringBack(i);
    }
  }
}

// On attach, after each reset, and when an operator enables the device: it gets no key before.
bool Placement::TestIfDue(std::size_t i) {
  if (!devices_.AwaitsSelfTest(i)) return false;
  const std::string device = "device " + devices_[i].name + ": ";
  std::optional<DeviceSelfTest> before;
  if (devices_.self_test(i) != nullptr) before = *devices_.self_test(i);
  const DeviceSelfTest& test = devices_.RunSelfTest(i);
  if (!test.ran) {
    Log(LogLevel::kInfo, device + "no self-test: " + test.not_tested);
  } else {
    Log(LogLevel::kInfo, device + "self-test of " + std::to_string(test.packets) + " packets in " +
                             std::to_string(test.took_us) + " us, " +
                             std::to_string(test.withdrawn.size()) + " capabilities withdrawn");
  }
  if (!test.withdrawn.empty()) devices_.SetSelfTestEvidence(i, KeepSelfTest(i, before));
  for (const WithdrawnCapability& capability : test.withdrawn) {
    Log(LogLevel::kError,
        device + "withdrawn:" + capability.name + ": " + capability.text +
            "; it is used without that until a self-test passes; evidence: " + test.evidence);
    if (listener_ != nullptr) listener_->OnWithdrawn(devices_[i].name, capability, test.evidence);
  }
  return !devices_.AwaitsSelfTest(i);
}

// A device that sends unsealed what it reported as sealed is broken or lies. Either way all SAs
// leave it.
void Placement::PollGuard(std::size_t i) {
  const PlacementDevices::GuardHits hits = devices_.PollGuard(i);
  const auto notify = [&](DropReason reason, uint64_t count) {
    if (count > 0 && listener_ != nullptr) {
      listener_->OnGuardHit(devices_[i].name, std::string(cygnet::Describe(reason).name), count);
    }
  };
  notify(DropReason::kOutGuard, hits.clear);
  notify(DropReason::kOutNotSealed, hits.unsealed);
  if (hits.caught) OnDeviceLied(i, "it sent unsealed packets; the seal guard stopped them");
}

// An engine that has failed, or reported as sealed what it left in clear, loses its SAs.
void Placement::PollEngines() {
  bool caught = false;
  for (uint32_t e = 0; e < engines_.size(); ++e) {
    const uint64_t count = devices_.PollEngine(e);
    if (count == 0) continue;
    caught = true;
    if (listener_ == nullptr) continue;
    listener_->OnGuardHit("engine " + std::string(engines_[e].info->name),
                          std::string(cygnet::Describe(DropReason::kOutNotSealed).name), count);
  }
  if (caught) (void)Reevaluate();
}

// A device whose result the CPU does not confirm is not believed in anything.
void Placement::PollShadow(std::size_t i) {
  const auto wrong = devices_.PollShadow(i);
  if (wrong == decltype(wrong){}) return;
  const std::vector<ShadowEvidence> evidence = devices_[i].shadow->TakeEvidence();
  const std::string kept = KeepEvidence(i, evidence);
  for (const Half half : kHalves) {
    if (wrong[IndexOf(half)] == 0) continue;
    std::string what = "not kept";
    for (const ShadowEvidence& e : evidence) {
      if (e.half == half) what = std::string(e.what);
    }
    if (listener_ != nullptr) {
      listener_->OnWrongPackets(devices_[i].name, half, wrong[IndexOf(half)], what, kept);
    }
  }
  const std::string first = evidence.empty() ? "" : ": " + std::string(evidence.front().what);
  OnDeviceLied(i, "shadow verification found a wrong packet" + first);
}

// Returns the file, or why there is none.
std::string Placement::KeepEvidence(std::size_t i, std::span<const ShadowEvidence> evidence) {
  if (evidence.empty()) return devices_.evidence(i);
  const auto file = KeepIn(evidence_, devices_[i].name, evidence);
  if (file) devices_.SetEvidence(i, *file);
  return FileOrWhyNot(file);
}

// Likewise. What the last self-test has proven is not kept again after each reset.
std::string Placement::KeepSelfTest(std::size_t i, const std::optional<DeviceSelfTest>& before) {
  const std::vector<WithdrawnCapability>& withdrawn = devices_.self_test(i)->withdrawn;
  const auto known = [&before](const WithdrawnCapability& capability) {
    return before.has_value() &&
           std::ranges::any_of(before->withdrawn, [&capability](const WithdrawnCapability& b) {
             return b.name == capability.name;
           });
  };
  if (std::ranges::all_of(withdrawn, known)) return before->evidence;
  return FileOrWhyNot(KeepIn<WithdrawnCapability>(evidence_, devices_[i].name, withdrawn));
}

void Placement::OnDeviceLied(std::size_t i, const std::string& why) {
  if (!devices_.MarkLied(i, why)) return;
  if (listener_ != nullptr) listener_->OnDeviceState(devices_[i].name, "failed", why);
  Log(LogLevel::kError, "device " + devices_[i].name + ": " + why +
                            "; its SAs move away until it is enabled again (cygnet offload "
                            "enable)");
  (void)MoveOff(i);
}

// Releases the slots of keys that the device has erased.
void Placement::CollectErased(std::size_t i) {
  OffloadDevice* device = devices_[i].offload;
  const std::vector<OffloadHandle> erased = device->TakeErased();
  // With a process that has ended: no key is left in its memory.
  const std::string failure = erased.empty() ? "" : device->failure();
  const std::string note = failure.empty() ? "" : "the driver's process ended: " + failure;
  for (const OffloadHandle handle : erased) keys_->ErasedByDevice(*device, handle, note);
  if (erased.empty()) return;
  devices_.SetFreed(i, true);
  BringBack(i);
}

// Records what the device claimed and does not do. A half that it does not hold runs elsewhere.
void Placement::CollectFindings(std::size_t i) {
  OffloadDevice* device = devices_[i].offload;
  SaFindings* source = device->findings();
  if (source == nullptr) return;
  const std::vector<SaFinding> findings = source->TakeFindings();
  if (findings.empty() || !placed_.RecordFindings(device, findings)) return;
  (void)placed_.MoveEach(
      [device](const PlacedSa&, const PlacedHalf& h) {
        return h.IsOn(device) && h.rare().lost_by == device;
      },
      ReasonCode::kRequested);
}

void Placement::OnDeviceChanged(std::size_t i, const PlacementDevices::Change& change) {
  const ControlDevice& d = devices_[i];
  const std::string state(Name(change.state));
  std::string lost = change.lost_tables ? "(SA tables lost)" : "";
  if (change.state == DeviceState::kFailed && !d.offload->failure().empty()) {
    lost = "(" + d.offload->failure() + ")";
  }
  Log(change.state == DeviceState::kUp ? LogLevel::kInfo : LogLevel::kWarning,
      "device " + d.name + ": " + state + (lost.empty() ? "" : " " + lost));
  if (listener_ != nullptr) listener_->OnDeviceState(d.name, state, lost);
  const bool gone = change.state == DeviceState::kLinkDown || change.state == DeviceState::kRemoved;
  if (gone && d.terms.loss == DeviceLoss::kKernel) {
    if (listener_ != nullptr) listener_->OnGone(i);
    LoseAll(i);
    return;
  }
  if (listener_ != nullptr) listener_->OnBack(i);
  const MoveReport report = MoveOff(i);
  if (report.moved > 0) {
    Log(LogLevel::kInfo, "device " + d.name + ": moved " + std::to_string(report.moved) +
                             " halves of SAs in " + std::to_string(report.took_us) + " us");
  }
  if (change.state == DeviceState::kUp) BringBack(i);
}

// Moves halves that are on the device, or were before it reset: away, or onto its new tables.
MoveReport Placement::MoveOff(std::size_t i) {
  const OffloadDevice* device = devices_[i].offload;
  return placed_.MoveEach([device](const PlacedSa&, const PlacedHalf& h) { return h.IsOn(device); },
                          ReasonCode::kReturned);
}

// As a Linux kernel does at NETDEV_DOWN and NETDEV_UNREGISTER.
void Placement::LoseAll(std::size_t i) {
  const OffloadDevice* device = devices_[i].offload;
  std::vector<SaPtr> lost;
  for (const auto& [number, placed] : all()) {
    if (placed.half(Half::kOutbound).IsOn(device) || placed.half(Half::kInbound).IsOn(device))
      lost.push_back(placed.sa);
  }
  if (lost.empty() || listener_ == nullptr) return;
  Log(LogLevel::kWarning, "device " + devices_[i].name + ": deleted " +
                              std::to_string(lost.size()) + " SAs of it (loss = kernel)");
  for (const auto& sa : lost) listener_->OnLost(sa);
}

// Moves waiting halves back to a device, once it may have room again.
void Placement::BringBack(std::size_t i) {
  if (!placed_.AnyIsDue() || !devices_.Usable(i)) return;
  const int32_t ifindex = devices_[i].ifindex;
  (void)placed_.MoveEach(
      [ifindex](const PlacedSa&, const PlacedHalf& h) {
        return h.due.has_value() && h.Wants(ifindex);
      },
      ReasonCode::kRequested);
}

// A device that refused a half when it came back may take it later, and a key that could not be
// recorded may be: nothing tells when the cause ends. So halves that wait for their device ask
// again, at first after a second, then ever more rarely.
void Placement::AskAgain() {
  constexpr uint64_t kFirstNs = 1'000'000'000;
  constexpr uint64_t kLongestNs = 60'000'000'000;
  if (!placed_.AnyIsDue()) {
    ask_at_ns_ = 0;
    return;
  }
  const uint64_t now = clock_.MonotonicNs();
  if (ask_at_ns_ == 0) {
    ask_after_ns_ = kFirstNs;
  } else if (now < ask_at_ns_) {
    return;
  } else {
    const MoveReport report =
        placed_.MoveEach([](const PlacedSa&, const PlacedHalf& h) { return h.due.has_value(); },
                         ReasonCode::kRequested);
    ask_after_ns_ = report.moved > 0 ? kFirstNs : std::min(2 * ask_after_ns_, kLongestNs);
  }
  ask_at_ns_ = now + ask_after_ns_;
}

// --- Time, trust, configuration ---

void Placement::Tick() {
  CheckDevices();
  if (devices_.RefreshGate()) {
    const MoveReport report = Reevaluate();
    Log(LogLevel::kInfo, "trust has changed: moved " + std::to_string(report.moved) +
                             " halves of SAs, " + std::to_string(report.blocked) + " blocked");
  }
  placed_.packets().Tick();
  AskAgain();
  scheduler_.Tick();
}

void Placement::Show(const Sa& sa, ReplayState* replay) const {
  placed_.packets().Show(sa, replay);
}

void Placement::TakeBack(const Sa& sa) {
  for (const Half half : kHalves) {
    placed_.packets().Stop(sa, half);
    (void)placed_.packets().Finish(sa, half);
  }
}

MoveReport Placement::Reevaluate() {
  (void)devices_.RefreshGate();
  return placed_.MoveEach([](const PlacedSa&, const PlacedHalf&) { return true; },
                          ReasonCode::kRequested);
}

// SAs stay. A half whose place depends on a changed setting moves as for an operator's command.
MoveReport Placement::Reconfigure(PlacementSettings settings) {
  devices_.SetTerms(settings.devices);
  rules_.SetRules(std::move(settings.rules));
  scheduler_.SetParams(settings.scheduler);
  return Reevaluate();
}

}  // namespace cygnet
