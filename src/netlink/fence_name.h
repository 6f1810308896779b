// Names of the nftables tables that shut a wire. The daemon creates the tables; `cygnet doctor`
// looks for them if no daemon runs.
#pragma once

#include <string>

namespace cygnet {

// "cygnet_" and the interface's name, with "_" and two hex digits for each byte that is not an
// ASCII letter or digit, so that two interfaces never share a table. Names of interfaces may
// contain any byte except '/' and white space.
std::string FenceTableName(const std::string& wire);
// The wire of the table; empty if the table is not Cygnet's.
std::string WireOfTable(const std::string& table);

}  // namespace cygnet
