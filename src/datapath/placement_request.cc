#include "datapath/placement_request.h"

namespace cygnet {

std::string_view Name(PlacementMode mode) {
  static constexpr std::string_view kNames[] = {"no", "crypto", "packet", "auto", "required"};
  static_assert(std::size(kNames) == kPlacementModes.size());
  return kNames[static_cast<std::size_t>(mode)];
}

std::optional<PlacementMode> ParsePlacementMode(std::string_view name) {
  for (const PlacementMode mode : kPlacementModes) {
    if (Name(mode) == name) return mode;
  }
  return std::nullopt;
}

std::string_view Name(RequestedBy by) {
  static constexpr std::string_view kNames[] = {"", "client", "rule", "operator", "device"};
  return kNames[static_cast<std::size_t>(by)];
}

PlacementRequest ClientRequest(const SaSpec& spec) {
  PlacementRequest request;
  if (!spec.offload.has_value() || spec.offload->mode == OffloadMode::kNo) return request;
  request.by = RequestedBy::kClient;
  request.mode =
      spec.offload->mode == OffloadMode::kPacket ? PlacementMode::kPacket : PlacementMode::kCrypto;
  request.ifindex = spec.offload->ifindex;
  return request;
}

}  // namespace cygnet
