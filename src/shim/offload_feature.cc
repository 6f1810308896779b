// Shows the ESP capabilities of a port's device as "esp-hw-offload" and related features. IKE
// daemons and ethtool read features with ETHTOOL_GFEATURES, but a TAP has none of these. The daemon
// therefore marks its ports by an interface alias: "cygnet", the names of the features, and
// "driver=NAME" if the device stands for a card of a certain driver, which `ethtool -i` shows.
// Operators see it in `ip link`.
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <string_view>

#include "shim/options.h"
#include "shim/real_calls.h"

// Included after net/if.h, whose declarations it repeats.
#include <linux/sockios.h>

namespace cygnet::shim {
namespace {

constexpr std::string_view kFeatures[] = {"esp-hw-offload", "esp-tx-csum-hw-offload",
                                          "tx-esp-segmentation"};
constexpr size_t kFeatureCount = std::size(kFeatures);
constexpr std::string_view kAliasMark = "cygnet ";

struct LinkRequest {
  nlmsghdr header;
  ifinfomsg link;
  rtattr name_header;
  char name[IFNAMSIZ];
};

// ethtool_sset_info and ethtool_gstrings with their payload.
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

// Bits by index in kFeatures.
using FeatureSet = uint32_t;

// What the alias of a port says.
struct PortMark {
  FeatureSet features = 0;
  char driver[sizeof(ethtool_drvinfo::driver)] = {};  // empty: that of the TAP
};

bool HasWord(std::string_view text, std::string_view word) {
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    if (text.substr(0, end) == word) {
      return true;
    }
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return false;
}

// The text after "driver=", cut to the size of ethtool's field.
void ReadDriver(std::string_view alias, PortMark* mark) {
  constexpr std::string_view kKey = " driver=";
  const size_t at = alias.find(kKey);
  if (at == std::string_view::npos) {
    return;
  }
  alias.remove_prefix(at + kKey.size());
  const size_t length = std::min(alias.find(' '), alias.size());
  memcpy(mark->driver, alias.data(), std::min(length, sizeof mark->driver - 1));
}

PortMark MarkIn(std::string_view alias) {
  PortMark mark;
  if (alias.substr(0, kAliasMark.size()) != kAliasMark) {
    return mark;
  }
  while (!alias.empty() && alias.back() == '\0') {
    alias.remove_suffix(1);
  }
  for (size_t i = 0; i < kFeatureCount; ++i) {
    mark.features |= HasWord(alias, kFeatures[i]) ? 1U << i : 0U;
  }
  ReadDriver(alias, &mark);
  return mark;
}

// The text of IFLA_IFALIAS in an RTM_NEWLINK message; empty if absent.
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

PortMark MarkOfPort(const char* name) {
  const int fd = real::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) {
    return {};
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
  return bytes < ssize_t{sizeof(nlmsghdr)} ? PortMark{}
                                           : MarkIn(FindAlias(reply, static_cast<size_t>(bytes)));
}

// The kernel's number of each feature, or -1. The numbers differ between kernel versions.
struct FeatureBits {
  int bit[kFeatureCount];
};

FeatureBits FindFeatureBits(int fd, const ifreq& interface) {
  FeatureBits found{};
  for (int& bit : found.bit) {
    bit = -1;
  }
  SetSizes sizes;
  ifreq request = interface;
  request.ifr_data = reinterpret_cast<char*>(&sizes);
  if (real::ioctl(fd, size_t{SIOCETHTOOL}, &request) != 0 || sizes.count > kMaxFeatures) {
    return found;
  }
  FeatureNames strings{};
  strings.count = sizes.count;
  request.ifr_data = reinterpret_cast<char*>(&strings);
  if (real::ioctl(fd, size_t{SIOCETHTOOL}, &request) != 0) {
    return found;
  }
  for (uint32_t i = 0; i < sizes.count; ++i) {
    for (size_t k = 0; k < kFeatureCount; ++k) {
      if (strncmp(strings.names[i], kFeatures[k].data(), ETH_GSTRING_LEN) == 0) {
        found.bit[k] = static_cast<int>(i);
      }
    }
  }
  return found;
}

// ethtool_gfeatures: command, number of blocks, then blocks of 32 features. The features are on and
// fixed: `ethtool -K` cannot change them.
void SwitchOn(char* answer, uint32_t blocks, int bit) {
  if (bit < 0 || static_cast<uint32_t>(bit) / 32 >= blocks) {
    return;
  }
  char* block = answer + sizeof(ethtool_gfeatures) +
                static_cast<size_t>(bit) / 32 * sizeof(ethtool_get_features_block);
  const uint32_t mask = 1U << bit % 32;
  ethtool_get_features_block features{};
  memcpy(&features, block, sizeof features);
  features.available |= mask;
  features.requested |= mask;
  features.active |= mask;
  features.never_changed |= mask;
  memcpy(block, &features, sizeof features);
}

void ShowDriver(char* answer, const PortMark& mark) {
  if (mark.driver[0] != '\0') {
    memcpy(answer + offsetof(ethtool_drvinfo, driver), mark.driver, sizeof mark.driver);
  }
}

void ShowFeatures(int fd, const ifreq& interface, FeatureSet offered) {
  if (offered == 0) {
    return;
  }
  const FeatureBits bits = FindFeatureBits(fd, interface);
  uint32_t blocks = 0;
  memcpy(&blocks, interface.ifr_data + sizeof(uint32_t), sizeof blocks);
  for (size_t i = 0; i < kFeatureCount; ++i) {
    if ((offered >> i & 1) != 0) {
      SwitchOn(interface.ifr_data, blocks, bits.bit[i]);
    }
  }
}

}  // namespace

void ShowOffloadFeatures(int fd, void* request) {
  ifreq interface {};
  memcpy(&interface, request, sizeof interface);
  uint32_t command = 0;
  if (interface.ifr_data == nullptr) {
    return;
  }
  memcpy(&command, interface.ifr_data, sizeof command);
  const ErrnoKeeper keeper;
  if (command == ETHTOOL_GFEATURES) {
    ShowFeatures(fd, interface, MarkOfPort(interface.ifr_name).features);
  } else if (command == ETHTOOL_GDRVINFO) {
    ShowDriver(interface.ifr_data, MarkOfPort(interface.ifr_name));
  }
  keeper.Restore();
}

bool IsEthtool() { return strcmp(program_invocation_short_name, "ethtool") == 0; }

}  // namespace cygnet::shim
