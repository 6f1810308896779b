#include "cli/ledger_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <string_view>

#include "base/text_file.h"

namespace cygnet {
namespace {

constexpr uint32_t kMostKept = 100;  // files that ledger.keep may keep

bool IsBeside(std::string_view path) {
  return path.ends_with(".lock") || path.ends_with(".key") || path.ends_with(".new") ||
         path.ends_with(".next");
}

// "ledger.jsonl.2" is file 2 of "ledger.jsonl"; the file that is written is file 0.
std::pair<std::string, uint32_t> Split(const std::string& path) {
  const std::size_t dot = path.rfind('.');
  if (dot == std::string::npos || dot + 1 == path.size()) return {path, 0};
  uint32_t number = 0;
  const char* end = path.data() + path.size();
  const auto [stop, error] = std::from_chars(path.data() + dot + 1, end, number);
  if (error != std::errc() || stop != end || path[dot + 1] == '0') return {path, 0};
  return {path.substr(0, dot), number};
}

std::string Numbered(const std::string& name, uint32_t number) {
  return number == 0 ? name : name + "." + std::to_string(number);
}

// A pipe that nobody writes would be waited for.
bool IsFile(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode);
}

}  // namespace

Result<std::vector<LedgerFiles>> ReadLedgers(const std::vector<std::string>& paths) {
  std::vector<std::string> names;  // in the order given
  std::map<std::string, std::set<uint32_t>> numbers;
  for (const std::string& path : paths) {
    if (IsBeside(path)) continue;
    const auto [name, number] = Split(path);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    numbers[name].insert(number);
  }
  std::vector<LedgerFiles> ledgers;
  for (const std::string& name : names) {
    std::set<uint32_t>& wanted = numbers[name];
    if (wanted.count(0) != 0) {
      // A number that is missing in between is a gap, which the check names.
      for (uint32_t n = 1; n <= kMostKept; ++n) {
        if (IsFile(Numbered(name, n))) wanted.insert(n);
      }
    }
    LedgerFiles ledger{.name = name};
    for (auto n = wanted.rbegin(); n != wanted.rend(); ++n) {
      const std::string path = Numbered(name, *n);
      auto text = ReadTextFile(path);
      if (!text) return text.error();
      ledger.files.emplace_back(path, *std::move(text));
    }
    ledgers.push_back(std::move(ledger));
  }
  if (ledgers.empty()) return MakeError(Errc::kInvalid, "no file of a ledger is named");
  return ledgers;
}

ChainVerdict Verify(const LedgerFiles& ledger, ChainCheck check) {
  for (const auto& [path, text] : ledger.files) check.Take(path, text);
  check.Finish();
  return check.verdict();
}

}  // namespace cygnet
