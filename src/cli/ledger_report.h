// `cygnet ledger report`: who held which key in a time, from the files of one or more ledgers.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "chain/chain_check.h"
#include "cli/ledger_files.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

struct ReportQuery {
  uint64_t from_ms = 0;
  uint64_t to_ms = ~uint64_t{0};
  std::string holder{};  // empty: all
  std::string spi{};     // "0x00001000"; empty: all
  std::string dst{};     // empty: all
};

// The time in which one holder had one key.
struct Holding {
  std::string host{};
  std::string holder{};
  std::string kind{};
  std::string identity{};
  std::string src{};
  std::string dst{};
  std::string spi{};
  uint64_t proto = 0;
  std::string direction{};
  uint64_t from_ms = 0;
  uint64_t until_ms = 0;  // 0: the ledger does not have the end
  bool erased = false;    // as the holder confirmed
  std::string end{};      // in words
};

class LedgerReporter {
 public:
  explicit LedgerReporter(ReportQuery query) : query_(std::move(query)) {}
  // `verdict`: of its chain.
  void Take(const LedgerFiles& ledger, const ChainVerdict& verdict);
  // After the last ledger, before the report is read.
  void Finish();

  bool is_whole() const { return is_whole_; }
  Json AsJson() const;
  std::string AsText() const;

 private:
  void TakeLine(std::string_view line);
  void TakeKey(const Json& record, std::string_view event);
  void TakeGroup(const Json& record);
  void EndHeld(uint64_t until_ms, const std::string& end);
  void Keep(Holding holding);

  const ReportQuery query_;
  bool is_whole_ = true;
  std::map<uint64_t, Holding> held_;  // by the number of the key, in one run
  std::vector<Holding> holdings_;
  Json groups_ = Json::array();
  Json ledgers_ = Json::array();
  std::vector<ChainFinding> problems_;
  std::vector<ChainFinding> gaps_;
};

// {"file", "line", "text"} of each.
Json FindingsJson(const std::vector<ChainFinding>& findings);
// "FILE:LINE: text".
std::string FindingText(const ChainFinding& finding);

}  // namespace cygnet
