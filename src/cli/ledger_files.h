// The files of ledgers, as `cygnet ledger verify` and `report` read them: also copies, elsewhere,
// without a daemon.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "chain/chain_check.h"

namespace cygnet {

// One host's ledger: FILE and the full files FILE.1, FILE.2, …
struct LedgerFiles {
  std::string name;                                          // FILE
  std::vector<std::pair<std::string, std::string>> files{};  // path and text, the oldest first
};

// Files with the same FILE are one ledger, in whatever order they are named. FILE alone brings the
// full files that are beside it. What else cygnetd keeps there (FILE.lock, FILE.key) is skipped, so
// that a pattern of the shell may name it.
Result<std::vector<LedgerFiles>> ReadLedgers(const std::vector<std::string>& paths);

// `check`: with the keys and heads that are known.
ChainVerdict Verify(const LedgerFiles& ledger, ChainCheck check);

}  // namespace cygnet
