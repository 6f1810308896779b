#include "daemon/fence/fence_means.h"

#include <linux/netfilter.h>
#include <linux/netlink.h>
#include <net/if.h>

#include "base/log.h"
#include "daemon/fence/tc_fence.h"
#include "daemon/fence/wire_link.h"
#include "daemon/fence/wire_tables.h"

namespace cygnet {

Result<FenceMeans> FenceMeans::Open(FenceOwnership ownership) {
  auto nft = NftClient::Open();
  if (!nft) return nft.error();
  auto route = KernelNetlink::Open(NETLINK_ROUTE);
  if (!route) return route.error();
  return FenceMeans(*std::move(nft), *std::move(route), ownership);
}

// A kernel before 6.9 refuses the flags: there the tables are anybody's.
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
    table.flags = flags_;  // the first may have found that the kernel does not know them
    const Status by_name = Replace(table);
    if (by_name) continue;
    if (!on_device) return by_name;
    Log(LogLevel::kWarning, "fence of " + wire + ": no rules by name: " + by_name.error().message);
  }
  if (ifindex == 0) return {};
  (void)ShutBySecond(wire, ifindex);  // whoever watches reads whether it is there
  QuietIpv6(&route_, wire, ifindex);
  const FenceReading reading = Read(wire);
  if (reading.shut) return {};
  return MakeError(Errc::kIo,
                   "the kernel does not have the rules it was given: " + reading.missing);
}

bool FenceMeans::ShutBySecond(const std::string& wire, uint32_t ifindex) {
  constexpr int kTries = 3;  // somebody may take the discipline away between the two requests
  Status status;
  for (int i = 0; i < kTries; ++i) {
    status = ShutByTc(&route_, ifindex);
    // kIo: the kernel took them, and somebody else took them away at once.
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
  reading.by_tc = ifindex != 0 && IsShutByTc(&route_, ifindex);
  return reading;
}

bool FenceMeans::Exists(const std::string& wire) {
  std::vector<NftTable> tables = FenceByName(wire, 0, 0);
  tables.push_back(FenceOnDevice(wire, 0));
  for (const NftTable& table : tables) {
    const auto found = nft_.Read(table);
    if (found && !found->name.empty()) return true;
  }
  const uint32_t ifindex = if_nametoindex(wire.c_str());
  return ifindex != 0 && IsShutByTc(&route_, ifindex, TcMark::kAny);
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
  if (const uint32_t ifindex = if_nametoindex(wire.c_str()); ifindex != 0) {
    OpenByTc(&route_, ifindex);
    if (IsShutByTc(&route_, ifindex, TcMark::kAny)) {
      return MakeError(Errc::kIo, "tc: the filters of " + wire + " could not be taken away");
    }
    DefaultIpv6(wire);
  }
  return {};
}

}  // namespace cygnet
