#include "web/marks.h"

#include <algorithm>
#include <map>

#include "client/device_faults.h"
#include "client/json_fields.h"

namespace cygnet::web {
namespace {

// One placement of a half.
struct Step {
  uint64_t since = 0;
  std::string place;
  std::string reason;

  bool operator==(const Step&) const = default;
};
using Steps = std::vector<Step>;

std::string PlaceName(const std::string& effective, const std::string& where) {
  return effective == "blocked" || where.empty() ? effective : effective + " " + where;
}

// All that the daemon still knows, so that a half that left and came back between two looks is not
// missed.
Steps StepsOf(const Json& half) {
  Steps steps;
  for (const Json& row : Child(half, "history")) {
    steps.push_back({Number(row, "time"), PlaceName(Text(row, "effective"), Text(row, "where")),
                     Text(row, "reason")});
  }
  const std::string device = Text(half, "device");
  steps.push_back(
      {Number(half, "since"),
       PlaceName(Text(half, "effective"), device.empty() ? Text(half, "engine") : device),
       Text(half, "reason")});
  return steps;
}

std::map<std::string, Steps> HalvesOf(const Readings& readings) {
  std::map<std::string, Steps> halves;
  for (const Json& sa : readings.of(Reading::kSas)) {
    const std::string name =
        Text(sa, "src") + " > " + Text(sa, "dst") + " spi " + Text(sa, "spi") + " ";
    for (const Json& half : Child(sa, "placements")) {
      halves[name + Text(half, "direction")] = StepsOf(half);
    }
  }
  return halves;
}

// Many SAs that move for the same reason are one mark.
struct Move {
  uint64_t since = 0;
  std::vector<std::string> halves;
};

void AddMoves(const Readings& before, const Readings& now, std::vector<Mark>* marks) {
  constexpr std::size_t kMostSingle = 4;
  const std::map<std::string, Steps> was = HalvesOf(before);
  std::map<std::string, Move> moves;
  for (const auto& [name, steps] : HalvesOf(now)) {
    const auto known = was.find(name);
    for (std::size_t i = 1; i < steps.size(); ++i) {
      if (steps[i].place == steps[i - 1].place) continue;
      if (known != was.end() &&
          std::find(known->second.begin(), known->second.end(), steps[i]) != known->second.end()) {
        continue;
      }
      Move& move = moves[steps[i - 1].place + " to " + steps[i].place + ": " + steps[i].reason];
      move.since = std::max(move.since, steps[i].since);
      move.halves.push_back(name);
    }
  }
  for (const auto& [text, move] : moves) {
    const auto time_ms = static_cast<int64_t>(move.since * 1000);
    if (move.halves.size() > kMostSingle) {
      const std::string subject = std::to_string(move.halves.size()) + " halves of SAs";
      marks->push_back({.time_ms = time_ms, .kind = "move", .subject = subject, .text = text});
      continue;
    }
    for (const std::string& half : move.halves) {
      marks->push_back({.time_ms = time_ms, .kind = "move", .subject = half, .text = text});
    }
  }
}

const Json* FindDevice(const Readings* readings, const std::string& name) {
  if (readings == nullptr) return nullptr;
  for (const Json& device : readings->of(Reading::kDevices)) {
    if (Text(device, "name") == name) return &device;
  }
  return nullptr;
}

void AddFaults(const Json* before, const Json& now, int64_t time_ms, std::vector<Mark>* marks) {
  const std::string name = Text(now, "name");
  const auto was = before == nullptr ? std::map<std::string, std::string>{} : FaultsOf(*before);
  const auto is = FaultsOf(now);
  for (const auto& [kind, text] : is) {
    const auto same = was.find(kind);
    if (same != was.end() && same->second == text) continue;
    marks->push_back({.time_ms = time_ms, .kind = "fault", .subject = name, .text = text});
  }
  for (const auto& [kind, text] : was) {
    if (is.count(kind) != 0) continue;
    marks->push_back({.time_ms = time_ms, .kind = "end", .subject = name, .text = "over: " + text});
  }
  if (before == nullptr || GuardHits(now) <= GuardHits(*before)) return;
  marks->push_back({.time_ms = time_ms,
                    .kind = "guard",
                    .subject = name,
                    .text = "the seal guard stopped " +
                            std::to_string(GuardHits(now) - GuardHits(*before)) + " packets"});
}

}  // namespace

Json ToJson(const Mark& mark) {
  return {{"time_ms", mark.time_ms},
          {"kind", mark.kind},
          {"subject", mark.subject},
          {"text", mark.text}};
}

std::vector<Mark> MarksSince(const Readings* before, const Readings& now, int64_t time_ms) {
  std::vector<Mark> marks;
  if (before != nullptr && Number(now.one(Reading::kStat), "uptime_seconds") <
                               Number(before->one(Reading::kStat), "uptime_seconds")) {
    marks.push_back(
        {.time_ms = time_ms, .kind = "daemon", .subject = "cygnetd", .text = "was started anew"});
    before = nullptr;
  }
  if (before != nullptr) AddMoves(*before, now, &marks);
  for (const Json& device : now.of(Reading::kDevices)) {
    AddFaults(FindDevice(before, Text(device, "name")), device, time_ms, &marks);
  }
  return marks;
}

}  // namespace cygnet::web
