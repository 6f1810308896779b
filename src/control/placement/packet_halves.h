// PacketHalves: what the control plane does for the halves of SAs in packet offload. It gives their
// devices numbers in blocks, reads their counters into Sa::lifetime(), and reports their events as
// if a worker had. Control thread.
//
// Numbers in a move (PlacedSas calls in this order):
//   Prepare   before the device is given the half: which numbers it may accept
//   Adopt     before workers see the new binding: limits
//   Begin     after: outbound, the first block is granted once no worker can use the old binding
//   Stop      before the half leaves: the device numbers and accepts nothing more
//   Finish    after workers see the new binding: the stack has all numbers again
// If the device is lost, the stack goes on behind the block: no number is used twice, and none is
// accepted twice. After a loss without traffic, the next inbound block is empty until the device
// asks for numbers: an SA that nobody uses loses one block, however often its device is lost.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "control/numbers/numbers.h"
#include "datapath/data_path.h"
#include "datapath/sa_binding.h"
#include "device/packet_offload.h"
#include "sa/half.h"

namespace cygnet {

class PacketHalves {
 public:
  // Number margin of an inbound half that moves in: packets up to there may still be on their way
  // to the CPU.
  static constexpr uint64_t kOnTheirWay = 8192;

  // `report`: takes what devices tell about limits and numbers. `lied`: whether the seal guard
  // caught a device; what it says about numbers is then not believed. `numbers`: where blocks for
  // devices come from; nullptr: no number outlives the process.
  PacketHalves(DataPath* path, const Clock* clock, std::function<void(const DataPathEvent&)> report,
               std::function<bool(const OffloadDevice&)> lied, Numbers* numbers = nullptr)
      : path_(*path),
        clock_(*clock),
        report_(std::move(report)),
        lied_(std::move(lied)),
        numbers_(numbers) {}

  // `standby`: kCpu if a CPU has the half now, and opens what is on its way. If the half is in
  // packet offload now, call Stop first. Outbound: nothing yet, Begin has the first block granted.
  enum class Standby : uint8_t { kNone, kCpu };
  NumberBlock Prepare(const SaPtr& sa, Half half, Standby standby);
  // The device did not take the half. No effect without Prepare.
  void Cancel(const Sa& sa, Half half);
  void Adopt(const SaPtr& sa, Half half, const SaBinding& binding);
  void Begin(const Sa& sa, Half half);
  void Stop(const Sa& sa, Half half);
  // What the stack lost in a move out: inbound, numbers up to `refused_to` are refused, because a
  // device that is lost may have accepted them.
  struct Outcome {
    std::optional<uint64_t> refused_to;
  };
  Outcome Finish(const Sa& sa, Half half);
  // The SA ends.
  void Forget(const Sa& sa, Half half);
  // The first number minus one that the device of an inbound half accepts; nullopt: none.
  std::optional<uint64_t> EdgeOf(const Sa& sa, Half half) const;

  // After the device's bell.
  void TakeEvents(OffloadDevice* device);
  // Grants first blocks. True: some still wait for workers.
  bool DoSome();
  // About once a second: reads the halves, and extends what runs short.
  void Tick();
  // Reads the SA's counters now.
  void Refresh(const Sa& sa);
  // Sa::lifetime() has other limits or counters.
  void ApplyLimits(const Sa& sa);
  // The SA continues another one (Sa::TakeOver), whose numbers count as used.
  void FollowTakeOver(const Sa& sa);
  // The highest number that an inbound half has authenticated, wherever.
  uint64_t Highest(const Sa& sa);
  // For dumps: sets the counters that the device keeps.
  void Show(const Sa& sa, ReplayState* replay) const;
  // When the device took the counters of the half, in wall-clock seconds; nullopt: no device
  // counts, or it has not answered yet.
  std::optional<uint64_t> CountersTakenAt(const Sa& sa, Half half) const;

  std::size_t size() const { return rows_.size(); }

 private:
  using Key = std::pair<uint64_t, Half>;  // Sa::number
  struct Row {
    SaPtr sa;
    Half half = Half::kOutbound;
    OffloadDevice* device = nullptr;
    OffloadHandle handle;
    NumberBlock block;  // that the device may use
    SaReading counted;  // what Sa::lifetime() and the SA's statistics have of it
    uint64_t step = 0;  // size of the next block
    uint64_t granted_ns = 0;
    bool asked = false;           // the device found too few numbers, and has got none since
    std::shared_ptr<bool> quiet;  // outbound: set when the first block may be granted
    bool lost = false;            // Stop: its final state is unknown
    std::optional<SaHandOver> state;
    PacketOffload& offload() const { return *device->packet_offload(); }
  };
  static Key KeyOf(const Sa& sa, Half half) { return {sa.number, half}; }
  Row* Find(const Sa& sa, Half half);
  void Absorb(Row* row, const SaReading& reading);
  void CountLast(Row* row);
  void Extend(Row* row);
  bool HasEnough(const Row& row, const SaReading& reading) const;
  static uint64_t SeenOf(const Row& row, const SaReading& reading);
  static uint64_t Ahead(const Row& row, const SaReading& reading);
  void ChooseStep(Row* row, const SaReading& reading);
  void GrantOutbound(Row* row, const SaReading& reading);
  void GrantInbound(Row* row, const SaReading& reading);
  void GrantFirst(Row* row);
  void CheckLimits(const Row& row);
  void SetLimits(const Row& row) const;
  void Report(DataPathEvent::Kind kind, const Row& row) const;
  void TakeBackInbound(const Row& row);
  uint64_t Reserved(const Sa& sa, uint64_t last) const;

  DataPath& path_;
  const Clock& clock_;
  const std::function<void(const DataPathEvent&)> report_;
  const std::function<bool(const OffloadDevice&)> lied_;
  Numbers* const numbers_;
  std::map<Key, Row> rows_;
  std::map<Key, Row> leaving_;           // between Stop and Finish
  std::map<Key, NumberBlock> prepared_;  // between Prepare and Adopt
  std::map<Key, uint64_t> met_;          // inbound: the highest number that devices have met
  std::set<Key> idle_;                   // inbound: the last device was lost, and had met none
  std::map<std::pair<const OffloadDevice*, uint32_t>, Key> by_handle_;
  std::vector<Key> waiting_;    // without their first block
  std::optional<Key> tick_at_;  // where the next Tick begins
};

}  // namespace cygnet
