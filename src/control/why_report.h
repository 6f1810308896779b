// `cygnet why`: what would happen to a packet, step by step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "control/mtu_report.h"
#include "packet/drop_reason.h"
#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

struct WhyQuery {
  MtuQuery packet;
  // A device, or a tunnel interface that it leaves by, or an inside interface that it comes from.
  // Empty: as the host's routes say.
  std::string dev{};
};

enum class WhyVerdict : uint8_t {
  kProtected,
  kClear,
  kWaits,      // for an SA or a next hop
  kDropped,    // `drop` says why
  kNotOurs,    // Cygnet does not see it
  kHostDrops,  // nor does anybody else: the host's own stack drops it
  kDepends,    // on fields that the question leaves open: MtuReport::open
};

// One look-up of the data path and its result.
struct WhyStep {
  std::string step;  // "way", "open", "policy", "sa", "place", "limits", "numbers", "hop", "size",
                     // "answers"
  bool ok = true;    // false: the packet or its answer ends here, or passes Cygnet by
  std::string text{};  // a sentence
};

struct WhySa {
  SaId id;
  IpAddress saddr;
  Reqid reqid;
  SaMode mode = SaMode::kTunnel;
  std::string effective{};  // "software", "crypto" …; empty: not placed
  std::string where{};      // device or engine
  std::string reason{};     // code
};

struct WhyAnswers {
  enum class Verdict : uint8_t { kUnknown, kAccepted, kDropped, kDepends };
  Verdict verdict = Verdict::kUnknown;
  DropReason drop = DropReason::kNone;
  std::optional<PolicySpec> policy{};
};

struct WhyReport {
  MtuReport mtu;         // the flow, its way, and the sizes
  std::string inside{};  // the inside interface that it comes from; empty: none
  WhyVerdict verdict = WhyVerdict::kClear;
  // kDropped: why. kWaits: why it will be dropped if what it waits for does not come.
  DropReason drop = DropReason::kNone;
  std::vector<WhySa> sas{};  // outermost first
  std::vector<WhyStep> steps{};
  WhyAnswers answers{};
};

}  // namespace cygnet
