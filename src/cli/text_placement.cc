// Placements, their history, and the holders of keys.
#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

// "crypto nic0", "software openssl", "blocked".
std::string PlaceText(const Json& decision) {
  const std::string where = Text(decision, "where");
  return Text(decision, "effective") + (where.empty() ? "" : " " + where) +
         (decision.value("simulated", false) ? " (simulated)" : "");
}

std::string AskedText(const Json& decision) {
  const std::string by = Text(decision, "requested_by");
  const std::string requested = Text(decision, "requested");
  if (requested.empty() || by.empty()) return {};
  return fmt::format(", the {} requested {}", by, requested);
}

// "table-full (the device's SA table is full)".
std::string ReasonText(const Json& row) {
  return fmt::format("{} ({})", Text(row, "reason"), Text(row, "explanation"));
}

// ", really not-used: …".
std::string TruthText(const Json& decision) {
  const std::string really = Text(decision, "really");
  return really.empty() ? "" : ", really " + really;
}

// ", the CPU verifies one of 16 packets".
std::string VerifiedText(const Json& placement) {
  if (const std::string why = Text(placement, "not_verified"); !why.empty()) {
    return ", not verified: " + why;
  }
  const uint64_t one_of = Number(placement, "verified_one_of");
  return one_of == 0 ? "" : fmt::format(", the CPU verifies one of {} packets", one_of);
}

std::string HistoryLines(const Json& placement) {
  std::string text;
  for (const Json& row : Child(placement, "history")) {
    text +=
        fmt::format("\t\t{} {} at {}: {}{}\n", text.empty() ? "placed in" : "moved to",
                    PlaceText(row), TimeText(Number(row, "time")), ReasonText(row), TruthText(row));
  }
  return text;
}

// Lines by group, in the order in which the groups first appeared.
class Groups {
 public:
  void Add(const std::string& title, const std::string& line) {
    for (auto& [known, lines] : groups_) {
      if (known == title) {
        lines += line;
        return;
      }
    }
    groups_.emplace_back(title, line);
  }
  std::string Text() const {
    std::string text;
    for (const auto& [title, lines] : groups_) text += title + "\n" + lines;
    return text;
  }

 private:
  std::vector<std::pair<std::string, std::string>> groups_;
};

std::string HalfTitle(const Json& entry) {
  return fmt::format("src {} dst {} proto {} spi {} reqid {} dir {}", Text(entry, "src"),
                     Text(entry, "dst"), Text(entry, "proto"), Text(entry, "spi"),
                     Number(entry, "reqid"), Text(entry, "direction"));
}

std::string DecisionLine(const Json& entry) {
  return fmt::format("\t{} {}{}: {}{}\n", UtcText(Number(entry, "time_ms")), PlaceText(entry),
                     AskedText(entry), ReasonText(entry), TruthText(entry));
}

std::string HolderTitle(const Json& entry) {
  const std::string identity = Text(entry, "identity");
  return fmt::format("keys given to {} {}{}", Text(entry, "holder_kind"), Text(entry, "holder"),
                     identity.empty() ? "" : " (" + identity + ")");
}

std::string KeyLine(const Json& entry) {
  const uint64_t until = Number(entry, "until_ms");
  const std::string note = Text(entry, "note");
  std::string end = ", held now";
  if (until != 0) {
    end = fmt::format(" until {}, {}", UtcText(until),
                      entry.value("erased", false) ? "erased" : "not known to be erased");
  }
  return fmt::format("\tsrc {} dst {} spi {} dir {}: from {}{}{}\n", Text(entry, "src"),
                     Text(entry, "dst"), Text(entry, "spi"), Text(entry, "direction"),
                     UtcText(Number(entry, "from_ms")), end, note.empty() ? "" : ": " + note);
}

std::string SummaryLine(const Json& summary) {
  const std::string file = Text(summary, "file");
  const std::string error = Text(summary, "write_error");
  const uint64_t dropped = Number(summary, "dropped");
  std::string text = fmt::format("kept since {}", UtcText(Number(summary, "since_ms")));
  if (dropped != 0) text += fmt::format(", {} older entries dropped from memory", dropped);
  text += file.empty()    ? ", not written to a file"
          : error.empty() ? ", written to " + file
                          : fmt::format(", NO LONGER written to {}: {}", file, error);
  return text + "\n";
}

}  // namespace

std::string PlacementText(const Json& placement, const Ink& ink) {
  const std::string effective = Text(placement, "effective");
  const std::string requested = Text(placement, "requested");
  const std::string by = Text(placement, "requested_by");
  const bool software = effective == "software";
  const bool blocked = effective == "blocked";
  const bool engine = software || effective == "look-aside";
  std::string place = fmt::format("{} offload, device {}{}", effective, Text(placement, "device"),
                                  placement.value("simulated", false) ? " (simulated)" : "");
  if (engine) place = fmt::format("{}, engine {}", effective, Text(placement, "engine"));
  if (blocked) place = "blocked, no packet passes";
  std::string text =
      fmt::format("\tplacement {}: {}, since {}", Text(placement, "direction"),
                  ink.Paint(PlacementTone(placement), place), TimeText(Number(placement, "since")));
  const std::string asker = by.empty() ? "" : " by " + by;
  // A request that is not met gets the full explanation.
  if (blocked || (software && requested != "no" && !requested.empty())) {
    text += fmt::format(" — requested {}{}: {}", requested, asker, ReasonText(placement));
  } else {
    const std::string who = by.empty() ? "" : fmt::format("; {} requested {}", by, requested);
    text += fmt::format(" ({}{})", Text(placement, "reason"), who);
  }
  if (placement.value("pinned", false)) text += ", pinned";
  text += TruthText(placement) + VerifiedText(placement);
  if (const uint64_t age = Number(placement, "counters_age"); age != 0) {
    text += fmt::format(", counters {} s old", age);
  }
  return text + "\n" + HistoryLines(placement);
}

std::string ExplainText(const Json& explain, const Ink& ink) {
  const std::string device = Text(explain, "device");
  std::string text;
  for (const Json& row : Child(explain, "rows")) {
    const bool ok = row.value("ok", false);
    const std::string reason = Text(row, "reason");
    const std::string answer = ink.Paint(ok ? Tone::kGood : Tone::kBad, ok ? "yes" : "no ");
    text += fmt::format("{:<4}{} {:<16}{}{}\n", Text(row, "direction"), answer,
                        Text(row, "requirement"), Text(row, "explanation"),
                        reason.empty() ? "" : " (" + reason + ")");
  }
  for (const Json& verdict : Child(explain, "verdicts")) {
    text +=
        fmt::format("{:<4}{} by {}: such an SA would run in {}: {}\n", Text(verdict, "direction"),
                    verdict.value("offloaded", false) ? ink.Paint(Tone::kGood, "OFFLOADED")
                                                      : ink.Paint(Tone::kBad, "NOT offloaded"),
                    device, PlaceText(verdict), ReasonText(verdict));
  }
  return text;
}

std::string MoveText(const Json& move) {
  const uint64_t moved = Number(move, "moved");
  const uint64_t stayed = Number(move, "stayed");
  return fmt::format("moved {} {} of SAs in {:.1f} ms, {} blocked{}\n", moved,
                     moved == 1 ? "half" : "halves",
                     static_cast<double>(Number(move, "took_us")) / 1000, Number(move, "blocked"),
                     stayed == 0 ? "" : fmt::format(", {} stayed where they were", stayed));
}

std::string LedgerText(const std::vector<Json>& items) {
  Groups placements;
  Groups keys;
  std::string summary;
  for (const Json& item : items) {
    const std::string kind = Text(item, "kind");
    if (kind == "placement") placements.Add(HalfTitle(item), DecisionLine(item));
    if (kind == "key") keys.Add(HolderTitle(item), KeyLine(item));
    if (kind == "summary") summary = SummaryLine(item);
  }
  return placements.Text() + keys.Text() + summary;
}

}  // namespace cygnet
