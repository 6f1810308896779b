#include "client/flows.h"

#include "client/json_fields.h"

namespace cygnet {
namespace {

uint64_t DropsOf(const Json& sa) {
  uint64_t sum = 0;
  for (const auto& [reason, count] : Child(sa, "drops").items()) sum += count.get<uint64_t>();
  return sum;
}

Counted RiseOf(const Interval& interval, const std::string& key) {
  if (interval.before == nullptr) return {};
  const auto now = interval.now->sas.find(key);
  if (now == interval.now->sas.end()) return {};
  const auto before = interval.before->sas.find(key);
  const Counted was = before == interval.before->sas.end() ? Counted{} : before->second;
  return {.packets = Rise(was.packets, now->second.packets),
          .bytes = Rise(was.bytes, now->second.bytes),
          .drops = Rise(was.drops, now->second.drops)};
}

}  // namespace

std::string SaKey(const Json& sa) {
  return Text(sa, "src") + " " + Text(sa, "dst") + " " + Text(sa, "proto") + " " + Text(sa, "spi");
}

std::string UsedDirection(const Json& sa) {
  const Json& halves = Child(sa, "placements");
  if (halves.size() == 1) return Text(halves.front(), "direction");
  if (const std::string set = Text(sa, "direction"); !set.empty()) return set;
  const Json& replay = Child(sa, "replay");
  return Number(replay, "seq") > Number(replay, "oseq") ? "in" : "out";
}

Counts Counts::Of(const Readings& readings) {
  Counts counts;
  for (const Json& sa : readings.of(Reading::kSas)) {
    const Json& usage = Child(sa, "usage");
    counts.sas[SaKey(sa)] = {
        .packets = Number(usage, "packets"), .bytes = Number(usage, "bytes"), .drops = DropsOf(sa)};
  }
  for (const auto& [reason, count] : Child(readings.one(Reading::kStat), "drops").items()) {
    counts.drops[reason] = count.get<uint64_t>();
  }
  for (const Json& device : readings.of(Reading::kDevices)) {
    const Json& offload = Child(device, "offload");
    if (!offload.value("capable", false)) continue;
    counts.sealed_opened[Text(device, "name")] = {Number(offload, "sealed"),
                                                  Number(offload, "opened")};
  }
  return counts;
}

std::vector<Flow> FlowsOf(const Interval& interval) {
  std::vector<Flow> flows;
  for (const Json& sa : interval.readings->of(Reading::kSas)) {
    const std::string used = UsedDirection(sa);
    const Counted rise = RiseOf(interval, SaKey(sa));
    for (const Json& half : Child(sa, "placements")) {
      const bool moving = Text(half, "direction") == used;
      const double seconds = moving ? interval.seconds : 0.0;
      flows.push_back({.sa = &sa,
                       .half = &half,
                       .packets = Rate(rise.packets, seconds),
                       .bits = 8 * Rate(rise.bytes, seconds),
                       .drops = Rate(rise.drops, seconds),
                       .unused = !moving && Number(Child(sa, "usage"), "packets") > 0});
    }
  }
  return flows;
}

}  // namespace cygnet
