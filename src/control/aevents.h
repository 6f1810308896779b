// Aevents: NEWAE and GETAE. Reports an SA's counters as traffic changes them; clients that keep a
// standby set them (kernel: xfrm_replay_notify, xfrm_new_ae). Control thread.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "control/announcer.h"
#include "requests/xfrm_control.h"
#include "sa/sa.h"

namespace cygnet {

// For SAs that set no thresholds (kernel: xfrm_aevent_rseqth, xfrm_aevent_etime).
struct AeventDefaults {
  uint32_t max_diff = 2;  // packets
  uint32_t max_age = 10;  // 100 ms units
  bool operator==(const AeventDefaults&) const = default;
};

class Aevents {
 public:
  Aevents(const Announcer* announcer, const Clock* clock)
      : announcer_(*announcer), clock_(*clock) {}

  // Starts to watch an SA. REQUIRES: it is not larval, and has the largest number so far.
  void Follow(const Sa& sa, const AeventDefaults& defaults);
  // `to` continues with the thresholds and last report of `from`. REQUIRES: both are followed.
  void Continue(const Sa& from, const Sa& to);
  void Forget(uint64_t sa_number) { watched_.erase(sa_number); }

  AeventView View(const SaPtr& sa) const;
  Status Update(const SaPtr& sa, const AeventChange& change, const RequestOrigin& origin);
  // Sends the report if one is due.
  void Check(const SaPtr& sa, uint64_t now_ns);

 private:
  struct Watch {
    uint32_t max_diff = 0;
    uint32_t max_age = 0;
    // What listeners were last notified of.
    uint64_t reported_seq = 0;
    uint64_t reported_oseq = 0;
    uint64_t reported_at_ns = 0;
  };
  // The SAs followed from this number on, to the next of these.
  struct Since {
    uint64_t number = 0;
    uint64_t at_ns = 0;
    AeventDefaults defaults;
  };
  void NoteTime(uint64_t number, const AeventDefaults& defaults);
  Watch Begin(const Sa& sa, const Since& since) const;
  bool IsFollowed(const Sa& sa) const;
  Watch WatchOf(const Sa& sa) const;
  void Keep(const Sa& sa, const Watch& watch) { watched_.insert_or_assign(sa.number, watch); }
  void Report(const SaPtr& sa, Watch watch, AeventCause cause, const RequestOrigin& origin = {});

  const Announcer& announcer_;
  const Clock& clock_;
  // By the SA's number. Most SAs have none: nothing was reported of them yet, and their thresholds
  // are their own, or the defaults of the time when they were followed. The first reports come in
  // any order.
  std::unordered_map<uint64_t, Watch> watched_;
  std::vector<Since> since_;  // by number
};

}  // namespace cygnet
