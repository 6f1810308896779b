// FenceMeans: what shuts one wire against the host's own stack, put there, checked and taken away:
// tables of nftables, filters of tc, and IPv6 kept quiet. All of it is state of the kernel's that
// outlives this process.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/fence/nft_table.h"
#include "netlink/kernel_netlink.h"

namespace cygnet {

// kPlain: tables that anybody with CAP_NET_ADMIN may flush, as before Linux 6.9.
enum class FenceOwnership : uint8_t { kOwned, kPlain };

// Read back from the kernel.
struct FenceReading {
  bool shut = false;      // by nftables, on the interface itself or, without one, by its name
  bool by_tc = false;     // the second means
  bool complete = false;  // every table is as it was made
  std::string missing;    // what is not, for people
};

class FenceMeans {
 public:
  static Result<FenceMeans> Open(FenceOwnership ownership = FenceOwnership::kOwned);

  // An interface that is not there yet is shut by its name. An error: nothing shuts it.
  Status Shut(const std::string& wire);
  FenceReading Read(const std::string& wire);
  // The second means alone, of an interface that is there. False: it could not be put there.
  bool ShutBySecond(const std::string& wire, uint32_t ifindex);
  // This kernel has taken the filters of tc at least once: they are to be there always.
  bool tc_possible() const { return tc_possible_; }
  // Whether anything of a fence is there, whole or not, this process's or another's.
  bool Exists(const std::string& wire);
  // Everything of it, also tables of other names that the interface had: they name its index. One
  // whose own interface is there is made anew instead. kPermission: another process owns the
  // tables.
  Status Release(const std::string& wire);

  // The tables of that name alone, when the interface has another fence. One that is not there is
  // no error.
  Status Forget(const std::string& wire);

  // Nobody else can take the tables away while this process lives, and they outlive it.
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
