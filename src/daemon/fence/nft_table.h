// nftables tables as values, written in one transaction and read back from the kernel. Uses
// nfnetlink directly; doc/decisions/0015-fence-by-state.md says why.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netlink/kernel_netlink.h"
#include "netlink/nft_tables.h"

namespace cygnet {

// A rule with one match on a packet's metadata ("meta KEY == VALUE") and a verdict.
struct NftRule {
  uint32_t meta_key = 0;
  std::vector<uint8_t> value;
  uint32_t verdict = 0;  // NF_DROP, NF_ACCEPT
  bool operator==(const NftRule&) const = default;
};

struct NftChain {
  std::string name;
  uint32_t hook = 0;
  int32_t priority = 0;
  uint32_t policy = 0;
  std::string device{};  // of family netdev
  std::vector<NftRule> rules{};
  bool operator==(const NftChain&) const = default;
};

struct NftTable {
  uint8_t family = 0;
  std::string name;
  uint32_t flags = 0;
  std::vector<NftChain> chains;
  bool operator==(const NftTable&) const = default;
};

// A call that fails changes nothing.
class NftClient {
 public:
  static Result<NftClient> Open();

  // Replaces a table of that name in one transaction: no packet passes in between.
  Status Replace(const NftTable& table);
  // A missing table is not an error.
  Status Delete(uint8_t family, const std::string& name);
  // The tables of all families.
  Result<std::vector<NftTableHead>> Tables() { return ListNftTables(&socket_); }
  // Reads from the kernel what exists of `wanted`: the flags, and the chains with their rules. A
  // rule that is not one of ours has meta_key ~0.
  Result<NftTable> Read(const NftTable& wanted);

 private:
  explicit NftClient(KernelNetlink socket) : socket_(std::move(socket)) {}

  KernelNetlink socket_;
};

}  // namespace cygnet
