// Shows the ESP capabilities of a port's device as "esp-hw-offload" and related features, and the
// driver of the card that it plays. IKE daemons and ethtool read features with ETHTOOL_GFEATURES,
// but a TAP has none of these.
#include <linux/ethtool.h>
#include <net/if.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "shim/options.h"
#include "shim/port_mark.h"
#include "shim/real_calls.h"
#include "shim/set_size.h"
#include "shim/statistics.h"

// Included after net/if.h, whose declarations it repeats.
#include <linux/sockios.h>

namespace cygnet::shim {
namespace {

constexpr uint32_t kMaxFeatures = 256;
// ethtool_gstrings with its payload.
struct FeatureNames {
  uint32_t command = ETHTOOL_GSTRINGS;
  uint32_t set = ETH_SS_FEATURES;
  uint32_t count = 0;
  char names[kMaxFeatures][ETH_GSTRING_LEN] = {};
};

// The kernel's number of each feature, or -1. The numbers differ between kernel versions.
struct FeatureBits {
  int bit[kFeatureCount];
};

FeatureBits FindFeatureBits(int fd, const ifreq& interface) {
  FeatureBits found{};
  for (int& bit : found.bit) {
    bit = -1;
  }
  SetSize size(ETH_SS_FEATURES);
  ifreq request = interface;
  request.ifr_data = reinterpret_cast<char*>(&size);
  if (real::ioctl(fd, size_t{SIOCETHTOOL}, &request) != 0 || size.count > kMaxFeatures) {
    return found;
  }
  FeatureNames strings{};
  strings.count = size.count;
  request.ifr_data = reinterpret_cast<char*>(&strings);
  if (real::ioctl(fd, size_t{SIOCETHTOOL}, &request) != 0) {
    return found;
  }
  for (uint32_t i = 0; i < size.count; ++i) {
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
  if (mark.ifindex == 0) {
    return;
  }
  constexpr size_t kCountAt = offsetof(ethtool_drvinfo, n_stats);
  uint32_t count = 0;
  memcpy(&count, answer + kCountAt, sizeof count);
  count += CountStatistics(mark.ifindex);
  memcpy(answer + kCountAt, &count, sizeof count);
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
