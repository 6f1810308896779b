// FenceMeans: sets, checks and removes what shuts one wire against the host's own stack: nftables
// tables, tc filters, and IPv6 settings. All of it is kernel state that outlives this process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/fence/nft_table.h"
#include "netlink/kernel_netlink.h"

namespace cygnet {

// kOwned: tables that only this process may change (Linux 6.9). kPlain: tables that any process
// with CAP_NET_ADMIN may flush.
enum class FenceOwnership : uint8_t { kOwned, kPlain };

// Read back from the kernel.
struct FenceReading {
  bool shut = false;      // by nftables, on the interface itself or, without one, by its name
  bool by_tc = false;     // by tc filters, too
  bool complete = false;  // every table is as it was made
  std::string missing;    // the tables that are not, for people
};

class FenceMeans {
 public:
  static Result<FenceMeans> Open(FenceOwnership ownership = FenceOwnership::kOwned);

  // Shuts an interface that does not exist yet by its name. An error: nothing shuts it.
  Status Shut(const std::string& wire);
  FenceReading Read(const std::string& wire);
  // Adds the tc filters alone, to an existing interface. False: they could not be added.
  bool ShutBySecond(const std::string& wire, uint32_t ifindex);
  // This kernel has accepted tc filters at least once, so they must always be there.
  bool tc_possible() const { return tc_possible_; }
  // Whether any part of a fence exists, made by this process or by another.
  bool Exists(const std::string& wire);
  // Removes the whole fence, including tables under earlier names of the interface, which contain
  // its index. If another interface has such a name now, its fence is rebuilt instead.
  // kPermission: another process owns the tables.
  Status Release(const std::string& wire);

  // Deletes the tables of that name only, when another fence shuts the interface. A missing table
  // is not an error.
  Status Forget(const std::string& wire);

  // No other process can remove the tables while this one lives, and they outlive it.
  bool owned() const { return flags_ != 0; }
  KernelNetlink& route() { return route_; }

 private:
  FenceMeans(NftClient nft, KernelNetlink route, FenceOwnership ownership)
      : nft_(std::move(nft)),
        route_(std::move(route)),
        flags_(ownership == FenceOwnership::kOwned ? kNftOwner | kNftPersist : 0) {}
  Status Replace(NftTable table);
  Status DeleteTables(const std::string& table);
  std::vector<std::string> OtherNamesOf(const std::string& wire, uint32_t ifindex);
  bool HasTable(const NftTable& table, FenceReading* reading);

  NftClient nft_;
  KernelNetlink route_;
  uint32_t flags_;
  bool tc_possible_ = false;
};

}  // namespace cygnet
