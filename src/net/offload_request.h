// OffloadRequest: what a client asks of a device for an SA or a policy (XFRMA_OFFLOAD_DEV).
#pragma once

#include <cstdint>

namespace cygnet {

enum class OffloadMode : uint8_t { kNo, kCrypto, kPacket };

struct OffloadRequest {
  OffloadMode mode = OffloadMode::kNo;
  int32_t ifindex = 0;
  bool inbound = false;
  bool operator==(const OffloadRequest&) const = default;
};

// The interface that packet offload is requested on; 0: packet offload is not requested. An SA and
// a policy belong together only if both have the same (kernel: xfrm_state_find).
template <typename Optional>  // of an OffloadRequest
int32_t PacketDeviceOf(const Optional& request) {
  return request.has_value() && request->mode == OffloadMode::kPacket ? request->ifindex : 0;
}

}  // namespace cygnet
