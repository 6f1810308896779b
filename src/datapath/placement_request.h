// PlacementRequest: what was requested for one half of an SA, and by whom.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "sa/sa_spec.h"

namespace cygnet {

// A mode requested for one half of an SA or set for a device.
enum class PlacementMode : uint8_t {
  kNo,        // never a device
  kCrypto,    // crypto offload, else software
  kPacket,    // packet offload, else an error
  kAuto,      // the best device that accepts it, requested or not
  kRequired,  // a device, else an error; no software, not even for one packet
};
inline constexpr std::array<PlacementMode, 5> kPlacementModes = {
    PlacementMode::kNo, PlacementMode::kCrypto, PlacementMode::kPacket, PlacementMode::kAuto,
    PlacementMode::kRequired};
// "no", "crypto", "packet", "auto", "required".
std::string_view Name(PlacementMode mode);
std::optional<PlacementMode> ParsePlacementMode(std::string_view name);

enum class RequestedBy : uint8_t {
  kNobody,
  kClient,    // XFRMA_OFFLOAD_DEV
  kRule,      // [[placement]]
  kOperator,  // cygnet placement set
  kDevice,    // the device's offload = "auto"
};
// "" if not requested, "client", "rule", "operator", "device".
std::string_view Name(RequestedBy by);

// The request that applies, after operator, rules, client and devices were considered.
struct PlacementRequest {
  PlacementMode mode = PlacementMode::kNo;
  RequestedBy by = RequestedBy::kNobody;
  bool pinned = false;  // the scheduler does not move it
  int32_t ifindex = 0;  // of the device; 0: any
  bool operator==(const PlacementRequest&) const = default;
};

// The client's request (SaSpec::offload).
PlacementRequest ClientRequest(const SaSpec& spec);

}  // namespace cygnet
