// PlacementKeys: records every key that placement hands out in the ledger, before the holder gets
// it. Outlives placement, because sessions that end later still report here. Control thread.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/ledger.h"
#include "control/placement/report.h"
#include "datapath/bind_half.h"

namespace cygnet {

SaHalf NameOf(const SaSpec& spec, Half half);

class PlacementKeys final : public KeyObserver {
 public:
  PlacementKeys(std::shared_ptr<Ledger> ledger, const EngineSet* engines)
      : ledger_(std::move(ledger)), engines_(engines) {}

  Result<uint64_t> GiveToEngine(uint32_t engine, const SaSpec& spec, Half half) override;
  Result<uint64_t> GiveToDevice(const OffloadDevice& device, const SaSpec& spec,
                                Half half) override;
  void TakenByDevice(const OffloadDevice& device, OffloadHandle handle, uint64_t key) override;
  void NotTaken(uint64_t key, const std::string& why) override;
  void Erased(uint64_t key) override;

  // The device reported the erasure. `note`: how the key was erased, if not by the device.
  void ErasedByDevice(const OffloadDevice& device, OffloadHandle handle, std::string_view note);
  bool HoldsAny(const OffloadDevice& device) const;
  // The device will report nothing more.
  void EndAll(const OffloadDevice& device, const std::string& note);

 private:
  // An identity of an engine, and as the ledger writes it.
  struct Said {
    ModuleIdentity identity;
    std::string text;
  };
  const std::string& TextOf(uint32_t engine);

  const std::shared_ptr<Ledger> ledger_;
  const EngineSet* const engines_;
  std::vector<Said> said_;  // by engine
  // The ledger's numbers of the keys that a device holds, by handle.
  std::unordered_map<const OffloadDevice*, std::unordered_map<uint32_t, uint64_t>> devices_;
};

}  // namespace cygnet
