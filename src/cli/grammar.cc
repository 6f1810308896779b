#include "cli/grammar.h"

#include <algorithm>
#include <string>
#include <vector>

#include "cli/grammar_rows.h"

namespace cygnet {
namespace {

constexpr const ObjectRow* kObjects[] = {
    &kSaRow,          &kPolicyRow,  &kDeviceRow, &kStatRow,     &kCaptureRow, &kExecRow,
    &kEngineRow,      &kMtuRow,     &kFipsRow,   &kDoctorRow,   &kLedgerRow,  &kOffloadRow,
    &kPlacementRow,   &kMetricsRow, &kSimRow,    &kReloadRow,   &kStoredRow,  &kClusterRow,
    &kExtcapRow,      &kTunnelRow,  &kTopRow,    &kMonitorRow,  &kWhyRow,     &kWebRow,
    &kConformanceRow, &kVersionRow, &kHelpRow,   &kCompleteRow,
};

constexpr OptionRow kOptions[] = {
    {Option::kJson, kUsesJson, false, {.word = "--json", .alias = "-j", .help = "JSON, compact"}},
    {Option::kPretty,
     kUsesJson,
     false,
     {.word = "--pretty", .alias = "-p", .help = "with -j: JSON with line breaks and indents"}},
    {Option::kBrief,
     kUsesBrief,
     false,
     {.word = "--brief", .alias = "-br", .help = "one line for each entry, in columns"}},
    {Option::kStatistics,
     kUsesStatistics,
     false,
     {.word = "--statistics", .alias = "-s", .help = "more counters"}},
    {Option::kColor,
     kUsesColor,
     true,
     {.word = "--color",
      .alias = "-c",
      .kind = Kind::kOneOf,
      .value = "always|auto|never",
      .help = "colours; auto: on a terminal, unless NO_COLOR is set"}},
    {Option::kWatch,
     kUsesWatch,
     true,
     {.word = "--watch",
      .kind = Kind::kSeconds,
      .value = "SECONDS",
      .help = "again every SECONDS (2), until SIGINT"}},
    {Option::kSum,
     kUsesSum,
     false,
     {.word = "--sum",
      .kind = Kind::kOneOf,
      .value = "peer|device|reason",
      .help = "SAs, packets, bytes and drops of each, and in all"}},
    {Option::kHelp,
     0,
     false,
     {.word = "--help", .alias = "-h", .help = "help for the object, or a summary"}},
    {Option::kVersion, 0, false, {.word = "--version", .alias = "-V", .help = "the version"}},
};

}  // namespace

std::span<const ObjectRow* const> ObjectRows() { return kObjects; }

std::span<const OptionRow> OptionRows() { return kOptions; }

const ObjectRow* FindObject(std::string_view word) {
  if (word.empty()) return nullptr;
  const auto* const found =
      std::find_if(std::begin(kObjects), std::end(kObjects), [word](const ObjectRow* row) {
        return row->is_exact ? row->word == word : row->word.starts_with(word);
      });
  return found == std::end(kObjects) ? nullptr : *found;
}

std::string FormOf(const Keyword& keyword) {
  std::string form(keyword.word);
  if (keyword.Has(kBare)) form = "[" + form + "]";
  if (!form.empty() && !keyword.value.empty()) form += " ";
  form += keyword.value;
  const bool alone = keyword.word.empty();
  if (keyword.Has(kRepeats) && alone) form += " ...";
  if (!keyword.Has(kMandatory)) form = "[" + form + "]";
  return keyword.Has(kRepeats) && !alone ? form + " ..." : form;
}

std::vector<std::string> SynopsisOf(const ObjectRow& row, const Command& command) {
  std::vector<std::string> words = {std::string(row.word)};
  if (!command.word.empty()) {
    const std::string word(command.word);
    words.push_back(command.is_default ? "[" + word + "]" : word);
  }
  for (const Keyword& keyword : command.keywords) words.push_back(FormOf(keyword));
  if (!command.rest.empty()) words.emplace_back(command.rest);
  return words;
}

std::string TitleOf(const ObjectRow& row, const Command& command) {
  std::string title(row.word);
  if (!command.word.empty() && !command.is_default) title += " " + std::string(command.word);
  return title;
}

}  // namespace cygnet
