#include "control/own_devices.h"

#include <algorithm>

namespace cygnet {

std::optional<std::size_t> OwnDevices::Exactly(int32_t ifindex) const {
  const auto found = std::find(ifindexes_.begin(), ifindexes_.end(), ifindex);
  if (found == ifindexes_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - ifindexes_.begin());
}

std::optional<std::size_t> OwnDevices::NumberOf(int32_t ifindex) const {
  if (const auto number = Exactly(ifindex)) return number;
  const int32_t under = Under(ifindex);
  return under != 0 ? Exactly(under) : std::nullopt;
}

int32_t OwnDevices::Under(int32_t ifindex) const {
  constexpr uint64_t kFreshNs = 1'000'000'000;
  if (!links_ || ifindex <= 0) return 0;
  const uint64_t now = clock_.MonotonicNs();
  if (!read_at_ns_.has_value() || now - *read_at_ns_ >= kFreshNs) {
    read_at_ns_ = now;
    under_.clear();
    const std::vector<HostLink> links = links_();
    for (const int32_t own : ifindexes_) {
      for (const int32_t upper : StackOver(links, own)) under_.emplace(upper, own);
    }
  }
  const auto found = under_.find(ifindex);
  return found == under_.end() ? 0 : found->second;
}

Status OwnDevices::RefuseForeignInterface(const Selector& selector) const {
  if (selector.ifindex == 0 || Exactly(selector.ifindex).has_value()) return {};
  if (Under(selector.ifindex) != 0) {
    return MakeError(Errc::kNotSupported,
                     "The selector names an interface over one of Cygnet's, which cannot tell its "
                     "packets from others: name Cygnet's own interface");
  }
  return MakeError(Errc::kNotSupported,
                   "The selector names an interface that is not one of Cygnet's");
}

}  // namespace cygnet
