// A reload reads the configuration file again, on SIGHUP or `cygnet reload`. It applies what can
// change while SAs run and names the rest. A file with a fault changes nothing.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/log.h"
#include "daemon/config/config_changes.h"
#include "daemon/cygnetd/runtime.h"
#include "daemon/cygnetd/settings.h"

namespace cygnet {
namespace {

// Copies the settings of a running device that a reload may change.
void TakeTerms(const DeviceConfig& next, DeviceConfig* device) {
  device->offload = next.offload;
  device->trusted = next.trusted;
  device->allow = next.allow;
  device->rekey_reserve = next.rekey_reserve;
  device->loss = next.loss;
  device->verify = next.verify;
}

}  // namespace

void Runtime::ReloadBySignal(const Signals& signals) {
  audit_->Command("SIGHUP: reload", signals.reload_uid, signals.reload_pid);
  // Reload logs the result.
  (void)Reload().has_value();
}

Result<ReloadReport> Runtime::Reload() {
  auto next = hooks_.read_config();
  Status status = next ? CheckOffered(*next) : Status(next.error());
  if (status) status = ApplyFips(*next);
  if (!status) {
    Log(LogLevel::kError,
        "reload: nothing was changed, the configuration is invalid: " + status.error().message);
    return status.error();
  }
  ConfigChanges changes = CompareConfigs(config_, *next);
  ReloadReport report{
      .applied = std::move(changes.live), .needs_restart = std::move(changes.restart), .moved = {}};
  ApplyRest(*next);
  report.moved = ApplyPlacement(*next);
  Log(LogLevel::kInfo, report.applied.empty()
                           ? "reload: no key that a reload applies has changed"
                           : fmt::format("reload: applied {}", fmt::join(report.applied, ", ")));
  if (!report.needs_restart.empty()) {
    Log(LogLevel::kWarning, fmt::format("reload: these take effect when cygnetd is restarted: {}",
                                        fmt::join(report.needs_restart, ", ")));
  }
  return report;
}

// Reads the boundary list again in any case. A mode that the operator has set since (`cygnet fips
// mode`) stays unless fips.mode has changed in the file.
Status Runtime::ApplyFips(const Config& next) {
  std::optional<std::string> mode;
  if (next.fips.mode != config_.fips.mode) mode = next.fips.mode;
  const Status status = fips_->ApplyFile(mode, next.fips.boundary);
  if (!status) return MakeError(status.error().code, "fips: " + status.error().message);
  return {};
}

void Runtime::ApplyRest(const Config& next) {
  if (next.log_level != config_.log_level) hooks_.set_log_level(next.log_level);
  if (next.ike_bypass != config_.ike_bypass) {
    path_->ike_bypass = next.ike_bypass;
    control_->RefreshIkeSockets();
    path_->BumpGeneration();  // flows that were let through are decided again
  }
  path_->pass_ether_types.Set(next.pass_ether_types);
  if (!(next.audit == config_.audit)) audit_->SetSinks(AuditSinks(next.audit));
  config_.log_level = next.log_level;
  config_.ike_bypass = next.ike_bypass;
  config_.pass_ether_types = next.pass_ether_types;
  config_.audit = next.audit;
  config_.fips = next.fips;
}

MoveReport Runtime::ApplyPlacement(const Config& next) {
  PlacementSettings settings;
  for (const auto& link : links_) {
    if (const DeviceConfig* device = DeviceNamed(next, link->config.name)) {
      TakeTerms(*device, &link->config);
    }
    settings.devices.push_back(TermsOf(link->config, link->wire.offload));
  }
  const Status marked = MarkHostInterfaces();
  if (!marked) Log(LogLevel::kWarning, "reload: " + marked.error().message);
  for (DeviceConfig& device : config_.devices) {
    if (const DeviceConfig* now = DeviceNamed(next, device.name)) TakeTerms(*now, &device);
  }
  for (const PlacementRuleConfig& rule : next.placement) {
    settings.rules.push_back(RuleOf(rule, control_->devices()));
  }
  settings.scheduler = next.scheduler;
  config_.placement = next.placement;
  config_.scheduler = next.scheduler;
  config_.replay_window_min = next.replay_window_min;
  // The default depends on the number of running workers, not on that of the next start.
  return control_->Reconfigure(std::move(settings), config_.ReplayWindowMin());
}

}  // namespace cygnet
