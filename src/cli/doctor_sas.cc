// SAs: where they run, replay windows, numbers and limits, and rekeying.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "cli/doctor_check.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr uint64_t kLastNumber = (uint64_t{1} << 32) - 1;  // without ESN
constexpr std::size_t kMostRows = 10;                      // of one check

std::string NameOf(const Json& sa) {
  return fmt::format("SA to {} spi {}", Text(sa, "dst"), Text(sa, "spi"));
}

// At most kMostRows rows; the last one counts the others.
class Rows {
 public:
  void Add(Level level, std::string text, std::string advice) {
    if (rows_.size() < kMostRows) {
      rows_.push_back({.level = level, .text = std::move(text), .advice = std::move(advice)});
    } else {
      ++more_;
      worst_ = std::max(worst_, level);
    }
  }
  std::vector<Finding> Take() {
    if (more_ != 0) {
      rows_.push_back({.level = worst_,
                       .text = fmt::format("{} more of this kind", more_),
                       .advice = "cygnet sa shows them all"});
    }
    return std::move(rows_);
  }

 private:
  std::vector<Finding> rows_;
  std::size_t more_ = 0;
  Level worst_ = Level::kNote;
};

std::string PlaceAdvice(const std::string& reason, const std::string& explanation) {
  if (reason.starts_with("table-full") || reason.starts_with("address-table-full")) {
    return "use a device with more slots, give the slots to busy SAs ([scheduler]), or request "
           "offload for fewer SAs";
  }
  if (reason.starts_with("not-trusted") || reason.starts_with("fips-")) {
    return "trust the device, or list it, if it may hold keys: " + explanation;
  }
  if (reason.starts_with("operator-")) return "cygnet offload enable, or cygnet placement unset";
  if (reason.starts_with("device-off") || reason.starts_with("mode-not-allowed")) {
    return "set offload and allow_modes of the device in cygnetd.toml";
  }
  if (reason.starts_with("no-capability") || reason.starts_with("withdrawn")) {
    return "choose another algorithm or device: cygnet offload explain";
  }
  return "cygnet-placement(7) explains " + reason;
}

// Share of the time, bytes or packets between the soft and the hard limit that is gone; 0: none.
double MarginGone(const Json& sa, uint64_t now) {
  const Json& limits = Child(sa, "limits");
  const Json& usage = Child(sa, "usage");
  double gone = 0;
  const auto look = [&](const char* soft_name, const char* hard_name, uint64_t used) {
    const uint64_t soft = Number(limits, soft_name);
    const uint64_t hard = Number(limits, hard_name);
    if (soft == 0 || hard <= soft || used <= soft) return;
    gone = std::max(gone, static_cast<double>(used - soft) / static_cast<double>(hard - soft));
  };
  const uint64_t added = Number(usage, "add_time");
  const uint64_t used = Number(usage, "use_time");
  look("soft_bytes", "hard_bytes", Number(usage, "bytes"));
  look("soft_packets", "hard_packets", Number(usage, "packets"));
  look("soft_add_seconds", "hard_add_seconds", now > added ? now - added : 0);
  look("soft_use_seconds", "hard_use_seconds", used != 0 && now > used ? now - used : 0);
  return gone;
}

// What a rekeyed SA has in common with the one before.
std::string TupleOf(const Json& sa) {
  return fmt::format("{} {} {} {} {}", Text(sa, "src"), Text(sa, "dst"), Text(sa, "proto"),
                     Number(sa, "reqid"), Number(sa, "if_id"));
}

}  // namespace

std::vector<Finding> CheckOffload(const DoctorSubject& subject) {
  struct Group {
    uint64_t halves = 0;
    bool blocked = false;
    std::string explanation{};
    std::string first{};
  };
  std::map<std::string, Group> by_reason;
  for (const Json& sa : subject.sas) {
    for (const Json& place : Child(sa, "placements")) {
      const std::string requested = Text(place, "requested");
      const std::string effective = Text(place, "effective");
      const bool blocked = effective == "blocked";
      const bool away = effective == "software" || effective == "look-aside";
      if (!blocked && (!away || requested == "no" || requested == "auto")) continue;
      Group& group = by_reason[(blocked ? "blocked " : "") + Text(place, "reason")];
      if (group.halves++ == 0) group.first = NameOf(sa);
      group.blocked = blocked;
      group.explanation = Text(place, "explanation");
    }
  }
  Rows rows;
  for (const auto& [key, group] : by_reason) {
    const std::string reason = group.blocked ? key.substr(8) : key;
    rows.Add(group.blocked ? Level::kFault : Level::kWarning,
             fmt::format("{} halves of SAs, {} among them, {}: {}: {}", group.halves, group.first,
                         group.blocked ? "may run nowhere, so that their packets are dropped"
                                       : "run on the CPU although offload was requested",
                         reason, group.explanation),
             PlaceAdvice(reason, group.explanation));
  }
  return rows.Take();
}

std::vector<Finding> CheckReplay(const DoctorSubject& subject) {
  Rows rows;
  uint64_t without = 0;
  for (const Json& sa : subject.sas) {
    const bool inbound =
        std::any_of(Child(sa, "placements").begin(), Child(sa, "placements").end(),
                    [](const Json& place) { return Text(place, "direction") == "in"; });
    if (!inbound) continue;
    const uint64_t window = Number(sa, "replay_window");
    const bool of_both = Child(sa, "placements").size() > 1;  // no direction was named
    if (window == 0 && !of_both) ++without;
    const uint64_t late = Number(Child(sa, "stats"), "replay_window");
    const uint64_t enough = Number(sa, "window_for_all");
    if (window == 0 || late == 0) continue;
    rows.Add(Level::kNote,
             fmt::format("{}: {} packets came later than its replay window of {} allows",
                         NameOf(sa), late, window),
             enough > window
                 ? fmt::format("if the path reorders, a window of {} would have accepted them; "
                               "forged packets look the same: see late rejections in cygnet sa",
                               enough)
                 : std::string("they are not authenticated: somebody may replay old packets"));
  }
  if (without != 0) {
    rows.Add(Level::kNote,
             fmt::format("{} inbound SAs have no replay window: old packets of theirs are accepted "
                         "again",
                         without),
             "set a replay window in key management (swanctl: replay_window = 64)");
  }
  return rows.Take();
}

std::vector<Finding> CheckNumbers(const DoctorSubject& subject) {
  Rows rows;
  for (const Json& sa : subject.sas) {
    const Json& replay = Child(sa, "replay");
    const uint64_t last = std::max(Number(replay, "oseq"), Number(replay, "seq"));
    if (!sa.value("esn", false) && last >= kLastNumber / 10 * 9) {
      const bool gone = last >= kLastNumber;
      rows.Add(gone ? Level::kFault : Level::kWarning,
               fmt::format("{}: {} of 4294967295 sequence numbers are used", NameOf(sa), last),
               gone ? "nothing passes any more: rekey it now, and use ESN"
                    : "rekey it, and use ESN (extended sequence numbers)");
    }
    const Json& limits = Child(sa, "limits");
    const Json& usage = Child(sa, "usage");
    for (const char* what : {"bytes", "packets"}) {
      const uint64_t hard = Number(limits, (std::string("hard_") + what).c_str());
      const uint64_t used = Number(usage, what);
      if (hard == 0 || used < hard / 10 * 9) continue;
      rows.Add(used >= hard ? Level::kFault : Level::kWarning,
               fmt::format("{}: {} of its limit of {} {} are used", NameOf(sa), used, hard, what),
               "rekey it; if key management does not do it by itself, look at its log");
    }
  }
  return rows.Take();
}

std::vector<Finding> CheckRekeying(const DoctorSubject& subject) {
  constexpr uint64_t kPatience = 10;  // seconds that key management may take
  std::map<std::string, bool> has_valid;
  for (const Json& sa : subject.sas) {
    if (Text(sa, "state") == "valid") has_valid[TupleOf(sa)] = true;
  }
  Rows rows;
  for (const Json& sa : subject.sas) {
    const std::string state = Text(sa, "state");
    if (has_valid.count(TupleOf(sa)) != 0) continue;
    if (state == "expired") {
      rows.Add(Level::kFault, NameOf(sa) + " has expired and has no successor",
               "look at the log of key management: it was told (EXPIRE) and made no new SA");
    } else if (state == "dying" && MarginGone(sa, subject.now) > 0.5) {
      rows.Add(Level::kWarning,
               NameOf(sa) +
                   " is past half of the time between its soft and its hard limit, and has "
                   "no successor",
               "rekeying fails: look at the log of key management, and whether the peer answers");
    }
    const uint64_t added = Number(Child(sa, "usage"), "add_time");
    if (state == "larval" && subject.now > added + kPatience) {
      rows.Add(Level::kWarning,
               fmt::format("key management was asked for an SA to {} {} seconds ago and has not "
                           "made it",
                           Text(sa, "dst"), subject.now - added),
               "look at its log, and whether the peer answers IKE (UDP 500 and 4500)");
    }
  }
  if (const uint64_t refused = Number(subject.stat, "acquires_refused"); refused != 0) {
    rows.Add(Level::kNote,
             fmt::format("{} packets needed an SA while too many were asked for already", refused),
             "find out who sends to so many destinations without SAs: cygnet policy");
  }
  return rows.Take();
}

}  // namespace cygnet
