// The names of the tables of nftables that shut a wire: the daemon makes them, `cygnet doctor`
// looks for them where no daemon runs.
#pragma once

#include <string>

namespace cygnet {

// "cygnet_" and the interface's name; what is neither a letter nor a digit of ASCII as "_" and two
// hex digits: two interfaces never share a table. Names may hold any byte but '/' and white space.
std::string FenceTableName(const std::string& wire);
// The wire whose table it is; empty: it is not one of Cygnet's.
std::string WireOfTable(const std::string& table);

}  // namespace cygnet
