// `cygnet mtu explain`: how large a packet to a destination may be, and what takes the rest.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "net/flow_key.h"
#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

struct MtuQuery {
  ParsedAddress dst;
  std::optional<ParsedAddress> src;  // not given: what the host would send from
  uint8_t proto = 0;
  uint16_t dport = 0;
};

struct OverheadPart {
  std::string name;
  int32_t bytes = 0;  // negative where a transform makes something smaller
};

// One SA on the way (esp/overhead.h). The parts add up to outer_mtu - inner_mtu.
struct MtuSaReport {
  IpAddress saddr;
  IpAddress daddr;
  IpFamily family = IpFamily::kUnspec;
  Spi spi;
  SaMode mode = SaMode::kTunnel;
  Reqid reqid;
  uint32_t path_mtu = 0;  // learnt from ICMP; 0 = none
  uint32_t outer_mtu =
      0;  // of what the SA makes: the wire's, the learnt one, or the next SA's rest
  std::vector<OverheadPart> overhead;
  uint32_t inner_mtu = 0;
};

enum class MtuVerdict : uint8_t {
  kProtected,
  kClear,    // passes as it is
  kBlocked,  // does not pass at all
  kNoSa,     // an SA is missing
  kNotOurs,  // does not leave by an interface of the daemon's
};

struct MtuReport {
  FlowKey flow;
  MtuVerdict verdict = MtuVerdict::kClear;
  std::string explanation;  // a sentence
  std::string device;       // empty: none
  uint32_t wire_mtu = 0;
  std::optional<PolicySpec> policy;  // that decides
  std::vector<MtuSaReport> sas;      // outermost first
  uint32_t inner_mtu = 0;            // of the flow's packets; 0 = they do not pass
  uint32_t tcp_mss = 0;              // that fits them, without options
};

}  // namespace cygnet
