// What cygnetd says about one of its ports. It marks them by an interface alias: "cygnet", the
// names of the ESP features that the port's device offers, and "driver=NAME" if the device stands
// for a card of a certain driver. Operators see it in `ip link`.
#pragma once

#include <linux/ethtool.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>

namespace cygnet::shim {

inline constexpr std::string_view kFeatures[] = {"esp-hw-offload", "esp-tx-csum-hw-offload",
                                                 "tx-esp-segmentation"};
inline constexpr size_t kFeatureCount = std::size(kFeatures);

// Bits by index in kFeatures.
using FeatureSet = uint32_t;

struct PortMark {
  int ifindex = 0;  // 0: the interface is not a port
  FeatureSet features = 0;
  char driver[sizeof(ethtool_drvinfo::driver)] = {};  // empty: that of the TAP
};

// `name`: of an interface, IFNAMSIZ bytes.
PortMark MarkOfPort(const char* name);

// Whether it is a tunnel interface of Cygnet's (netlink/tunnel_mark.h). `ifindex` 0: by `name`.
bool IsTunnel(int ifindex, const char* name);

}  // namespace cygnet::shim
