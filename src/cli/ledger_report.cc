#include "cli/ledger_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "chain/utc_time.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr uint64_t kLastMs = 253'402'300'799'999;  // of the year 9999

uint64_t Count(const Json& json, const char* field) {
  const auto found = json.find(field);
  return found != json.end() && found->is_number_unsigned() ? found->get<uint64_t>() : 0;
}

// UTC, or the seconds of cygnetd 0.1 under the name `older`.
uint64_t Time(const Json& json, const char* field, const char* older) {
  const uint64_t seconds = std::min(Count(json, older), kLastMs / 1000);
  return ParseUtc(Word(json, field)).value_or(seconds * 1000);
}

Holding HoldingOf(const Json& record) {
  return {.host = Word(record, "host"),
          .holder = Word(record, "holder"),
          .kind = Word(record, "kind"),
          .identity = Word(record, "identity"),
          .src = Word(record, "src"),
          .dst = Word(record, "dst"),
          .spi = Word(record, "spi"),
          .proto = Count(record, "proto"),
          .direction = Word(record, "direction"),
          .from_ms = Time(record, "from", "from")};
}

std::string ProtocolName(uint64_t proto) {
  return proto == 50 ? "esp" : fmt::format("protocol {}", proto);
}

// "2026-…Z to 2026-…Z, out 192.0.2.1 > 192.0.2.2 esp spi 0x00001000: erased"
std::string HoldingText(const Holding& row) {
  return fmt::format("{} to {}, {} {} > {} {} spi {}: {}", UtcMsText(row.from_ms),
                     row.until_ms == 0 ? "unknown" : UtcMsText(row.until_ms), row.direction,
                     row.src, row.dst, ProtocolName(row.proto), row.spi, row.end);
}

Json JsonOf(const Holding& row) {
  return {{"host", row.host},
          {"holder", row.holder},
          {"holder_kind", row.kind},
          {"identity", row.identity},
          {"src", row.src},
          {"dst", row.dst},
          {"spi", row.spi},
          {"proto", ProtocolName(row.proto)},
          {"direction", row.direction},
          {"from", UtcMsText(row.from_ms)},
          {"until", row.until_ms == 0 ? "" : UtcMsText(row.until_ms)},
          {"erased", row.erased},
          {"end", row.end}};
}

}  // namespace

void LedgerReporter::Take(const LedgerFiles& ledger, const ChainVerdict& verdict) {
  held_.clear();
  for (const auto& [path, text] : ledger.files) {
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find('\n'), rest.size());
      if (end > 0) TakeLine(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
  EndHeld(0, "held when the ledger ends");
  const bool whole = verdict.problems.empty();
  is_whole_ = is_whole_ && whole;
  ledgers_.push_back({{"file", ledger.name},
                      {"host", verdict.host},
                      {"first", verdict.first},
                      {"last", verdict.last},
                      {"whole", whole},
                      {"keys", verdict.keys}});
  problems_.insert(problems_.end(), verdict.problems.begin(), verdict.problems.end());
  gaps_.insert(gaps_.end(), verdict.notes.begin(), verdict.notes.end());
}

void LedgerReporter::TakeLine(std::string_view line) {
  if (ChecksumOf(line) == Checksum::kWrong) return;  // the verdict names it
  const Json record = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!record.is_object()) return;
  const std::string event = Word(record, "event");
  if (event == "key-given" || event == "key-held" || event == "key-ended") {
    TakeKey(record, event);
  } else if (event == "start") {
    EndHeld(0, "unknown: cygnetd or its host failed; it began again at " +
                   UtcMsText(Time(record, "time", "t")));
  } else if (event == "group-gained" || event == "group-lost") {
    TakeGroup(record);
  }
}

void LedgerReporter::TakeKey(const Json& record, std::string_view event) {
  const uint64_t number = Count(record, "key");
  Holding holding = HoldingOf(record);
  if (event != "key-ended") {
    held_[number] = std::move(holding);
    return;
  }
  held_.erase(number);
  const auto erased = record.find("erased");
  holding.erased = erased != record.end() && erased->is_boolean() && erased->get<bool>();
  holding.until_ms = Time(record, "until", "until");
  const std::string note = Word(record, "note");
  holding.end = holding.erased ? "erased" : note.empty() ? "not erased" : note;
  Keep(std::move(holding));
}

void LedgerReporter::TakeGroup(const Json& record) {
  const uint64_t time = Time(record, "time", "t");
  if (time < query_.from_ms || time > query_.to_ms) return;
  Json row = {{"time", UtcMsText(time)}};
  for (const char* field : {"host", "event", "cluster", "group", "node", "incarnation"}) {
    row[field] = Word(record, field);
  }
  row["epoch"] = Count(record, "epoch");
  row["explanation"] = Word(record, "explanation");
  groups_.push_back(std::move(row));
}

void LedgerReporter::EndHeld(uint64_t until_ms, const std::string& end) {
  for (auto& [number, holding] : held_) {
    holding.until_ms = until_ms;
    holding.end = end;
    Keep(std::move(holding));
  }
  held_.clear();
}

void LedgerReporter::Keep(Holding holding) {
  const bool in_time = holding.from_ms <= query_.to_ms &&
                       (holding.until_ms == 0 || holding.until_ms >= query_.from_ms);
  const bool matches = (query_.holder.empty() || query_.holder == holding.holder) &&
                       (query_.spi.empty() || query_.spi == holding.spi) &&
                       (query_.dst.empty() || query_.dst == holding.dst);
  if (in_time && matches) holdings_.push_back(std::move(holding));
}

void LedgerReporter::Finish() {
  std::stable_sort(holdings_.begin(), holdings_.end(), [](const Holding& a, const Holding& b) {
    return std::tie(a.host, a.holder, a.identity, a.from_ms) <
           std::tie(b.host, b.holder, b.identity, b.from_ms);
  });
  std::stable_sort(groups_.begin(), groups_.end(),
                   [](const Json& a, const Json& b) { return Word(a, "time") < Word(b, "time"); });
}

Json LedgerReporter::AsJson() const {
  Json keys = Json::array();
  for (const Holding& row : holdings_) keys.push_back(JsonOf(row));
  return {{"from", query_.from_ms == 0 ? "" : UtcMsText(query_.from_ms)},
          {"to", query_.to_ms > kLastMs ? "" : UtcMsText(query_.to_ms)},
          {"ledgers", ledgers_},
          {"keys", keys},
          {"groups", groups_},
          {"gaps", FindingsJson(gaps_)},
          {"problems", FindingsJson(problems_)}};
}

std::string LedgerReporter::AsText() const {
  std::string text;
  for (const Json& row : ledgers_) {
    text += fmt::format("ledger {} of {}: records {} to {}, {}\n", Word(row, "file"),
                        Word(row, "host"), Count(row, "first"), Count(row, "last"),
                        row.value("whole", false) ? "whole" : "NOT WHOLE");
  }
  for (const ChainFinding& row : problems_) text += "\tPROBLEM: " + FindingText(row) + "\n";
  for (const ChainFinding& row : gaps_) text += "\tgap: " + FindingText(row) + "\n";
  std::string holder;
  for (const Holding& row : holdings_) {
    std::string now = fmt::format("{} {} on {}{}\n", row.kind, row.holder, row.host,
                                  row.identity.empty() ? "" : ": " + row.identity);
    if (now != holder) text += now;
    holder = std::move(now);
    text += "\t" + HoldingText(row) + "\n";
  }
  if (holdings_.empty()) text += "no key was held in this time, as far as these files say\n";
  for (const Json& row : groups_) {
    text += fmt::format("{} {} {} {} epoch {}: {}\n", Word(row, "time"), Word(row, "node"),
                        Word(row, "event"), Word(row, "group"), Count(row, "epoch"),
                        Word(row, "explanation"));
  }
  return text;
}

Json FindingsJson(const std::vector<ChainFinding>& findings) {
  Json rows = Json::array();
  for (const ChainFinding& row : findings) {
    rows.push_back({{"file", row.file}, {"line", row.line}, {"text", row.text}});
  }
  return rows;
}

std::string FindingText(const ChainFinding& finding) {
  return finding.line == 0 ? fmt::format("{}: {}", finding.file, finding.text)
                           : fmt::format("{}:{}: {}", finding.file, finding.line, finding.text);
}

}  // namespace cygnet
