#include "netlink/nft_tables.h"

#include <arpa/inet.h>  // before <linux/netfilter.h>, which has fallbacks for it
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "netlink/attribute.h"
#include "netlink/nft_query.h"

namespace cygnet {

Result<std::vector<NftTableHead>> ListNftTables(KernelNetlink* netfilter) {
  std::vector<NftTableHead> tables;
  // The answers carry the family in their fixed part; a dump for one family is simpler to read.
  for (const uint8_t family :
       {NFPROTO_INET, NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_ARP, NFPROTO_BRIDGE, NFPROTO_NETDEV}) {
    CYGNET_RETURN_IF_ERROR(netlink::QueryNft(
        netfilter, NFT_MSG_GETTABLE, NFT_MSG_NEWTABLE, NLM_F_DUMP, family,
        [](netlink::MessageBuilder*) {},
        [&](std::span<const uint8_t> attributes) {
          using netlink::FindAttribute;
          tables.push_back({family, netlink::StringIn(FindAttribute(attributes, NFTA_TABLE_NAME)),
                            netlink::NumberIn(FindAttribute(attributes, NFTA_TABLE_FLAGS))});
        }));
  }
  return tables;
}

std::string NftFamilyName(uint8_t family) {
  switch (family) {
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_ARP:
      return "arp";
    case NFPROTO_BRIDGE:
      return "bridge";
    case NFPROTO_NETDEV:
      return "netdev";
    default:
      return "inet";
  }
}

}  // namespace cygnet
