// `cygnet ledger verify`, `report` and `key`: the ledger as evidence. The first two read files and
// need no daemon; their words are their own.
#pragma once

#include <cstdio>
#include <optional>
#include <span>

#include "client/operator_client.h"

namespace cygnet {

// nullopt: the words are of another command. Else the exit status: kExitNo if a ledger is not
// whole.
std::optional<int> RunLedgerCommand(std::span<const char* const> words,
                                    const OperatorConnector& connect, FILE* out, FILE* err);

}  // namespace cygnet
