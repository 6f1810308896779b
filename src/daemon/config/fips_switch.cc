#include "daemon/config/fips_switch.h"

#include <ctime>
#include <utility>

#include "base/log.h"
#include "daemon/config/boundary_file.h"

namespace cygnet {

Result<std::unique_ptr<FipsSwitch>> FipsSwitch::Create(FipsSwitchOptions options) {
  std::unique_ptr<FipsSwitch> fips(new FipsSwitch(std::move(options)));
  const auto enforced = fips->Enforces(fips->options_.mode);
  if (!enforced) return enforced.error();
  fips->enforced_ = *enforced;
  auto boundary = fips->ReadBoundary();
  if (!boundary) return boundary.error();
  fips->boundary_ = *std::move(boundary);
  return fips;
}

Result<bool> FipsSwitch::Enforces(FipsMode mode) const {
  return mode == FipsMode::kAuto ? options_.kernel_fips() : Result<bool>(mode == FipsMode::kOn);
}

Result<Boundary> FipsSwitch::ReadBoundary() const {
  return options_.boundary_file.empty() ? Result<Boundary>(Boundary{})
                                        : LoadBoundary(options_.boundary_file);
}

std::optional<PlacementReason> FipsSwitch::DenyDevice(const ControlDevice& device,
                                                      uint64_t now) const {
  if (!enforced_) return std::nullopt;
  return DenyByBoundary(boundary_, IdentityOf(device.name, device.offload->identity()), now);
}

std::optional<PlacementReason> FipsSwitch::DenyEngine(const EngineSet& engines, uint32_t number,
                                                      uint64_t now) const {
  if (!enforced_) return std::nullopt;
  return DenyByBoundary(boundary_, IdentityOf(engines[number]), now);
}

std::optional<PlacementReason> FipsSwitch::DenyAlgorithm(const SaSpec& spec) const {
  return enforced_ ? cygnet::DenyAlgorithm(spec) : std::nullopt;
}

Status FipsSwitch::Apply(const std::optional<std::string>& text) {
  FipsMode mode = options_.mode;
  if (text.has_value()) {
    const auto parsed = ParseFipsMode(*text);
    if (!parsed.has_value())
      return MakeError(Errc::kInvalid, "unknown FIPS mode '" + *text + "'; use auto, on or off");
    mode = *parsed;
  }
  const auto enforced = Enforces(mode);
  if (!enforced) return enforced.error();
  auto boundary = ReadBoundary();
  if (!boundary) return boundary.error();
  if (*enforced && !enforced_) {
    CYGNET_RETURN_IF_ERROR(
        CheckSoftwareModule(*boundary, *engines_, static_cast<uint64_t>(std::time(nullptr))));
  }
  options_.mode = mode;
  enforced_ = *enforced;
  boundary_ = *std::move(boundary);
  Log(LogLevel::kInfo, "FIPS mode " + std::string(Name(mode)) + ": " +
                           (enforced_ ? "in force, " : "not in force, ") +
                           std::to_string(boundary_.entries.size()) +
                           " modules on the boundary list");
  return {};
}

Status FipsSwitch::ApplyFile(const std::optional<std::string>& mode,
                             const std::string& boundary_file) {
  std::string before = std::exchange(options_.boundary_file, boundary_file);
  Status status = Apply(mode);
  if (!status) options_.boundary_file = std::move(before);
  return status;
}

// --- Report ---

FipsRow FipsSwitch::RowOf(const HolderIdentity& holder, uint64_t now) const {
  FipsRow row;
  row.kind = holder.kind == HolderKind::kDevice ? "device" : "engine";
  row.name = holder.name;
  row.identity = cygnet::Describe(holder);
  const BoundaryEntry* entry = nullptr;
  const auto denied = DenyByBoundary(boundary_, holder, now, &entry);
  row.inside = !denied.has_value();
  if (entry != nullptr) {
    row.certificate = entry->certificate;
    row.expires = ExpiryDate(*entry);
  }
  if (denied.has_value()) {
    row.reason = denied->Text();
    row.explanation = denied->Explanation();
  } else {
    row.explanation = "on the boundary list";
  }
  return row;
}

FipsReport FipsSwitch::Report(const std::vector<ControlDevice>& devices, const EngineSet& engines,
                              uint64_t now) const {
  FipsReport report{.mode = std::string(Name(options_.mode)),
                    .enforced = enforced_,
                    .list_file = options_.boundary_file,
                    .rows = {}};
  for (const ControlDevice& device : devices) {
    if (device.offload == nullptr) continue;
    FipsRow row = RowOf(IdentityOf(device.name, device.offload->identity()), now);
    if (!device.terms.trusted) {
      const PlacementReason reason{ReasonCode::kNotTrusted, {}};
      row.inside = false;
      row.reason = reason.Text();
      row.explanation = reason.Explanation();
    }
    report.rows.push_back(std::move(row));
  }
  for (uint32_t e = 0; e < engines.size(); ++e) {
    report.rows.push_back(RowOf(IdentityOf(engines[e]), now));
  }
  for (const AlgorithmDescriptor& algorithm : AllAlgorithms()) {
    FipsRow row;
    row.kind = "algorithm";
    row.name = algorithm.name;
    const auto denied = cygnet::DenyAlgorithm(algorithm);
    row.inside = !denied.has_value();
    if (denied.has_value()) {
      row.reason = denied->Text();
      row.explanation = denied->Explanation();
    }
    report.rows.push_back(std::move(row));
  }
  return report;
}

}  // namespace cygnet
