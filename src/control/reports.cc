#include "control/reports.h"

#include <algorithm>
#include <map>

#include "datapath/path_mtu.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// How many of the half's packets the CPU computes again: one of so many; 0: none.
uint32_t VerifiedOneOf(const PlacedHalf& row, const PlacementDevices& devices) {
  const SaBinding& binding = *row.binding;
  if (!binding.on_device() || binding.shadow() == nullptr) return 0;
  return devices[devices.NumberOf(binding.device())].terms.verify;
}

PlacementReport ReportOf(const PlacedHalf& row, Half half, const EngineSet& engines,
                         uint32_t one_of) {
  const SaBinding& binding = *row.binding;
  const EngineSession& engine = binding.engine();
  return {
      .half = half,
      .requested = std::string(Name(row.request.mode)),
      .effective = std::string(Name(binding.path)),
      .device = binding.on_device() ? std::string(binding.device()->device_name()) : "",
      .simulated = binding.on_device() && binding.device()->identity().simulated,
      .engine = engine.session != nullptr ? std::string(engines.engine(engine.engine)->name()) : "",
      .reason = row.reason().Text(),
      .explanation = row.reason().Explanation(),
      .since = row.since,
      .requested_by = std::string(Name(row.request.by)),
      .pinned = row.request.pinned,
      .history = row.rare().history,
      .really = row.rare().really,
      .verified_one_of = one_of,
      .not_verified = row.rare().not_verified};
}

}  // namespace

// As Cygnet calls it. The host may have renamed the interface.
std::string Reports::RequestedOn(const std::optional<OffloadRequest>& request) const {
  if (!request) return {};
  for (const ControlDevice& device : from_.placement.devices().all()) {
    if (device.ifindex == request->ifindex) return device.name;
  }
  return {};
}

std::vector<SaReport> Reports::ReportSas() const {
  std::vector<SaReport> reports;
  for (const auto& sa : from_.path.sad.List()) {
    from_.placement.Refresh(*sa);
    SaReport report{.sa = sa,
                    .state = sa->state(),
                    .usage = sa->lifetime().usage(),
                    .stats = sa->stats(),
                    .replay = sa->ExportReplay(),
                    .last_used = sa->lifetime().last_used(),
                    .path_mtu = 0,
                    .lateness = {},
                    .placements = {},
                    .drops = {},
                    .offload_device = RequestedOn(sa->spec().offload)};
    from_.placement.Show(*sa, &report.replay);
    if (sa->outbound() != nullptr) report.path_mtu = LearntPathMtu(*sa->outbound(), Now());
    if (sa->inbound() != nullptr) report.lateness = sa->inbound()->replay.lateness();
    if (const PlacedSa* placed = from_.placement.Find(sa->number)) {
      for (const Half half : kHalves) {
        if (placed->half(half).binding == nullptr) continue;
        const PlacedHalf& row = placed->half(half);
        report.placements.push_back(
            ReportOf(row, half, from_.engines, VerifiedOneOf(row, from_.placement.devices())));
        if (const auto taken = from_.placement.CountersTakenAt(*sa, half)) {
          report.placements.back().counters_age = Now() - std::min(Now(), *taken);
        }
      }
    }
    for (std::size_t r = 1; r < kDropReasons; ++r) {
      const auto reason = static_cast<DropReason>(r);
      if (const uint64_t n = sa->drops(reason); n != 0) {
        report.drops.emplace_back(cygnet::Describe(reason).name, n);
      }
    }
    reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<PolicyReport> Reports::ReportPolicies() const {
  std::vector<PolicyReport> reports;
  for (PolicyView& view : from_.policies.List()) {
    std::string device = RequestedOn(view.spec.offload);
    reports.push_back(
        {.spec = std::move(view.spec), .usage = view.usage, .offload_device = std::move(device)});
  }
  return reports;
}

std::vector<DeviceReport> Reports::ReportDevices() const {
  std::vector<DeviceReport> reports;
  for (std::size_t i = 0; i < from_.placement.devices().size(); ++i) reports.push_back(DeviceAt(i));
  return reports;
}

DeviceReport Reports::DeviceAt(std::size_t i) const {
  const PlacementDevices& all = from_.placement.devices();
  const ControlDevice& d = all[i];
  DeviceReport report;
  report.name = d.name;
  report.wire = d.wire;
  report.driver = d.driver;
  report.ifindex = d.ifindex;
  report.mtu = d.host_port->mtu();
  report.mac = d.host_port->mac();
  report.offload_mode = Name(d.terms.mode);
  report.trusted = d.terms.trusted;
  if (d.terms.allow_crypto) report.allow_modes.emplace_back("crypto");
  if (d.terms.allow_packet) report.allow_modes.emplace_back("packet");
  report.disabled = all.disabled(i);
  report.loss = d.terms.loss == DeviceLoss::kKeep ? "keep" : "kernel";
  report.rekey_reserve = d.terms.rekey_reserve;
  if (const auto& denied = all.denied(i)) {
    report.denied = denied->Text();
    report.denied_explanation = denied->Explanation();
  }
  if (d.fence != nullptr) report.fence = *d.fence;
  report.host = d.host_port->stats();
  report.wire_stats = d.wire_port->stats();
  if (d.inside) report.inside = d.inside();
  if (d.host_side) report.host_side = d.host_side();
  report.link = Name(d.wire_port->link());
  report.link_explanation = ExplainLink(d);
  if (d.offload != nullptr) {
    report.offload_capable = true;
    const bool lied = all.lied(i);
    report.caught = all.lied_why(i);
    report.evidence = all.evidence(i);
    if (d.shadow != nullptr) {
      report.verify = d.terms.verify;
      report.shadow = d.shadow->stats();
    }
    report.offload_up = d.offload->offload_up() && !lied;
    report.caps = all.caps(i);
    if (const DeviceSelfTest* test = all.self_test(i)) report.self_test = *test;
    report.offload = d.offload->offload_stats();
    report.identity = d.offload->identity();
    report.state = Name(lied ? DeviceState::kFailed : d.offload->state());
    report.failure = d.offload->failure();
    if (const DeviceRecords* records = d.offload->records()) {
      report.held = records->HeldSas();
      report.driver_view = records->DriverView();
      report.statistics = records->Statistics();
      report.key_log = records->KeyLog();
    } else {
      report.held = HeldAsRecorded(d.name);
      report.held_by_ledger = true;
    }
  }
  if (i < from_.path.interfaces.size() && from_.path.interfaces[i].guard != nullptr) {
    report.guard = from_.path.interfaces[i].guard->stats();
  }
  return report;
}

// SAs of which the device got a key that was not erased, each once.
std::vector<SaId> Reports::HeldAsRecorded(const std::string& device) const {
  std::vector<SaId> held;
  for (const auto& [number, key] : from_.placement.ledger().HeldKeys()) {
    const SaId id{.daddr = key.half.daddr,
                  .spi = key.half.spi,
                  .proto = key.half.proto,
                  .family = key.half.family};
    if (key.holder != device) continue;
    if (std::find(held.begin(), held.end(), id) == held.end()) held.push_back(id);
  }
  return held;
}

StatReport Reports::ReportStats() const {
  std::array<uint64_t, kDropReasons> totals{};
  const auto add = [&totals](const DropCounters& counters) {
    for (std::size_t r = 0; r < kDropReasons; ++r) {
      totals[r] += counters.Get(static_cast<DropReason>(r));
    }
  };
  for (const auto& counters : from_.path.drops) add(*counters);
  for (const ControlDevice& d : from_.placement.devices().all()) {
    if (const DropCounters* own = d.wire_port->device_drops(); own != nullptr) add(*own);
  }
  StatReport report;
  std::map<std::string_view, uint64_t> by_name;
  for (std::size_t r = 1; r < kDropReasons; ++r) {
    const DropReasonInfo& info = cygnet::Describe(static_cast<DropReason>(r));
    if (!info.xfrm_stat.empty()) by_name[info.xfrm_stat] += totals[r];
    report.drops.emplace_back(info.name, totals[r]);
  }
  for (const std::string_view name : XfrmStatNames()) {
    report.xfrm.emplace_back(name, by_name[name]);
  }
  report.workers = from_.path.workers();
  report.engine = std::string(from_.engines[0].info->name);
  return report;
}

std::string Reports::PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                                 Half half) const {
  const auto sa = from_.path.sad.FindWithAnyMark(
      {.daddr = daddr, .spi = spi, .proto = kProtoEsp, .family = family});
  const PlacedSa* placed = sa == nullptr ? nullptr : from_.placement.Find(sa->number);
  if (placed == nullptr || placed->half(half).binding == nullptr) return {};
  const PlacedHalf& row = placed->half(half);
  const SaBinding& binding = *row.binding;
  std::string text(Name(binding.path));
  const std::string where = WhereOf(binding, from_.engines);
  if (!where.empty()) text += " " + where;
  return text + " (" + row.reason().Text() + ")";
}

}  // namespace cygnet
