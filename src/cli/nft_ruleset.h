// The nftables rules of this network namespace, read by libnftables table by table.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "netlink/nft_tables.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

// Cygnet's own fences are not in it.
struct Ruleset {
  Json rules = {{"nftables", Json::array()}};  // nftables JSON
  std::vector<std::string> unread;  // what cannot be read: "the nftables table inet x", or all
};

Ruleset ReadRuleset();

// Whether libnftables can read the table safely. Version 1.0.6 reads beyond its list of names if
// the table has a flag that it does not know, and a name may contain anything, commands included.
bool IsReadable(const NftTableHead& table);

}  // namespace cygnet
