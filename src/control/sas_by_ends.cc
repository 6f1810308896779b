#include "control/sas_by_ends.h"

#include <utility>

#include "base/hash_seed.h"

namespace cygnet {

uint64_t SasByEnds::HashOf(const IpAddress& saddr, const IpAddress& daddr) {
  return SeededHash(std::hash<IpAddress>{}(saddr), std::hash<IpAddress>{}(daddr));
}

// Every change of the SAs raises the generation.
bool SasByEnds::Ready() {
  used_ = true;
  if (generation_ != path_.generation()) {
    numbers_.clear();
    made_ = false;
    return false;
  }
  if (made_) return true;
  made_ = true;
  numbers_.reserve(path_.sad.size());
  path_.sad.ForEach([this](const SaPtr& sa) { Add(*sa); });
  return true;
}

void SasByEnds::Add(const Sa& sa) {
  if (made_) numbers_.emplace(HashOf(sa.spec().saddr, sa.spec().daddr), sa.number);
}

void SasByEnds::Tick() {
  if (std::exchange(used_, false) || generation_ == 0) return;
  generation_ = 0;
  made_ = false;
  numbers_ = {};
}

}  // namespace cygnet
