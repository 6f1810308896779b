// KeptSas: writes the SAs into the state memory as they come, change and go, and restores those of
// the process before. After an orderly end they continue exactly where they were. After a crash
// they continue behind the numbers that may have been used (NumberCells). An SA that does not fit
// is not refused: it works, but ends with the process, as if there were no state memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/numbered_map.h"
#include "control/control_plane.h"
#include "control/state_keeper.h"
#include "daemon/store/state_memory.h"

namespace cygnet {

class KeptSas final : public StateKeeper {
 public:
  // Where numbers of SAs are that outlives this memory.
  enum class Store : uint8_t { kNone, kFile };
  explicit KeptSas(std::unique_ptr<StateMemory> memory, Store store = Store::kNone)
      : memory_(std::move(memory)), store_(store) {}

  struct Outcome {
    std::size_t restored = 0;
    std::size_t larval = 0;
    std::size_t lost = 0;  // unreadable, or refused; logged with the reason
    std::size_t left_store =
        0;  // of those restored: a number store had them, and there is none now
  };
  // REQUIRES: no packet passes yet, and the policies are in force.
  Outcome Restore(ControlPlane* control);

  void Keep(const ConstSaPtr& sa) override;
  void Update(const Sa& sa) override;
  void Forget(const Sa& sa) override;
  // nullptr: it is not kept.
  NumberCells* Cells(const Sa& sa) const;

  // About once a second: begins to write what packets have changed.
  void Tick() { next_ = rows_.empty() ? std::nullopt : std::optional(rows_.begin()->first); }
  // Each turn of the loop. True: more is left.
  bool DoSome();
  // An orderly end: the numbers are exact from here on. REQUIRES: no worker runs, and no device has
  // numbers of an SA. SAs that end afterwards stay in the memory.
  void Stop();

  // SAs that end with this process, because they did not fit.
  std::size_t left_out() const { return left_out_; }
  const StateMemory& memory() const { return *memory_; }

 private:
  struct Row {
    ConstSaPtr sa;
    uint32_t slot = 0;
  };
  StateRecord RecordOf(const Sa& sa) const;
  StateProgress ProgressOf(const Sa& sa) const;
  bool IsInStore(const Sa& sa) const;
  void Finish(const Sa& sa, uint32_t slot);
  Status RestoreOne(uint32_t slot, Outcome* outcome);

  std::string DeviceOf(const Sa& sa) const;
  std::string InterfaceOf(const Sa& sa) const;
  int32_t NumberOf(const std::string& name) const;
  Status Renumber(const StateRecord& record, SaSpec* spec) const;

  const std::unique_ptr<StateMemory> memory_;
  const Store store_;
  ControlPlane* control_ = nullptr;  // nullptr: Restore was not called yet
  NumberedMap<Row> rows_;            // by Sa::number
  std::optional<uint64_t> next_;     // DoSome continues here; nullopt: nothing to do
  std::size_t left_out_ = 0;
  bool stopped_ = false;
};

}  // namespace cygnet
