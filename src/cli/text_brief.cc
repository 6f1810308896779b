// -br: one line for each entry. What is short and always there comes first; addresses come last, so
// that long ones do not move the columns.
#include <fmt/format.h>

#include <string_view>
#include <vector>

#include "cli/columns.h"
#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

using Row = std::vector<Cell>;

Cell Count(const Json& item, const char* field) {
  return {ShortCount(Number(item, field)), Tone::kPlain, Align::kRight};
}

uint64_t Total(const Json& counts) {
  uint64_t sum = 0;
  for (const auto& [name, value] : counts.items()) sum += value.get<uint64_t>();
  return sum;
}

// "crypto nic0", "software openssl", "blocked".
std::string PlaceOf(const Json& placement) {
  const std::string effective = Text(placement, "effective");
  const bool engine = effective == "software" || effective == "look-aside";
  const std::string where = Text(placement, engine ? "engine" : "device");
  return effective == "blocked" || where.empty() ? effective : effective + " " + where;
}

// So long that a line with IPv4 addresses fits 80 columns.
std::string Shortened(std::string text) {
  constexpr std::size_t kLongest = 18;
  if (text.size() <= kLongest) return text;
  text.resize(kLongest - 1);
  return text + "~";
}

// An SA that may be used in both directions has two halves, maybe in two places.
std::pair<Cell, Cell> DirectionAndPlace(const Json& sa) {
  const Json& halves = Child(sa, "placements");
  if (halves.empty()) return {{"-"}, {"-"}};
  const Json& first = halves[0];
  Cell place{PlaceOf(first), PlacementTone(first)};
  if (halves.size() == 1) return {{Text(first, "direction")}, place};
  const Json& second = halves[1];
  if (PlaceOf(second) != place.text) {
    place.text = Text(first, "effective") + "+" + Text(second, "effective");
    place.tone = std::max(place.tone, PlacementTone(second));
  }
  return {{"any"}, place};
}

Row SaRow(const Json& sa, bool statistics) {
  auto [direction, place] = DirectionAndPlace(sa);
  place.text = Shortened(place.text);
  const std::string state = Text(sa, "state");
  const uint64_t drops = Total(Child(sa, "drops"));
  Row row = {{Text(sa, "spi")}, direction, place, {state, StateTone(state)}};
  if (statistics) {
    const Json& usage = Child(sa, "usage");
    row.push_back(Count(usage, "packets"));
    row.push_back({ShortCount(Number(usage, "bytes")) + "B", Tone::kPlain, Align::kRight});
  }
  row.push_back({ShortCount(drops), drops == 0 ? Tone::kPlain : Tone::kBad, Align::kRight});
  row.push_back({Text(sa, "src") + " " + Text(sa, "dst")});
  return row;
}

Row PolicyRow(const Json& policy) {
  const std::string action = Text(policy, "action");
  std::string templates;
  for (const Json& tmpl : Child(policy, "templates")) {
    templates += fmt::format("{}{}/{}", templates.empty() ? "" : "+", Text(tmpl, "mode"),
                             Number(tmpl, "reqid"));
  }
  const bool in_clear = templates.empty() && action == "allow";
  return {{Text(policy, "dir")},
          {action, action == "block" ? Tone::kBad
                   : in_clear        ? Tone::kNotice
                                     : Tone::kGood},
          {std::to_string(Number(policy, "priority")), Tone::kPlain, Align::kRight},
          {templates.empty() ? "-" : templates},
          {Text(policy, "selector")}};
}

Row DeviceRow(const Json& device, bool statistics) {
  const std::string state = Text(device, "state");
  const std::string host = Text(Child(device, "host_side"), "state");
  const bool here = host.empty() || host == "present";
  const std::string wire = Text(Child(device, "link"), "state");
  const std::string link = !here ? "host-" + host : wire.empty() ? "-" : "link-" + wire;
  const Json& offload = Child(device, "offload");
  const bool disabled = device.value("disabled", false);
  const bool capable = offload.value("capable", false);
  const std::string mode = !capable ? "-" : disabled ? "disabled" : Text(offload, "mode");
  Row row = {{Text(device, "name")},
             {state.empty() ? "-" : state, state == "up" ? Tone::kGood : Tone::kNotice},
             {link, link == "link-up" ? Tone::kGood : Tone::kBad},
             {Text(device, "driver")},
             {mode, disabled ? Tone::kNotice : Tone::kPlain}};
  const uint64_t limit = Number(offload, "direction_limit");
  row.push_back({!capable ? "-"
                          : fmt::format("{}+{}/{} SAs", Number(offload, "outbound_used"),
                                        Number(offload, "inbound_used"), limit)});
  row.push_back({fmt::format("{} keys", Child(device, "held").size())});
  if (statistics) {
    const Json& counts = Child(device, "wire_stats");
    row.push_back({"rx " + ShortCount(Number(counts, "rx_packets"))});
    row.push_back({"tx " + ShortCount(Number(counts, "tx_packets"))});
    row.push_back({"lost " + ShortCount(Number(counts, "rx_dropped"))});
  }
  row.push_back({Text(device, "wire")});
  return row;
}

Row EngineRow(const Json& engine) {
  const uint64_t order = Number(engine, "order");
  const std::string denied = Text(engine, "denied");
  const bool failed = !Text(engine, "failure").empty();
  const bool bad = failed || !denied.empty();
  return {{Text(engine, "name")},
          {Text(engine, "kind")},
          {failed            ? "FAILED"
           : !denied.empty() ? denied
           : order == 0      ? "unused"
                             : fmt::format("in-use/{}", order),
           bad          ? Tone::kBad
           : order == 0 ? Tone::kPlain
                        : Tone::kGood},
          {fmt::format("{} halves", Number(engine, "sa_halves"))},
          {ShortCount(Number(engine, "jobs")) + " jobs"},
          {Text(engine, "version")}};
}

Row TunnelRow(const Json& tunnel) {
  const uint64_t if_id = Number(tunnel, "if_id");
  return {{Text(tunnel, "name")},
          {if_id != 0 ? fmt::format("if_id {:#x}", if_id) : "mark " + Text(tunnel, "mark")},
          {Text(tunnel, "device")},
          {fmt::format("mtu {}", Number(tunnel, "mtu"))},
          {fmt::format("{} SAs", Number(tunnel, "sas"))},
          {fmt::format("{} policies", Number(tunnel, "policies"))},
          {"rx " + ShortCount(Number(tunnel, "rx_packets"))},
          {"tx " + ShortCount(Number(tunnel, "tx_packets"))}};
}

void AddCounters(const Json& counters, const std::string& before, Counters which,
                 std::vector<Row>* rows) {
  for (const auto& [name, value] : counters.items()) {
    const auto count = value.get<uint64_t>();
    if (count == 0 && which == Counters::kNonZero) continue;
    Row row = {{name}, {std::to_string(count), Tone::kPlain, Align::kRight}};
    if (!before.empty()) row.push_back({before});
    rows->push_back(std::move(row));
  }
}

}  // namespace

std::string BriefText(const Arguments& arguments, const std::vector<Json>& items, const Ink& ink) {
  const auto which = arguments.HasLocal("all") ? Counters::kAll : Counters::kNonZero;
  std::vector<Row> rows;
  for (const Json& item : items) {
    switch (arguments.object) {
      case Object::kSa:
        rows.push_back(SaRow(item, arguments.statistics));
        break;
      case Object::kPolicy:
        rows.push_back(PolicyRow(item));
        break;
      case Object::kDevice:
        rows.push_back(DeviceRow(item, arguments.statistics));
        break;
      case Object::kEngine:
        rows.push_back(EngineRow(item));
        break;
      case Object::kTunnel:
        rows.push_back(TunnelRow(item));
        break;
      case Object::kStatSa:
        AddCounters(
            Child(item, "drops"),
            fmt::format("{} {} {}", Text(item, "spi"), Text(item, "src"), Text(item, "dst")), which,
            &rows);
        break;
      default:
        AddCounters(Child(item, "xfrm"), "", which, &rows);
        AddCounters(Child(item, "drops"), "", which, &rows);
    }
  }
  return InColumns(rows, ink);
}

}  // namespace cygnet
