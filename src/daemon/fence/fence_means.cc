#include "daemon/fence/fence_means.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <net/if.h>

#include <algorithm>
#include <optional>
#include <set>

#include "base/bytes.h"
#include "base/log.h"
#include "daemon/fence/wire_link.h"
#include "daemon/fence/wire_tables.h"
#include "device/wire_mark.h"
#include "netlink/fence_name.h"
#include "netlink/tc_fence.h"

namespace cygnet {
namespace {

// Whether a rule compares the interface's index or a chain is attached to it.
bool IsAbout(const NftTable& table, const std::string& wire, uint32_t ifindex) {
  const auto bytes = AsBytes(ifindex);
  for (const NftChain& chain : table.chains) {
    if (chain.device == wire) return true;
    for (const NftRule& rule : chain.rules) {
      if ((rule.meta_key == NFT_META_IIF || rule.meta_key == NFT_META_OIF) &&
          std::equal(rule.value.begin(), rule.value.end(), bytes.begin(), bytes.end())) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace

Result<FenceMeans> FenceMeans::Open(FenceOwnership ownership) {
  auto nft = NftClient::Open();
  if (!nft) return nft.error();
  auto route = KernelNetlink::Open(NETLINK_ROUTE);
  if (!route) return route.error();
  return FenceMeans(*std::move(nft), *std::move(route), ownership);
}

// A kernel before 6.9 refuses the flags: there, any process may change the tables.
Status FenceMeans::Replace(NftTable table) {
  const Status status = nft_.Replace(table);
  if (status || flags_ == 0 || status.error().code != Errc::kNotSupported) return status;
  table.flags = 0;
  CYGNET_RETURN_IF_ERROR(nft_.Replace(table));
  flags_ = 0;
  return {};
}

Status FenceMeans::Shut(const std::string& wire) {
  const uint32_t ifindex = if_nametoindex(wire.c_str());
  const Status on_device = Replace(FenceOnDevice(wire, flags_));
  if (!on_device && ifindex != 0) return on_device;
  for (NftTable& table : FenceByName(wire, ifindex, flags_)) {
    table.flags = flags_;  // the first Replace may have found that the kernel does not support them
    const Status by_name = Replace(table);
    if (by_name) continue;
    if (!on_device) return by_name;
    Log(LogLevel::kWarning,
        "fence of " + wire + ": no rules for its name: " + by_name.error().message);
  }
  if (ifindex == 0) return {};
  (void)ShutBySecond(wire, ifindex);  // WireFence reads back whether it worked
  QuietIpv6(&route_, wire, ifindex);
  const FenceReading reading = Read(wire);
  if (reading.shut) return {};
  return MakeError(Errc::kIo,
                   "the kernel accepted the rules and does not have them: " + reading.missing);
}

bool FenceMeans::ShutBySecond(const std::string& wire, uint32_t ifindex) {
  constexpr int kTries = 3;  // somebody may remove the qdisc between the two requests
  Status status;
  for (int i = 0; i < kTries; ++i) {
    status = ShutByTc(&route_, ifindex, WireMark());
    // kIo: the kernel accepted them, and somebody else removed them at once.
    tc_possible_ = tc_possible_ || status || status.error().code == Errc::kIo;
    if (status) return true;
  }
  Log(LogLevel::kDebug, "fence of " + wire + ": nftables alone: " + status.error().message);
  return false;
}

bool FenceMeans::HasTable(const NftTable& table, FenceReading* reading) {
  const auto found = nft_.Read(table);
  if (found && *found == table) return true;
  reading->complete = false;
  reading->missing += (reading->missing.empty() ? "" : ", ") + std::string("table ") +
                      NftFamilyName(table.family) + " " + table.name +
                      (found && !found->name.empty() ? " was changed" : " is gone");
  return false;
}

FenceReading FenceMeans::Read(const std::string& wire) {
  const uint32_t ifindex = if_nametoindex(wire.c_str());
  FenceReading reading{.complete = true, .missing = {}};
  FenceReading unused;
  bool by_name = true;
  for (const NftTable& table : FenceByName(wire, ifindex, flags_)) {
    if (!HasTable(table, &reading)) by_name = false;
  }
  const bool on_device =
      HasTable(FenceOnDevice(wire, flags_), ifindex != 0 || !by_name ? &reading : &unused);
  reading.shut = on_device || (ifindex == 0 && by_name);
  reading.by_tc = ifindex != 0 && IsShutByTc(&route_, ifindex, WireMark());
  return reading;
}

// The other names whose tables match this interface: by its index, or because they are on it.
std::vector<std::string> FenceMeans::OtherNamesOf(const std::string& wire, uint32_t ifindex) {
  std::vector<std::string> others;
  const auto present = nft_.Tables();
  if (!present || ifindex == 0) return others;
  std::set<std::string> names;
  for (const NftTableHead& table : *present) names.insert(WireOfTable(table.name));
  for (const std::string& other : names) {
    if (other.empty() || other == wire) continue;
    std::vector<NftTable> tables = FenceByName(other, ifindex, 0);
    tables.push_back(FenceOnDevice(other, 0));
    const bool about = std::any_of(tables.begin(), tables.end(), [&](const NftTable& wanted) {
      const auto found = nft_.Read(wanted);
      return found && IsAbout(*found, wire, ifindex);
    });
    if (about) others.push_back(other);
  }
  return others;
}

bool FenceMeans::Exists(const std::string& wire) {
  std::vector<NftTable> tables = FenceByName(wire, 0, 0);
  tables.push_back(FenceOnDevice(wire, 0));
  for (const NftTable& table : tables) {
    const auto found = nft_.Read(table);
    if (found && !found->name.empty()) return true;
  }
  const uint32_t ifindex = if_nametoindex(wire.c_str());
  return ifindex != 0 &&
         (IsShutByTc(&route_, ifindex, std::nullopt) || !OtherNamesOf(wire, ifindex).empty());
}

Status FenceMeans::DeleteTables(const std::string& table) {
  for (const uint8_t family : {NFPROTO_NETDEV, NFPROTO_INET, NFPROTO_ARP}) {
    CYGNET_RETURN_IF_ERROR(nft_.Delete(family, table));
  }
  return {};
}

Status FenceMeans::Forget(const std::string& wire) { return DeleteTables(FenceTableName(wire)); }

Status FenceMeans::Release(const std::string& wire) {
  CYGNET_RETURN_IF_ERROR(Forget(wire));
  for (const std::string& other : OtherNamesOf(wire, if_nametoindex(wire.c_str()))) {
    const bool is_there = if_nametoindex(other.c_str()) != 0;
    CYGNET_RETURN_IF_ERROR(is_there ? Shut(other) : Forget(other));
  }
  if (const uint32_t ifindex = if_nametoindex(wire.c_str()); ifindex != 0) {
    OpenByTc(&route_, ifindex);
    if (IsShutByTc(&route_, ifindex, std::nullopt)) {
      return MakeError(Errc::kIo, "tc: cannot remove the filters of " + wire);
    }
    DefaultIpv6(wire);
  }
  return {};
}

}  // namespace cygnet
