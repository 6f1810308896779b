// SlotScheduler: assigns scarce slots: busy SAs get them, idle SAs lose them. Off by default. It
// never takes a slot from a pinned or recently placed SA, and it requires a clear difference, so
// that two equal SAs do not alternate. If it is off, slots that become free go to the oldest
// waiting SAs. Control thread.
#pragma once

#include <cstdint>
#include <vector>

#include "base/clock.h"
#include "base/numbered_map.h"
#include "control/placement/devices.h"
#include "control/placement/placed_sas.h"

namespace cygnet {

class SlotScheduler {
 public:
  SlotScheduler(SchedulerParams params, PlacedSas* placed, PlacementDevices* devices,
                const Clock* clock)
      : params_(params), placed_(*placed), devices_(*devices), clock_(*clock) {}

  void SetParams(SchedulerParams params) { params_ = params; }
  // About once a second.
  void Tick();

 private:
  void Schedule();
  // What the SA carried; only while the scheduler is on.
  struct Traffic {
    uint64_t packets = 0;  // at the end of the last interval
    uint64_t rate = 0;     // packets in that interval
  };
  void MeasureRates();
  uint64_t RateOf(const PlacedSa& placed) const;
  bool IsClearlyBusier(uint64_t rate, uint64_t than) const;
  void PromoteAndDemote(std::size_t device, Half half, uint32_t* moves);
  bool Promote(PlacedSa* busy, Half half, std::size_t device);
  struct Candidate {
    PlacedSa* placed;
    uint64_t rate;  // RateOf it, which is looked up once
  };
  // The first from `next` on that may lose its slot; `next` past the end: none.
  const Candidate* NextIdle(const std::vector<Candidate>& resident, Half half,
                            std::size_t* next) const;
  void Demote(PlacedSa* placed, Half half);
  bool WaitsFor(const PlacedHalf& half, std::size_t device) const;
  void FillFreeSlots(std::size_t device);
  bool WaitsForRoom(const PlacedSa& placed, Half half, std::size_t device) const;

  SchedulerParams params_;
  PlacedSas& placed_;
  PlacementDevices& devices_;
  const Clock& clock_;
  NumberedMap<Traffic> traffic_;  // by Sa::number
  uint64_t next_schedule_ = 0;
};

}  // namespace cygnet
