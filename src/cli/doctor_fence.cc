#include "cli/doctor_fence.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <net/if.h>

#include <memory>
#include <optional>

#include "netlink/fence_name.h"
#include "netlink/kernel_netlink.h"
#include "netlink/tc_fence.h"

namespace cygnet {
namespace {

struct NamesDeleter {
  void operator()(struct if_nameindex* names) const { if_freenameindex(names); }
};

// A flush of the nftables ruleset leaves these: they belong to the interface.
void AddTcFences(Fences* fences) {
  auto route = KernelNetlink::Open(NETLINK_ROUTE);
  const std::unique_ptr<struct if_nameindex, NamesDeleter> names(if_nameindex());
  if (!route || names == nullptr) return;
  for (const struct if_nameindex* at = names.get(); at->if_index != 0; ++at) {
    if (IsShutByTc(&*route, at->if_index, std::nullopt)) (*fences)[at->if_name].push_back("tc");
  }
}

Json Row(bool ok, std::string text, std::string advice) {
  return {{"check", "fence"}, {"ok", ok}, {"text", std::move(text)}, {"advice", std::move(advice)}};
}

}  // namespace

Fences FencesIn(const std::vector<NftTableHead>& tables) {
  Fences fences;
  for (const NftTableHead& table : tables) {
    const std::string wire = WireOfTable(table.name);
    if (!wire.empty()) fences[wire].push_back("nftables " + NftFamilyName(table.family));
  }
  return fences;
}

std::vector<Json> CheckFences() {
  std::vector<Json> rows;
  auto netfilter = KernelNetlink::Open(NETLINK_NETFILTER);
  const auto tables = netfilter ? ListNftTables(&*netfilter) : netfilter.error();
  if (!tables) {
    rows.push_back(Row(false, "cannot read the nftables ruleset: " + tables.error().message,
                       "run \"nft list tables\" and look for tables named cygnet_WIRE"));
  }
  Fences fences = tables ? FencesIn(*tables) : Fences{};
  AddTcFences(&fences);
  for (const auto& [wire, means] : fences) {
    const bool here = if_nametoindex(wire.c_str()) != 0;
    rows.push_back(Row(false,
                       fmt::format("wire {}{} is shut against the host's own stack ({}), and no "
                                   "cygnetd serves it",
                                   wire, here ? "" : " (not present)", fmt::join(means, ", ")),
                       "start cygnetd, or give it back to the host: cygnetd --release " + wire));
  }
  if (rows.empty()) {
    rows.push_back(Row(true, "no wire is shut by Cygnet in this network namespace", ""));
  }
  return rows;
}

}  // namespace cygnet
