// Tables of nftables as values: what is to be in force, put there in one transaction, and read back
// from the kernel. It speaks nfnetlink itself: doc/decisions/0015-fence-by-state.md.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "netlink/kernel_netlink.h"

namespace cygnet {

// Compares one value of a packet's metadata ("meta KEY == VALUE"), and then decides.
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

// enum nft_table_flags; headers of Linux 6.1 lack the last. An owned table is changed and flushed
// by nobody but the netlink socket that made it; one that persists outlives it, then without owner.
inline constexpr uint32_t kNftOwner = 0x2;
inline constexpr uint32_t kNftPersist = 0x4;

// All three in the order of their effects: one that fails changes nothing.
class NftClient {
 public:
  static Result<NftClient> Open();

  // Takes the place of a table of that name, in one transaction: no packet passes in between.
  Status Replace(const NftTable& table);
  // One that is not there is no error.
  Status Delete(uint8_t family, const std::string& name);
  // The names of all tables, of whatever family.
  Result<std::set<std::string>> TableNames();
  // What the kernel has of `wanted`: its flags, and of its chains those that are there, with their
  // rules. A rule that is none of ours reads as one with meta_key ~0.
  Result<NftTable> Read(const NftTable& wanted);

 private:
  explicit NftClient(KernelNetlink socket) : socket_(std::move(socket)) {}

  KernelNetlink socket_;
};

// "netdev", "inet", "arp".
std::string NftFamilyName(uint8_t family);

}  // namespace cygnet
