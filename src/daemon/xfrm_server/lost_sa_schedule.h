// LostSaSchedule: the SAs of the previous daemon, and when clients are notified of each. If both
// ends restart, both key managers learn of the same SAs; if they replaced them at the same time,
// their exchanges would collide. So the end with the lower address begins, one tunnel after the
// other. The other end follows with the SAs that have not been replaced by then.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "daemon/store/restart_log.h"
#include "requests/xfrm_control.h"

namespace cygnet {

class LostSaSchedule {
 public:
  using Milliseconds = std::chrono::milliseconds;
  // The longest time over which an end spreads its tunnels.
  static constexpr Milliseconds kSpread{10'000};
  // The time between two tunnels, unless kSpread requires less. The SAs of one tunnel go together.
  static constexpr Milliseconds kApart{100};
  // How much later the other end begins.
  static constexpr Milliseconds kOtherEnd{15'000};
  static constexpr Milliseconds kLongest = kSpread + kOtherEnd;

  using IsOwn = std::function<bool(const IpAddress&, IpFamily)>;
  // `is_own`: whether an address is this host's. Called in Due, as addresses may be added late.
  explicit LostSaSchedule(std::vector<LostSa> lost = {}, IsOwn is_own = {});

  bool empty() const { return rows_.empty(); }
  // The expiries that are due for a client that has listened for `listened`. `notified` marks
  // those that it has got; empty at first. SAs that exist again or were replaced are left out.
  std::vector<netlink::Buffer> Due(Milliseconds listened, const XfrmControl& control,
                                   std::vector<bool>* notified) const;

 private:
  struct Tunnel {
    IpAddress low;
    IpAddress high;
    uint32_t reqid = 0;
    auto operator<=>(const Tunnel&) const = default;
  };
  struct Row {
    Milliseconds at{0};
    Tunnel tunnel;
    IpFamily family = IpFamily::kUnspec;
    LostSa sa;
  };
  bool IsDue(const Row& row, Milliseconds listened) const;

  std::vector<Row> rows_;
  IsOwn is_own_;
};

}  // namespace cygnet
