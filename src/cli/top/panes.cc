// The tables of SAs, devices, workers and drops.
#include <fmt/format.h>

#include <algorithm>

#include "cli/top/figures.h"
#include "cli/top/layout.h"

namespace cygnet::top {
namespace {

double Since(uint64_t then, const View& view) {
  return static_cast<double>(view.time_ms) / 1000 - static_cast<double>(then);
}

std::string RateText(double rate, const View& view) {
  return view.seconds > 0 ? Short(rate) : "...";
}

Style StyleOf(const SaRow& row) {
  if (row.effective == "blocked") return Style::kBad;
  if (row.effective == "crypto" || row.effective == "packet") return Style::kGood;
  return Style::kPlain;
}

Cell DropsCell(const SaRow& row) {
  if (row.drops == 0) return {.text = "0"};
  return {.text = Short(static_cast<double>(row.drops)),
          .style = row.drops_per_second > 0 ? Style::kBad : Style::kWarning};
}

Cell LateCell(const SaRow& row) {
  if (row.late == 0) return {.text = row.direction == "in" ? "0" : "-"};
  return {.text = fmt::format("{}{}", row.late, row.window_short ? "!" : ""),
          .style = row.window_short ? Style::kWarning : Style::kPlain};
}

Cell LeftCell(const SaRow& row) {
  constexpr double kSoon = 60;
  if (!row.ends_by) return {.text = "-"};
  return {.text = Span(row.ends_by->seconds_left),
          .style = row.ends_by->seconds_left < kSoon ? Style::kWarning : Style::kPlain};
}

// Of a screen that has room for the engine behind "software".
constexpr std::size_t kWide = 90;

// In the order of SaCells. `width`: of the screen.
std::vector<Column> SaColumns(std::size_t width) {
  const std::size_t where = width >= kWide ? 17 : 11;
  return {
      {.title = "DIR", .width = 3, .most = 3, .right = false, .importance = 80},
      {.title = "SRC", .width = 12, .most = 39, .right = false, .importance = 15},
      {.title = "DST", .width = 11, .most = 39, .right = false, .importance = 70},
      {.title = "SPI", .width = 10, .most = 10, .right = false, .importance = 100},
      {.title = "WHERE", .width = where, .most = 24, .right = false, .importance = 85},
      {.title = "FOR", .width = 5, .most = 6, .right = true, .importance = 45},
      {.title = "PKT/S", .width = 5, .most = 6, .right = true, .importance = 60},
      {.title = "BIT/S", .width = 5, .most = 6, .right = true, .importance = 90},
      {.title = "DROPS", .width = 5, .most = 6, .right = true, .importance = 55},
      {.title = "LATE", .width = 5, .most = 8, .right = true, .importance = 40},
      {.title = "AGE", .width = 5, .most = 6, .right = true, .importance = 35},
      {.title = "LEFT", .width = 5, .most = 6, .right = true, .importance = 50},
      {.title = "STATE", .width = 6, .most = 8, .right = false, .importance = 20},
      {.title = "WHY", .width = 12, .most = 40, .right = false, .importance = 18},
      {.title = "DROPPED FOR", .width = 14, .most = 32, .right = false, .importance = 10},
  };
}

Cells SaCells(const SaRow& row, const View& view, std::size_t width) {
  const bool short_name = width < kWide && row.effective == "software";
  return {{.text = row.direction},
          {.text = row.src},
          {.text = row.dst},
          {.text = row.spi},
          {.text = short_name ? row.effective : row.place, .style = StyleOf(row)},
          {.text = row.since == 0 ? "-" : Span(Since(row.since, view))},
          {.text = RateText(row.packets_per_second, view)},
          {.text = RateText(row.bits_per_second, view)},
          DropsCell(row),
          LateCell(row),
          {.text = row.added == 0 ? "-" : Span(Since(row.added, view))},
          LeftCell(row),
          {.text = row.state, .style = row.state == "valid" ? Style::kPlain : Style::kWarning},
          {.text = row.reason},
          {.text = row.drop_reason}};
}

}  // namespace

std::vector<Line> SaTable(const View& view, const std::vector<const SaRow*>& rows,
                          std::size_t columns, long selected) {
  std::vector<Cells> cells;
  cells.reserve(rows.size());
  for (const SaRow* row : rows) cells.push_back(SaCells(*row, view, columns));
  return Table(SaColumns(columns), cells, columns, selected);
}

Line SaLine(const SaRow& row, const View& view) {
  std::string text = fmt::format("{} {} > {}: {}", row.direction, row.src, row.dst, row.place);
  if (!row.reason.empty()) text += fmt::format(" ({})", row.reason);
  if (row.since != 0) text += fmt::format(" for {}", Span(Since(row.since, view)));
  if (row.drops != 0) text += fmt::format(", drops {} {}", row.drops, row.drop_reason);
  if (row.late != 0) text += fmt::format(", late by {} of {}", row.late, row.window);
  if (row.ends_by) {
    text += fmt::format(", {} in {}", row.ends_by->name, Span(row.ends_by->seconds_left));
  }
  return {{.text = std::move(text)}};
}

std::vector<Line> DevicePane(const View& view, std::size_t columns) {
  static const std::vector<Column> heads = {
      {.title = "DEVICE", .width = 6, .most = 16, .right = false, .importance = 100},
      {.title = "WIRE", .width = 6, .most = 16, .right = false, .importance = 20},
      {.title = "STATE", .width = 9, .most = 12, .right = false, .importance = 90},
      {.title = "SLOTS", .width = 9, .most = 13, .right = true, .importance = 80},
      {.title = "SEALED/S", .width = 8, .most = 8, .right = true, .importance = 70},
      {.title = "OPENED/S", .width = 8, .most = 8, .right = true, .importance = 60},
      {.title = "GUARD", .width = 6, .most = 8, .right = true, .importance = 50}};
  std::vector<Cells> rows;
  for (const DeviceRow& row : view.devices) {
    const bool well = row.faults.empty() && row.state == "up";
    const bool full = row.offloads && row.slots_limit != 0 && row.slots_used >= row.slots_limit;
    rows.push_back(
        {{.text = row.name},
         {.text = row.wire},
         {.text = row.state, .style = well ? Style::kGood : Style::kBad},
         {.text = !row.offloads          ? "-"
                  : row.slots_limit == 0 ? fmt::format("{}", row.slots_used)
                                         : fmt::format("{}/{}", row.slots_used, row.slots_limit),
          .style = full ? Style::kWarning : Style::kPlain},
         {.text = row.offloads ? RateText(row.sealed_per_second, view) : "-"},
         {.text = row.offloads ? RateText(row.opened_per_second, view) : "-"},
         {.text = fmt::format("{}", row.guard_hits),
          .style = row.guard_hits != 0 ? Style::kBad : Style::kPlain}});
  }
  std::vector<Line> lines = Table(heads, rows, columns);
  for (const DeviceRow& row : view.devices) {
    for (const std::string& fault : row.faults) {
      for (Line& line : Wrapped(fmt::format("{}: {}", row.name, fault), columns)) {
        for (Piece& piece : line) piece.style = Style::kBad;
        lines.push_back(std::move(line));
      }
    }
  }
  return lines;
}

std::vector<Line> WorkerPane(const View& view, std::size_t columns) {
  constexpr std::size_t kBar = 20;
  constexpr double kHigh = 0.9;
  static const std::vector<Column> heads = {
      {.title = "WORKER", .width = 6, .most = 6, .right = true, .importance = 100},
      {.title = "BUSY", .width = 4, .most = 4, .right = true, .importance = 90},
      {.title = "", .width = kBar, .most = kBar, .right = false, .importance = 70},
      {.title = "PKT/S", .width = 6, .most = 6, .right = true, .importance = 80}};
  std::vector<Cells> rows;
  for (const WorkerRow& row : view.workers) {
    const Style style = row.busy >= kHigh ? Style::kWarning : Style::kPlain;
    const std::string busy =
        view.seconds > 0 ? fmt::format("{:.0f}%", row.busy * 100) : std::string("...");
    rows.push_back({{.text = fmt::format("{}", row.number)},
                    {.text = busy, .style = style},
                    {.text = std::string(static_cast<std::size_t>(row.busy * kBar + 0.5), '#'),
                     .style = style},
                    {.text = RateText(row.packets_per_second, view)}});
  }
  return Table(heads, rows, columns);
}

std::vector<Line> DropPane(const View& view, std::size_t columns) {
  static const std::vector<Column> heads = {
      {.title = "DROPPED FOR", .width = 20, .most = 40, .right = false, .importance = 100},
      {.title = "PKT/S", .width = 6, .most = 6, .right = true, .importance = 80},
      {.title = "PACKETS", .width = 10, .most = 20, .right = true, .importance = 90}};
  std::vector<Cells> rows;
  for (const DropRow& row : view.drops) {
    rows.push_back({{.text = row.reason},
                    {.text = RateText(row.per_second, view),
                     .style = row.per_second > 0 ? Style::kBad : Style::kPlain},
                    {.text = fmt::format("{}", row.count)}});
  }
  std::vector<Line> lines = Table(heads, rows, columns);
  if (rows.empty()) lines.push_back(Cut({{.text = "nothing was dropped"}}, columns));
  return lines;
}

}  // namespace cygnet::top
