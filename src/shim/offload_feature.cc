// Shows "esp-hw-offload" as active on ports whose device offers it. IKE daemons ask the kernel by
// ETHTOOL_GFEATURES, and a TAP has no such feature. The daemon marks its ports by the interface's
// alias, "cygnet" and then the features it offers, which operators see in `ip link` as well.
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "shim/options.h"
#include "shim/real_calls.h"

// After net/if.h, whose declarations it repeats.
#include <linux/sockios.h>

namespace cygnet::shim {
namespace {

constexpr std::string_view kFeature = "esp-hw-offload";
constexpr std::string_view kAliasMark = "cygnet ";

struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr name_header;
  char name[IFNAMSIZ];
};

// ethtool_sset_info and ethtool_gstrings, with what follows them.
struct SetSizes {
  uint32_t command = ETHTOOL_GSSET_INFO;
  uint32_t reserved = 0;
  uint64_t sets = 1ULL << ETH_SS_FEATURES;
  uint32_t count = 0;
};
constexpr uint32_t kMaxFeatures = 256;
struct FeatureNames {
  uint32_t command = ETHTOOL_GSTRINGS;
  uint32_t set = ETH_SS_FEATURES;
  uint32_t count = 0;
  char names[kMaxFeatures][ETH_GSTRING_LEN] = {};
};

bool AliasOffersFeature(std::string_view alias) {
  return alias.substr(0, kAliasMark.size()) == kAliasMark &&
         alias.find(kFeature) != std::string_view::npos;
}

// The text of IFLA_IFALIAS in an RTM_NEWLINK message, empty if there is none.
std::string_view FindAlias(const char* message, size_t bytes) {
  nlmsghdr header{};
  memcpy(&header, message, sizeof header);
  if (header.nlmsg_type != RTM_NEWLINK) {
    return {};
  }
  const size_t end = std::min(bytes, size_t{header.nlmsg_len});
  size_t offset = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(ifinfomsg));
  while (offset + sizeof(rtattr) <= end) {
    rtattr attribute{};
    memcpy(&attribute, message + offset, sizeof attribute);
    if (attribute.rta_len < sizeof attribute || attribute.rta_len > end - offset) {
      return {};
    }
    if (attribute.rta_type == IFLA_IFALIAS) {
      return {message + offset + sizeof attribute, attribute.rta_len - sizeof attribute};
    }
    offset += RTA_ALIGN(attribute.rta_len);
  }
  return {};
}

bool PortOffersFeature(const char* name) {
  const int fd = real::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) {
    return false;
  }
  LinkRequest request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.name_header.rta_len = sizeof request.name_header + IFNAMSIZ;
  request.name_header.rta_type = IFLA_IFNAME;
  memcpy(request.name, name, IFNAMSIZ - 1);
  char reply[8192];
  ssize_t bytes = real::send(fd, &request, sizeof request, 0);
  if (bytes > 0) {
    bytes = real::recv(fd, reply, sizeof reply, MSG_DONTWAIT);
  }
  real::close(fd);
  return bytes >= ssize_t{sizeof(nlmsghdr)} &&
         AliasOffersFeature(FindAlias(reply, static_cast<size_t>(bytes)));
}

// The kernel's own number for the feature's name, which differs between versions; or -1.
int FeatureBit(int fd, const ifreq& interface) {
  SetSizes sizes;
  ifreq request = interface;
  request.ifr_data = reinterpret_cast<char*>(&sizes);
  if (real::ioctl(fd, size_t{SIOCETHTOOL}, &request) != 0 || sizes.count > kMaxFeatures) {
    return -1;
  }
  FeatureNames strings{};
  strings.count = sizes.count;
  request.ifr_data = reinterpret_cast<char*>(&strings);
  if (real::ioctl(fd, size_t{SIOCETHTOOL}, &request) != 0) {
    return -1;
  }
  for (uint32_t i = 0; i < sizes.count; ++i) {
    if (strncmp(strings.names[i], kFeature.data(), ETH_GSTRING_LEN) == 0) {
      return static_cast<int>(i);
    }
  }
  return -1;
}

}  // namespace

void ShowOffloadFeature(int fd, void* request) {
  ifreq interface {};
  memcpy(&interface, request, sizeof interface);
  uint32_t command = 0;
  if (interface.ifr_data == nullptr) {
    return;
  }
  memcpy(&command, interface.ifr_data, sizeof command);
  if (command != ETHTOOL_GFEATURES || !PortOffersFeature(interface.ifr_name)) {
    return;
  }
  const ErrnoKeeper keeper;
  const int bit = FeatureBit(fd, interface);
  keeper.Restore();
  // ethtool_gfeatures: command, number of blocks, then that many blocks of 32 features.
  uint32_t blocks = 0;
  memcpy(&blocks, interface.ifr_data + sizeof command, sizeof blocks);
  if (bit < 0 || static_cast<uint32_t>(bit) / 32 >= blocks) {
    return;
  }
  char* block = interface.ifr_data + sizeof(ethtool_gfeatures) +
                static_cast<size_t>(bit) / 32 * sizeof(ethtool_get_features_block);
  ethtool_get_features_block features{};
  memcpy(&features, block, sizeof features);
  features.available |= 1U << bit % 32;
  features.active |= 1U << bit % 32;
  memcpy(block, &features, sizeof features);
}

}  // namespace cygnet::shim
