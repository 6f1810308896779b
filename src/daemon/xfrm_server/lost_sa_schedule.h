// LostSaSchedule: SAs of the daemon before, and when clients are told of each. When both ends
// restart, both key managers learn of the same SAs; told at once they would replace them at once,
// and their exchanges collide. So one end begins, that with the lower address, and each end goes
// through its tunnels one after the other; the other end follows with what has not been replaced by
// then.
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
  // An end's tunnels are spread over this time at most …
  static constexpr Milliseconds kSpread{10'000};
  // … and this far apart where that is less; the SAs of one tunnel go together.
  static constexpr Milliseconds kApart{100};
  // The other end begins this much later.
  static constexpr Milliseconds kOtherEnd{15'000};
  static constexpr Milliseconds kLongest = kSpread + kOtherEnd;

  using IsOwn = std::function<bool(const IpAddress&, IpFamily)>;
  // `is_own`: an address of this host; asked when it matters, for addresses may come late.
  explicit LostSaSchedule(std::vector<LostSa> lost = {}, IsOwn is_own = {});

  bool empty() const { return rows_.empty(); }
  // The expiries that a client is to be told now that has listened for `listened`; `told` is what
  // it was told of, empty at first. Left out is what is there again, or was replaced.
  std::vector<netlink::Buffer> Due(Milliseconds listened, const XfrmControl& control,
                                   std::vector<bool>* told) const;

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
