// TunnelSlots: the tunnels that have slots of a device, so that a rekey is recognized: an SA with
// the same ends and reqid. Control thread.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/hash_seed.h"
#include "net/address.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

class TunnelSlots {
 public:
  // `device`: its place in the configuration.
  void Add(std::size_t device, Half half, const SaSpec& spec) {
    ++count_[KeyOf(device, half, spec)];
  }
  // REQUIRES: it was added.
  void Remove(std::size_t device, Half half, const SaSpec& spec) {
    const auto it = count_.find(KeyOf(device, half, spec));
    if (--it->second == 0) count_.erase(it);
  }
  bool Has(std::size_t device, Half half, const SaSpec& spec) const {
    return count_.contains(KeyOf(device, half, spec));
  }

 private:
  struct Key {
    std::size_t device;
    Half half;
    uint32_t reqid;
    IpAddress saddr;
    IpAddress daddr;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    std::size_t operator()(const Key& k) const {
      return SeededHash(std::hash<IpAddress>{}(k.saddr) ^ std::size_t{k.reqid} << 1,
                        std::hash<IpAddress>{}(k.daddr) ^ k.device << 33 ^ IndexOf(k.half));
    }
  };
  static Key KeyOf(std::size_t device, Half half, const SaSpec& spec) {
    return {device, half, spec.reqid.value, spec.saddr, spec.daddr};
  }

  std::unordered_map<Key, uint32_t, KeyHash> count_;
};

}  // namespace cygnet
