// StateMemory: SAs with their keys in memory that outlives the process: an anonymous file (memfd)
// whose descriptor the service manager keeps. It is never on a disk and in no core file, and its
// size is sealed. Each SA has a slot of its own; a free slot is wiped. A slot that was not written
// to its end, that has a wrong checksum, or that a newer version wrote, cannot be read: that SA is
// lost. Control thread; workers write to NumberCells.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/buffer.h"
#include "sa/number_cells.h"
#include "sa/sa.h"

namespace cygnet {

// What changes while packets pass. After a crash it may be as old as the last checkpoint.
struct StateProgress {
  LifetimeUsage usage;
  uint64_t last_used = 0;
  SaState state = SaState::kValid;
  bool soft_time_signalled = false;
  std::optional<uint32_t> max_diff;  // thresholds of NEWAE; nullopt: the kernel's defaults
  std::optional<uint32_t> max_age;
  bool operator==(const StateProgress&) const = default;
};

// The numbers of an SA at a moment when nobody could use it any more.
struct ExactNumbers {
  uint64_t oseq = 0;
  uint64_t seq = 0;
  bool operator==(const ExactNumbers&) const = default;
};

struct StateRecord {
  uint64_t number = 0;  // Sa::number
  uint64_t iv_mask = 0;
  bool in_store = false;              // a number store had its numbers, and made the mask
  std::optional<ExactNumbers> exact;  // nullopt: the process did not come to an orderly end
  StateProgress progress;
  // What the client named by ifindex, which may be another later: the device for the offload, and
  // the interface in the selector.
  std::string offload_device = {};
  std::string selector_interface = {};
  netlink::Buffer message;  // NEWSA; if the numbers are exact, so is its bitmap
};

class StateMemory {
 public:
  static constexpr std::size_t kSlotBytes = 2048;
  static constexpr std::size_t kMaxMessage = kSlotBytes - 192;
  static constexpr uint32_t kSlots = uint32_t{1} << 18;

  static Result<std::unique_ptr<StateMemory>> Create(uint32_t slots = kSlots);
  // The memory that an earlier process left. kInvalid: it cannot be used; the text says why.
  static Result<std::unique_ptr<StateMemory>> Adopt(UniqueFd fd);
  ~StateMemory();
  StateMemory(const StateMemory&) = delete;
  StateMemory& operator=(const StateMemory&) = delete;

  int fd() const { return fd_.get(); }
  // Empty: the memory is locked. Otherwise why it may reach swap space.
  const std::string& unlocked() const { return unlocked_; }

  // kNoSpace: no slot is free, or the message is too long. `cells` of a new slot are zero.
  Result<uint32_t> Write(const StateRecord& record);
  // REQUIRES: Write returned the slot. Its cells stay.
  Status Rewrite(uint32_t slot, const StateRecord& record);
  // The last words of a process about an SA whose message needs no change. False: what was written
  // is damaged, and must be written anew. REQUIRES: Write returned the slot.
  bool Finish(uint32_t slot, const ExactNumbers& exact, bool in_store,
              const StateProgress& progress);
  void Checkpoint(uint32_t slot, const StateProgress& progress);
  NumberCells* cells(uint32_t slot);
  Result<StateRecord> Read(uint32_t slot) const;
  // StateRecord::number, unchecked: Read may still find that the slot cannot be used.
  uint64_t NumberIn(uint32_t slot) const;
  void Wipe(uint32_t slot);

  // Slots that are not free, in ascending order: also those that cannot be read.
  std::vector<uint32_t> Used() const;
  // Slots that are free, less one: a restart moves SAs by it from slot to slot.
  uint32_t room() const;
  // The last slot may be used, too.
  void UseSpare(bool use) { keep_free_ = use ? 0 : 1; }

 private:
  struct Slot;
  StateMemory() = default;
  static Result<std::unique_ptr<StateMemory>> Map(UniqueFd fd, std::size_t bytes);
  void FindFree();
  Slot& At(uint32_t slot) const;
  static uint32_t Checksum(const Slot& slot);
  static bool IsWhole(const Slot& slot);
  static void SetNumbers(Slot* slot, const std::optional<ExactNumbers>& exact, bool in_store);
  void Fill(Slot* slot, const StateRecord& record);

  UniqueFd fd_;
  uint8_t* memory_ = nullptr;
  std::size_t bytes_ = 0;
  std::vector<uint32_t> free_;  // the lowest last
  uint32_t keep_free_ = 1;
  std::string unlocked_;
};

}  // namespace cygnet
