#include "web/marks.h"

#include <map>
#include <set>

#include "client/json_fields.h"

namespace cygnet::web {
namespace {

std::string HalfName(const Json& entry) {
  return Text(entry, "src") + " > " + Text(entry, "dst") + " spi " + Text(entry, "spi") + " " +
         Text(entry, "direction");
}

std::string Place(const Json& entry) {
  const std::string where = Text(entry, "where");
  return Text(entry, "effective") + (where.empty() ? "" : " " + where);
}

// The first placement of a half, and its end, are not moves.
void AddMoves(const Readings* before, const Readings& now, std::vector<Mark>* marks) {
  std::set<std::string> known;
  if (before != nullptr) {
    for (const Json& entry : before->of(Reading::kLedger)) {
      if (Text(entry, "kind") == "placement") known.insert(entry.dump());
    }
  }
  std::map<std::string, std::string> last;
  for (const Json& entry : now.of(Reading::kLedger)) {
    if (Text(entry, "kind") != "placement") continue;
    const std::string half = HalfName(entry);
    const auto earlier = last.find(half);
    const bool move = earlier != last.end() && Text(entry, "effective") != "removed" &&
                      earlier->second != Place(entry);
    if (move && known.count(entry.dump()) == 0) {
      marks->push_back(
          {.time_ms = static_cast<int64_t>(Number(entry, "time_ms")),
           .kind = "move",
           .subject = half,
           .text = earlier->second + " to " + Place(entry) + ": " + Text(entry, "reason")});
    }
    last[half] = Place(entry);
  }
}

// What is wrong with a device, by kind.
std::map<std::string, std::string> FaultsOf(const Json& device) {
  std::map<std::string, std::string> faults;
  const std::string state = Text(device, "state");
  const Json& offload = Child(device, "offload");
  if (offload.value("capable", false) && !state.empty() && state != "up") {
    const std::string failure = Text(device, "failure");
    faults["state"] = "its offload unit is " + state + (failure.empty() ? "" : ": " + failure);
  }
  const std::string link = Text(Child(device, "link"), "state");
  if (!link.empty() && link != "up") {
    const std::string explanation = Text(Child(device, "link"), "explanation");
    faults["link"] =
        "the link of its wire is " + link + (explanation.empty() ? "" : ": " + explanation);
  }
  const std::string caught = Text(Child(device, "shadow"), "caught");
  if (!caught.empty()) faults["caught"] = "caught: " + caught;
  const std::string denied = Text(device, "denied");
  if (!denied.empty()) {
    faults["denied"] = "it gets no keys: " + Text(device, "denied_explanation");
  }
  if (Text(Child(device, "fence"), "state") == "broken") {
    faults["fence"] =
        "the fence of its wire is broken: " + Text(Child(device, "fence"), "explanation");
  }
  return faults;
}

uint64_t GuardHits(const Json& device) {
  const Json& guard = Child(device, "guard");
  return Number(guard, "clear_stopped") + Number(guard, "unsealed_stopped") +
         Number(guard, "engine_unsealed");
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
  AddMoves(before, now, &marks);
  for (const Json& device : now.of(Reading::kDevices)) {
    AddFaults(FindDevice(before, Text(device, "name")), device, time_ms, &marks);
  }
  return marks;
}

}  // namespace cygnet::web
