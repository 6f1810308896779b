// FipsSwitch: FIPS mode of a running daemon: the mode, the boundary list, and what follows from
// both for each device, engine and algorithm (cygnet-fips(7)). Deny by default: what the list does
// not name is outside. Control thread.
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
  std::function<Result<bool>()> kernel_fips;  // what "auto" asks
};

class FipsSwitch final : public FipsControl {
 public:
  // Reads the list and the kernel. An error is the operator's to mend before the daemon starts.
  static Result<std::unique_ptr<FipsSwitch>> Create(FipsSwitchOptions options);

  bool enforced() const { return enforced_; }
  const Boundary& boundary() const { return boundary_; }
  // The engines that are there; before the first question about them.
  void SetEngines(const EngineSet* engines) { engines_ = engines; }

  std::optional<PlacementReason> DenyDevice(const ControlDevice& device,
                                            uint64_t now) const override;
  std::optional<PlacementReason> DenyEngine(const EngineSet& engines, uint32_t number,
                                            uint64_t now) const override;
  std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec) const override;
  FipsReport Report(const std::vector<ControlDevice>& devices, const EngineSet& engines,
                    uint64_t now) const override;
  // Of a list that names no software module any more, FIPS mode that is in force blocks what is
  // left; switching it on with such a list is refused.
  Status Apply(const std::optional<std::string>& mode) override;
  // The same with the list in another file, or none. An error changes nothing.
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
