// The software NIC's policy table (packet offload). Not thread-safe: protected by SimNic's lock.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "device/packet_offload.h"
#include "net/flow_key.h"
#include "sa/sa_spec.h"

namespace cygnet {

// What a template asks about an SA.
struct OffloadSaFacts {
  explicit OffloadSaFacts(const SaSpec& spec)
      : saddr(spec.saddr),
        daddr(spec.daddr),
        spi(spec.spi),
        family(spec.family),
        mode(spec.mode),
        reqid(spec.reqid),
        selector(spec.selector) {}
  IpAddress saddr;
  IpAddress daddr;
  Spi spi;
  IpFamily family;
  SaMode mode;
  Reqid reqid;
  Selector selector;
};

class SimNicPolicies {
 public:
  std::optional<DeviceRefusal> Add(const PolicySpec& spec, OffloadPolicyHandle* handle);
  void Remove(OffloadPolicyHandle handle);
  // Of both directions.
  std::size_t size() const { return policies_[0].size() + policies_[1].size(); }
  // Removes everything, as a reset does: earlier handles become invalid.
  void Wipe();

  // True if the first outbound policy of the flow wants it protected by this SA.
  bool Protects(const FlowKey& flow, const OffloadSaFacts& sa);

 private:
  static constexpr std::size_t kCached = 1024;  // power of two

  struct Row {
    OffloadPolicyHandle handle;
    PolicySpec spec;
  };
  struct Cached {
    FlowKey flow;
    uint64_t version = 0;
    const Row* row = nullptr;
  };
  const Row* Lookup(const FlowKey& flow);

  std::vector<Row> policies_[2];  // by PolicyDirection; in the order in which they win
  std::vector<Cached> cache_;     // of outbound flows
  uint64_t version_ = 1;
  uint32_t next_handle_ = 1;
};

}  // namespace cygnet
