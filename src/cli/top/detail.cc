// Drill-down into one SA.
#include <fmt/format.h>

#include <algorithm>

#include "cli/printable.h"
#include "cli/text.h"
#include "cli/top/figures.h"
#include "cli/top/layout.h"
#include "client/json_fields.h"

namespace cygnet::top {
namespace {

class Page {
 public:
  explicit Page(std::size_t columns) : columns_(columns) {}

  void Head(std::string_view text) {
    if (!lines_.empty()) lines_.emplace_back();
    lines_.push_back(Cut({{.text = std::string(text), .style = Style::kStrong}}, columns_));
  }
  void Add(std::string_view text, Style style = Style::kPlain) {
    for (Line& line : Wrapped(text, columns_)) {
      for (Piece& piece : line) piece.style = style;
      lines_.push_back(std::move(line));
    }
  }
  // Lines of a report; tabs become two spaces.
  void AddReport(std::string_view text) {
    while (!text.empty()) {
      const std::size_t end = std::min(text.find('\n'), text.size());
      std::string line;
      for (const char c : text.substr(0, end))
        line += c == '\t' ? std::string("  ") : std::string(1, c);
      Add(line);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
  }
  std::size_t columns() const { return columns_; }
  std::vector<Line> Take() { return std::move(lines_); }

 private:
  const std::size_t columns_;
  std::vector<Line> lines_;
};

std::string LeftText(const Limit& limit) {
  if (limit.used >= limit.limit) return "reached";
  if (limit.seconds_left == Limit::kNever) return "not at this rate";
  if (limit.seconds_left > Limit::kFar) return "in more than ten years";
  return "in " + Span(limit.seconds_left);
}

void AddLimits(const Json& sa, const SaRow& row, const View& view, Page* page) {
  page->Head("Limits, and when they are reached at this rate");
  const auto limits = LimitsOf(sa, {.packets_per_second = row.packets_per_second,
                                    .bits_per_second = row.bits_per_second,
                                    .now = static_cast<uint64_t>(view.time_ms / 1000)});
  for (const Limit& limit : limits) {
    const bool seconds = limit.name.ends_with("seconds");
    const auto amount = [seconds](double value) { return seconds ? Span(value) : Short(value); };
    page->Add(fmt::format("  {:<17} {:>5} of {:>5} {:>4.0f}%  {}", limit.name, amount(limit.used),
                          amount(limit.limit), 100 * limit.used / std::max(1.0, limit.limit),
                          LeftText(limit)),
              limit.used >= limit.limit ? Style::kWarning : Style::kPlain);
  }
}

void AddLateness(const Json& sa, Page* page) {
  const Json& buckets = Child(sa, "lateness");
  if (buckets.empty()) return;
  const uint64_t window = Number(sa, "replay_window");
  page->Head(fmt::format("How late packets came, by numbers (replay window {})", window));
  uint64_t most = 1;
  for (const Json& bucket : buckets) {
    most = std::max(most, Number(bucket, "accepted") + Number(bucket, "rejected"));
  }
  const std::size_t room = page->columns() > 60 ? 30 : 10;
  for (const Json& bucket : buckets) {
    const uint64_t from = Number(bucket, "from");
    const uint64_t rejected = Number(bucket, "rejected");
    const uint64_t count = Number(bucket, "accepted") + rejected;
    const std::string bar(
        static_cast<std::size_t>(static_cast<double>(count) / static_cast<double>(most) *
                                 static_cast<double>(room)) +
            (count != 0 ? 1 : 0),
        '#');
    page->Add(fmt::format("  {:>6}-{:<6} {:>6} {}{}", from, from == 0 ? 0 : 2 * from - 1,
                          Short(static_cast<double>(count)), bar,
                          rejected == 0 ? "" : fmt::format(" {} rejected", rejected)),
              rejected == 0 ? Style::kPlain : Style::kWarning);
  }
  page->Add(fmt::format("  a replay window of {} accepts all", Number(sa, "window_for_all")));
}

void AddRates(const SaRow& row, const View& view, Page* page) {
  page->Head(fmt::format("{} SA {} > {} spi {}", row.direction, row.src, row.dst, row.spi));
  if (view.seconds > 0) {
    page->Add(fmt::format("  {} packets/s, {}bit/s, {} drops/s", Short(row.packets_per_second),
                          Short(row.bits_per_second), Short(row.drops_per_second)));
  }
}

// The SA among those with this SPI and destination.
const Json* Find(const std::vector<Json>& sas, const std::string& key) {
  const auto found = std::find_if(
      sas.begin(), sas.end(), [&key](const Json& sa) { return key.starts_with(SaKey(sa) + " "); });
  return found == sas.end() ? nullptr : &*found;
}

}  // namespace

std::vector<Line> DetailLines(const SaRow* row, const Detail& detail, const View& view,
                              std::size_t columns) {
  Page page(columns);
  const Json* sa = row == nullptr ? nullptr : Find(detail.sas, row->key);
  if (row != nullptr) AddRates(*row, view, &page);
  if (row == nullptr && view.error.empty()) {
    page.Head("The SA is gone.");
  } else if (sa == nullptr && detail.error.empty()) {
    page.Add(detail.read ? "the daemon does not have it any more" : "reading ...", Style::kDim);
  }
  if (!detail.error.empty()) page.Add("NO DATA: " + Printable(detail.error), Style::kBad);
  if (sa != nullptr) {
    AddLimits(*sa, *row, view, &page);
    AddLateness(*sa, &page);
    page.Head("All about it");
    page.AddReport(SaText(*sa));
  }
  if (!detail.ledger.empty()) {
    page.Head("Where it ran, and who held its key");
    page.AddReport(LedgerText(detail.ledger));
  }
  return page.Take();
}

}  // namespace cygnet::top
