// SasByEnds: finds SAs by their outer addresses, as MIGRATE names them. No other request does, so
// the SAD has no index for it: a single request walks all SAs. A series of requests, as when a
// gateway with many tunnels gets another address, would walk them once for each. So the second one
// makes an index, which lasts while nothing but the series changes SAs, and is freed soon after.
// Control thread.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "datapath/data_path.h"
#include "sa/sa.h"

namespace cygnet {

class SasByEnds {
 public:
  explicit SasByEnds(const DataPath* path) : path_(*path) {}

  // The newest SA between the two for which fits(sa) is true; nullptr: none. `fits` compares the
  // addresses, too.
  template <typename Fits>
  SaPtr FindNewest(const IpAddress& saddr, const IpAddress& daddr, Fits fits) {
    SaPtr found;
    if (!Ready()) {
      path_.sad.ForEach([&](const SaPtr& sa) {
        if (fits(*sa)) found = sa;
      });
      return found;
    }
    const auto [begin, end] = numbers_.equal_range(HashOf(saddr, daddr));
    for (auto it = begin; it != end; ++it) {
      if (found != nullptr && it->second < found->number) continue;
      const SaPtr sa = path_.sad.FindByNumber(it->second);
      if (sa != nullptr && fits(*sa)) found = sa;
    }
    return found;
  }

  // A request of the series has added the SA. REQUIRES: Follow comes before the next request.
  void Add(const Sa& sa);
  // A request of the series is done: what it changed is known.
  void Follow() { generation_ = path_.generation(); }
  // About once a second.
  void Tick();

 private:
  // True: `numbers_` has all SAs that can be found.
  bool Ready();
  static uint64_t HashOf(const IpAddress& saddr, const IpAddress& daddr);

  const DataPath& path_;
  uint64_t generation_ = 0;  // after the last request of the series; 0: there was none
  bool used_ = false;        // since the last tick
  bool made_ = false;
  // By HashOf. An SA that moved or ended stays; the SAD no longer knows its number.
  std::unordered_multimap<uint64_t, uint64_t> numbers_;
};

}  // namespace cygnet
