// VirtualAddresses: puts the addresses of groups on this host's interfaces, announces them to the
// neighbours, and takes them away. Times are CLOCK_BOOTTIME. One thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/cluster/cluster_types.h"
#include "daemon/config/cluster_config.h"
#include "daemon/config/virtual_address.h"
#include "netlink/kernel_netlink.h"

namespace cygnet {

class VirtualAddresses {
 public:
  static Result<VirtualAddresses> Open(const std::vector<ClusterGroupConfig>& groups);

  // They are there and announced when it returns; announced again later. An error names an address
  // that could not be added; the others are there, and Tick tries again.
  Status Up(GroupId group, uint64_t now_ns);
  // The same for those on interfaces that `is_first` accepts. The others follow by Up.
  Status UpFirst(GroupId group, const std::function<bool(const std::string& device)>& is_first);
  Status Down(GroupId group);
  // Each 10 ms or so: announces again, also on interfaces that came up, and adds again what
  // somebody removed.
  Status Tick(uint64_t now_ns);

 private:
  struct Group {
    std::vector<VirtualAddress> addresses;
    bool is_up = false;
    bool is_ready = false;   // all are there, on interfaces that are up
    unsigned announced = 0;  // times
    uint64_t next_ns = 0;
    uint64_t check_ns = 0;
  };

  VirtualAddresses(KernelNetlink route, UniqueFd packets)
      : route_(std::move(route)), packets_(std::move(packets)) {}
  Result<bool> Add(const VirtualAddress& address);
  Status Remove(const VirtualAddress& address);
  Status AddAll(Group* group, uint64_t now_ns);
  static void AnnounceAnew(Group* group, uint64_t now_ns);
  void AnnounceOne(const VirtualAddress& address);
  void Announce(Group* group, uint64_t now_ns);

  KernelNetlink route_;
  UniqueFd packets_;
  std::vector<Group> groups_;
};

}  // namespace cygnet
