#include "cli/nft_ruleset.h"

#include <linux/netfilter/nf_tables.h>
#include <nftables/libnftables.h>

#include <algorithm>
#include <memory>

#include "client/json_fields.h"
#include "netlink/fence_name.h"

namespace cygnet {
namespace {

struct ContextDeleter {
  void operator()(nft_ctx* context) const { nft_ctx_free(context); }
};
using Context = std::unique_ptr<nft_ctx, ContextDeleter>;

Context NewContext() {
  Context context(nft_ctx_new(NFT_CTX_DEFAULT));
  if (context == nullptr) return nullptr;
  nft_ctx_output_set_flags(context.get(), NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
  nft_ctx_buffer_output(context.get());
  nft_ctx_buffer_error(context.get());
  return context;
}

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Appends the table's chains and rules to `rules`. False: it cannot be read.
bool AppendTable(nft_ctx* context, const NftTableHead& table, Json* rules) {
  const std::string command = "list table " + NftFamilyName(table.family) + " " + table.name;
  if (!IsReadable(table) || nft_run_cmd_from_buffer(context, command.c_str()) != 0) return false;
  const char* text = nft_ctx_get_output_buffer(context);
  const Json answer = Json::parse(text != nullptr ? text : "", nullptr, false);
  const Json& items = Child(answer, "nftables");
  if (!items.is_array()) return false;
  for (const Json& item : items) rules->push_back(item);
  return true;
}

}  // namespace

bool IsReadable(const NftTableHead& table) {
  constexpr uint32_t kKnown = NFT_TABLE_F_DORMANT | kNftOwner;
  return (table.flags & ~kKnown) == 0 && !table.name.empty() && IsLetter(table.name[0]) &&
         std::all_of(table.name.begin(), table.name.end(), [](char c) {
           return IsLetter(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
         });
}

Ruleset ReadRuleset() {
  Ruleset ruleset;
  auto netfilter = KernelNetlink::Open(NETLINK_NETFILTER);
  const auto tables = netfilter ? ListNftTables(&*netfilter) : netfilter.error();
  const Context context = NewContext();
  if (!tables || context == nullptr) {
    ruleset.unread.push_back("the nftables ruleset");
    return ruleset;
  }
  for (const NftTableHead& table : *tables) {
    if (!WireOfTable(table.name).empty()) continue;
    if (!AppendTable(context.get(), table, &ruleset.rules["nftables"])) {
      ruleset.unread.push_back("the nftables table " + NftFamilyName(table.family) + " " +
                               table.name);
    }
  }
  return ruleset;
}

}  // namespace cygnet
