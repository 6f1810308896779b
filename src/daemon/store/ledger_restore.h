// What a daemon does with the ledger that it finds at its start: it restores the entries, and
// checks the chain. Used by LedgerFile.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "chain/chain_check.h"
#include "control/ledger.h"
#include "daemon/store/ledger_anchor.h"

namespace cygnet {

// What the files say about themselves.
struct LedgerPast {
  ChainHead head;                    // where the chain goes on
  std::string torn;                  // the last line, if a crash cut it short
  bool ends_in_line = true;          // by a line feed
  std::string last_key;              // that signed the last head; empty: none
  std::vector<std::string> found{};  // what is wrong and not in the ledger yet
};

class LedgerRestore {
 public:
  LedgerRestore(Ledger* ledger, uint64_t now_ms) : ledger_(ledger), now_ms_(now_ms) {}

  // `files`: the oldest first; those that do not exist are skipped. `mark`: how far the chain got.
  LedgerPast Run(const std::vector<std::string>& files,
                 const std::optional<LedgerAnchor::Mark>& mark);

 private:
  void TakeFile(const std::string& path, std::string_view text);
  void TakeLine(std::string_view line);
  void EndHeld(uint64_t time_ms);
  void Judge(const std::optional<LedgerAnchor::Mark>& mark, LedgerPast* past) const;
  void AddFound(std::string text, LedgerPast* past) const;

  Ledger* const ledger_;
  const uint64_t now_ms_;
  std::map<uint64_t, KeyEntry> held_;
  ChainCheck check_;
  std::string known_;  // what earlier daemons found, each in a line
  std::size_t damaged_ = 0;
};

}  // namespace cygnet
