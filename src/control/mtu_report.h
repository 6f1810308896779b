// `cygnet mtu explain`: the largest packet to a destination, and what uses the remaining bytes.
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
  std::optional<ParsedAddress> src{};  // not given: the address that the host would send from
  // Not given: the answer holds for all values, or says that it depends on them.
  std::optional<uint8_t> proto{};
  std::optional<uint16_t> dport{};
  std::optional<uint16_t> sport{};
  // The interface that it leaves by; 0: as the host's routes say.
  int32_t ifindex = 0;
  // The interface that another host's packet comes in by; empty: where the route back leads.
  std::string iif{};
  uint32_t mark = 0;  // of the host's firewall, for its routing rules
  // The source stands for a network: whether the host would forward from it is not asked.
  bool any_source = false;
};

struct OverheadPart {
  std::string name;
  int32_t bytes = 0;  // negative if a transform shrinks the packet
};

// One SA of the chain (esp/overhead.h). The parts add up to outer_mtu - inner_mtu.
struct MtuSaReport {
  IpAddress saddr;
  IpAddress daddr;
  IpFamily family = IpFamily::kUnspec;
  Spi spi;
  SaMode mode = SaMode::kTunnel;
  Reqid reqid;
  uint32_t path_mtu = 0;  // learnt from ICMP; 0 = none
  uint32_t outer_mtu =
      0;  // limit for this SA's packets: of the wire, learnt, or left by the next SA
  std::vector<OverheadPart> overhead;
  uint32_t inner_mtu = 0;
};

enum class MtuVerdict : uint8_t {
  kProtected,
  kClear,    // passes as it is
  kBlocked,  // does not pass at all
  kNoSa,     // an SA is missing
  kNotOurs,  // leaves by an interface that the daemon does not own
  kDepends,  // on fields that the question leaves open
};

struct MtuReport {
  FlowKey flow;
  MtuVerdict verdict = MtuVerdict::kClear;
  std::string explanation;  // a sentence
  std::string device;       // empty: none
  std::string tunnel{};     // the tunnel interface that it is sent through; empty: none
  uint32_t tunnel_mtu = 0;  // of that interface; 0: none
  std::string inside{};     // the inside interface that takes it if it is protected; empty: none
  uint32_t wire_mtu = 0;
  uint32_t host_mtu = 0;             // the largest packet that the host sends there; 0: unknown
  std::string host_mtu_of{};         // what limits it
  std::vector<std::string> open{};   // the fields that kDepends is about
  std::optional<PolicySpec> policy;  // the one that decides
  std::vector<MtuSaReport> sas;      // outermost first
  uint32_t inner_mtu = 0;            // of the flow's packets; 0 = they do not pass
  uint32_t tcp_mss = 0;              // largest that fits, without options
};

}  // namespace cygnet
