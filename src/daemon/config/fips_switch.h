// FipsSwitch: FIPS mode of a running daemon: the mode, the boundary list, and the result for each
// device, engine and algorithm (cygnet-fips(7)). Denies by default: a module that is not on the
// list is outside. Control thread.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/boundary.h"
#include "control/control_plane.h"

namespace cygnet {

struct FipsSwitchOptions {
  FipsMode mode = FipsMode::kOff;
  std::string boundary_file;                  // empty: nothing is inside
  std::function<Result<bool>()> kernel_fips;  // queried for "auto"
};

class FipsSwitch final : public FipsControl {
 public:
  // Reads the list and the kernel's mode. The operator must fix an error before the daemon starts.
  static Result<std::unique_ptr<FipsSwitch>> Create(FipsSwitchOptions options);

  bool enforced() const { return enforced_; }
  const Boundary& boundary() const { return boundary_; }
  // The available engines. Call before the first query about them.
  void SetEngines(const EngineSet* engines) { engines_ = engines; }

  std::optional<PlacementReason> DenyDevice(const ControlDevice& device,
                                            uint64_t now) const override;
  std::optional<PlacementReason> DenyEngine(const EngineSet& engines, uint32_t number,
                                            uint64_t now) const override;
  std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec) const override;
  FipsReport Report(const std::vector<ControlDevice>& devices, const EngineSet& engines,
                    uint64_t now) const override;
  // If a new list names no software module, FIPS mode that is in force stays and blocks the SAs
  // concerned. Switching FIPS mode on with such a list is refused.
  Status Apply(const std::optional<std::string>& mode) override;
  // The same with another list file, or none. An error changes nothing.
  Status ApplyFile(const std::optional<std::string>& mode, const std::string& boundary_file);

 private:
  explicit FipsSwitch(FipsSwitchOptions options) : options_(std::move(options)) {}
  Result<bool> Enforces(FipsMode mode) const;
  Result<Boundary> ReadBoundary() const;
  FipsRow RowOf(const HolderIdentity& holder, uint64_t now) const;

  FipsSwitchOptions options_;
  Boundary boundary_;
  bool enforced_ = false;
  const EngineSet* engines_ = nullptr;
};

}  // namespace cygnet
