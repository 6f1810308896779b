#include "daemon/fence/wire_tables.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_arp.h>
#include <net/if.h>

#include <cstring>

#include "base/bytes.h"
#include "device/wire_mark.h"
#include "netlink/fence_name.h"

namespace cygnet {
namespace {

constexpr int32_t kFirst = -500;  // before connection tracking and anybody's rules
constexpr uint32_t kIngress = 0;  // enum nf_dev_hooks
constexpr uint32_t kEgress = 1;

std::vector<uint8_t> BytesOf(uint32_t value) {
  const auto bytes = AsBytes(value);
  return {bytes.begin(), bytes.end()};
}

// A name as the kernel's metadata has it: padded with NUL to IFNAMSIZ.
std::vector<uint8_t> NameBytes(const std::string& name) {
  std::vector<uint8_t> bytes(IFNAMSIZ, 0);
  std::memcpy(bytes.data(), name.data(), std::min<std::size_t>(name.size(), IFNAMSIZ - 1));
  return bytes;
}

std::vector<NftRule> DropRules(uint32_t name_key, const std::string& wire, uint32_t index_key,
                               uint32_t ifindex) {
  std::vector<NftRule> rules{{name_key, NameBytes(wire), NF_DROP}};
  if (ifindex != 0) rules.push_back({index_key, BytesOf(ifindex), NF_DROP});
  return rules;
}

}  // namespace

NftTable FenceOnDevice(const std::string& wire, uint32_t flags) {
  const NftRule ours{NFT_META_MARK, BytesOf(WireMark()), NF_ACCEPT};
  return {.family = NFPROTO_NETDEV,
          .name = FenceTableName(wire),
          .flags = flags,
          .chains = {{"ingress", kIngress, kFirst, NF_DROP, wire, {}},
                     {"egress", kEgress, kFirst, NF_DROP, wire, {ours}}}};
}

std::vector<NftTable> FenceByName(const std::string& wire, uint32_t ifindex, uint32_t flags) {
  const auto in = DropRules(NFT_META_IIFNAME, wire, NFT_META_IIF, ifindex);
  const auto out = DropRules(NFT_META_OIFNAME, wire, NFT_META_OIF, ifindex);
  const std::string name = FenceTableName(wire);
  return {{.family = NFPROTO_INET,
           .name = name,
           .flags = flags,
           .chains = {{"in", NF_INET_PRE_ROUTING, kFirst, NF_ACCEPT, {}, in},
                      {"out", NF_INET_POST_ROUTING, kFirst, NF_ACCEPT, {}, out}}},
          {.family = NFPROTO_ARP,
           .name = name,
           .flags = flags,
           .chains = {{"in", NF_ARP_IN, kFirst, NF_ACCEPT, {}, in},
                      {"out", NF_ARP_OUT, kFirst, NF_ACCEPT, {}, out}}}};
}

}  // namespace cygnet
