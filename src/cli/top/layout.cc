#include "cli/top/layout.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "cli/top/figures.h"

namespace cygnet::top {
namespace {

// Below these the screen has room for rows only.
constexpr std::size_t kRowsForHeader = 8;
constexpr std::size_t kRowsForSaLine = 14;

constexpr std::string_view kHelp = R"(up, down, j, k     choose an SA, or scroll
Page Up, Page Down, Home, End
Enter              all about the chosen SA
Esc                back; drops the filter
Tab                SAs, devices, workers, drops
/                  filter: words that a row has
s, <, >            sort by the next or previous column
r                  reverse the order
d                  delay between two readings
p, space           pause
q                  quit

DIR    in or out; WHERE the cryptography runs, and FOR how long
LATE   packets were late by so many numbers; "!": more than the replay window
LEFT   until the SA reaches a limit, at this rate
BUSY   share of time in which a worker moved packets
GUARD  packets that the seal guard stopped)";

std::string ClockText(int64_t time_ms) {
  const auto time = static_cast<time_t>(time_ms / 1000);
  tm parts{};
  char text[16] = "";
  if (localtime_r(&time, &parts) != nullptr) strftime(text, sizeof text, "%H:%M:%S", &parts);
  return text;
}

Line Item(std::string text, Style style = Style::kPlain) {
  return {{.text = std::move(text), .style = style}};
}

std::string TrafficText(const char* name, const Traffic& traffic) {
  return fmt::format("{} {} pkt/s {}bit/s", name, Short(traffic.packets_per_second),
                     Short(traffic.bits_per_second));
}

Line DeviceItem(const DeviceRow& row) {
  const bool well = row.faults.empty() && row.state == "up";
  Line item = {{.text = row.name + " "}, {.text = row.state, .style = Style::kGood}};
  if (!well) item.back().style = Style::kBad;
  if (row.slots_limit != 0) {
    item.push_back({.text = fmt::format(" {}/{} slots", row.slots_used, row.slots_limit)});
  }
  if (row.guard_hits != 0) {
    item.push_back({.text = fmt::format(" guard {}", row.guard_hits), .style = Style::kBad});
  }
  return item;
}

Line PlacesItem(const View& view) {
  std::string text = fmt::format("{} SA{}", view.all_sas, view.all_sas == 1 ? "" : "s");
  const char* before = ": ";
  for (const auto& [effective, count] : view.places) {
    text += fmt::format("{}{} {}", std::exchange(before, ", "), count, effective);
  }
  return Item(std::move(text), view.places.count("blocked") != 0 ? Style::kBad : Style::kPlain);
}

Line DropsItem(const View& view) {
  double rate = 0;
  for (const DropRow& row : view.drops) rate += row.per_second;
  if (rate == 0) return Item("drops 0/s");
  return Item(fmt::format("drops {}/s {}", Short(rate), view.drops.front().reason), Style::kBad);
}

std::vector<Line> HeaderItems(const View& view, const State& state) {
  std::vector<Line> items;
  if (!view.error.empty()) {
    items.push_back(Item("NO DATA: " + view.error + "; trying again", Style::kBad));
    return items;
  }
  std::string workers;
  for (const WorkerRow& row : view.workers) {
    workers += fmt::format(" {:.0f}%", row.busy * 100);
  }
  items.push_back(Item(fmt::format("cygnetd up {}", Span(static_cast<double>(view.uptime_seconds))),
                       Style::kStrong));
  items.push_back(Item(ClockText(view.time_ms)));
  items.push_back(PlacesItem(view));
  items.push_back(Item("busy" + workers));
  items.push_back(Item(TrafficText("out", view.out)));
  items.push_back(Item(TrafficText("in", view.in)));
  items.push_back(DropsItem(view));
  constexpr std::size_t kMostDevices = 6;
  for (std::size_t i = 0; i < std::min(view.devices.size(), kMostDevices); ++i) {
    items.push_back(DeviceItem(view.devices[i]));
  }
  if (state.paused) items.push_back(Item("PAUSED", Style::kWarning));
  if (view.seconds == 0) items.push_back(Item("no rates yet", Style::kDim));
  if (view.read_every > 0) {
    items.push_back(Item(fmt::format("read every {:.1f} s", view.read_every), Style::kWarning));
  }
  return items;
}

std::vector<Line> Header(const View& view, const State& state, const Size& size) {
  std::vector<Line> lines = Flowing(HeaderItems(view, state), size.columns);
  // At most a third of the screen.
  const std::size_t most = size.rows < kRowsForHeader ? 1 : std::max<std::size_t>(1, size.rows / 3);
  if (lines.size() > most) lines.resize(most);
  return lines;
}

Line Footer(const State& state, std::size_t shown, const Size& size) {
  if (state.prompt == Prompt::kFilter)
    return Cut(Item("filter: " + state.typed + "_"), size.columns);
  if (state.prompt == Prompt::kDelay) {
    return Cut(Item("delay in seconds: " + state.typed + "_"), size.columns);
  }
  if (!state.note.empty()) return Cut(Item(state.note, Style::kBad), size.columns);
  if (state.detail || state.help) return Cut(Item("Esc back  q back", Style::kDim), size.columns);
  static constexpr const char* kPanes[] = {"SAs", "devices", "workers", "drops"};
  std::string text = fmt::format("{}", kPanes[static_cast<std::size_t>(state.pane)]);
  if (state.pane == Pane::kSas) {
    text += fmt::format(" {} by {}{}", shown, Name(state.sort), state.reversed ? ", reversed" : "");
    if (!state.filter.empty()) text += fmt::format(" with \"{}\"", state.filter);
  }
  return Cut(Item(text + "  Tab Enter / s r d p ? q", Style::kDim), size.columns);
}

void Append(std::vector<Line> more, std::vector<Line>* lines) {
  for (Line& line : more) lines->push_back(std::move(line));
}

// `scroll` beyond the end shows the last page.
std::vector<Line> Scrolled(std::vector<Line> lines, std::size_t scroll, std::size_t room) {
  const std::size_t last = lines.size() - std::min(lines.size(), room);
  lines.erase(lines.begin(), lines.begin() + static_cast<long>(std::min(scroll, last)));
  if (lines.size() > room) lines.resize(room);
  return lines;
}

std::vector<Line> HelpLines(std::size_t columns) {
  std::vector<Line> lines;
  for (std::string_view rest = kHelp; !rest.empty();) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    Append(Wrapped(rest.substr(0, end), columns), &lines);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return lines;
}

std::vector<Line> SaBody(const View& view, const State& state,
                         const std::vector<const SaRow*>& rows, std::size_t room,
                         std::size_t columns, bool with_line) {
  const std::size_t page = room - std::min<std::size_t>(room, 1 + (with_line ? 1 : 0));
  const std::size_t first = std::min(state.first, rows.size());
  const std::size_t end = std::min(rows.size(), first + page);
  const std::vector<const SaRow*> shown(rows.begin() + static_cast<long>(first),
                                        rows.begin() + static_cast<long>(end));
  std::vector<Line> lines =
      SaTable(view, shown, columns, static_cast<long>(state.at) - static_cast<long>(first));
  if (rows.empty() && view.error.empty()) {
    const char* text = view.all_sas == 0 ? "no SA exists: key management or \"ip xfrm\" adds them"
                                         : "no SA passes the filter: Esc drops it";
    Append(Wrapped(text, columns), &lines);
  }
  if (with_line && !rows.empty()) {
    lines.resize(1 + page);
    lines.push_back(Cut(SaLine(*rows[state.at], view), columns));
  }
  return lines;
}

}  // namespace

std::size_t PageOf(const View& view, const State& state, const Size& size) {
  const std::size_t others = Header(view, state, size).size() + 2 +  // heads, footer
                             (size.rows >= kRowsForSaLine ? 1 : 0);
  return size.rows - std::min(size.rows, others);
}

std::vector<Line> Screen(const View& view, const State& state,
                         const std::vector<const SaRow*>& rows, const Detail& detail,
                         const Size& size) {
  std::vector<Line> lines = Header(view, state, size);
  const std::size_t room = size.rows - std::min(size.rows, lines.size() + 1);
  const auto part = [&](std::vector<Line> body) {
    Append(Scrolled(std::move(body), state.scroll, room), &lines);
  };
  if (state.help) {
    part(HelpLines(size.columns));
  } else if (state.detail) {
    // Not of `rows`: a filter may hide it.
    const auto row = std::find_if(view.sas.begin(), view.sas.end(),
                                  [&state](const SaRow& one) { return one.key == state.selected; });
    part(DetailLines(row == view.sas.end() ? nullptr : &*row, detail, view, size.columns));
  } else if (state.pane == Pane::kDevices) {
    part(DevicePane(view, size.columns));
  } else if (state.pane == Pane::kWorkers) {
    part(WorkerPane(view, size.columns));
  } else if (state.pane == Pane::kDrops) {
    part(DropPane(view, size.columns));
  } else {
    Append(SaBody(view, state, rows, room, size.columns, size.rows >= kRowsForSaLine), &lines);
  }
  lines.resize(size.rows - std::min<std::size_t>(size.rows, 1));
  lines.push_back(Footer(state, rows.size(), size));
  return lines;
}

std::vector<Line> Whole(const View& view, const State& state, std::size_t columns) {
  std::vector<Line> lines = Flowing(HeaderItems(view, state), columns);
  const std::vector<const SaRow*> rows = Arrange(view, state);
  lines.emplace_back();
  Append(SaTable(view, rows, columns, -1), &lines);
  if (rows.empty()) {
    lines.push_back(
        Cut(Item(view.all_sas == 0 ? "no SA exists" : "no SA passes the filter"), columns));
  }
  for (auto* pane : {DevicePane, WorkerPane, DropPane}) {
    lines.emplace_back();
    Append(pane(view, columns), &lines);
  }
  return lines;
}

}  // namespace cygnet::top
