// Dropped packets, by reason, with what to do. cygnet-counters(7) explains every reason.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/doctor_check.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

// Counters begin with the daemon and never fall, so most reasons are notes: something happened, at
// some time. Those that must never happen are faults.
struct Remedy {
  std::string_view reason;
  Level level;
  std::string_view advice;
};

constexpr std::string_view kWhy =
    "take the addresses of such a packet (cygnet capture, or the SA's drops in cygnet stat sa) and "
    "ask: cygnet why ADDRESS";
constexpr std::string_view kBroken =
    "never expected: take the device or engine out of use (cygnet offload disable) and look at the "
    "log";
constexpr std::string_view kNowhere =
    "cygnet sa names the reason: trust, FIPS mode, or a required device that is not there";

constexpr Remedy kRemedies[] = {
    {"in-no-state", Level::kNote,
     "the peer uses an SA that this host does not have: one of the two restarted; rekey, and look "
     "whether key management runs"},
    {"in-auth-failed", Level::kNote,
     "the ends have different keys, something on the way changes packets, or they are forged"},
    {"in-replay-old", Level::kNote, "a larger replay window helps if the path reorders packets"},
    {"in-replay-duplicate", Level::kNote, "something repeats packets: the network, or an attacker"},
    {"in-selector-mismatch", Level::kNote, kWhy},
    {"in-template-mismatch", Level::kNote, kWhy},
    {"in-no-policy", Level::kNote, kWhy},
    {"in-policy-block", Level::kNote, kWhy},
    {"in-no-tunnel", Level::kNote, "make the tunnel interface with the SA's if_id or mark"},
    {"in-crypto-error", Level::kFault, kBroken},
    {"in-device-error", Level::kFault, kBroken},
    {"in-verify", Level::kFault, kBroken},
    {"in-offload-required", Level::kFault, kNowhere},
    {"in-placement-blocked", Level::kFault, kNowhere},
    {"in-no-numbers", Level::kWarning,
     "the number store gives none: cygnet stored, cygnet cluster"},
    {"out-policy-block", Level::kNote, kWhy},
    {"out-no-state", Level::kNote,
     "packets came before their SA: more than a few mean that key management does not answer"},
    {"out-state-expired", Level::kWarning,
     "an SA reached its hard limit before it was replaced: rekey earlier"},
    {"out-sequence", Level::kFault, "rekey the SA, and use ESN"},
    {"out-no-numbers", Level::kFault, "the number store gives none: cygnet stored, cygnet cluster"},
    {"out-too-big", Level::kNote,
     "senders are told; if they do not listen, reduce the TCP MSS: cygnet mtu explain ADDRESS"},
    {"out-crypto-error", Level::kFault, kBroken},
    {"out-device-error", Level::kFault, kBroken},
    {"out-verify", Level::kFault, kBroken},
    {"out-guard", Level::kFault, kBroken},
    {"out-not-sealed", Level::kFault, kBroken},
    {"out-offload-required", Level::kFault, kNowhere},
    {"out-placement-blocked", Level::kFault, kNowhere},
    {"out-wrong-direction", Level::kNote, "the only SA that fits is for input: its dir is wrong"},
    {"out-hold-full", Level::kNote,
     "too many packets waited: key management is slow, or is not there"},
    {"out-hold-timeout", Level::kNote, "key management made no SA in time: look at its log"},
    {"out-no-next-hop", Level::kNote,
     "the host knows no neighbour for the peer: ip route get PEER, ip neigh"},
    {"out-no-tunnel-policy", Level::kNote, "cygnet why ADDRESS dev TUNNEL"},
    {"out-ether-type", Level::kNote, "pass_ether_types lets other protocols than IP pass"},
    {"in-ether-type", Level::kNote, "pass_ether_types lets other protocols than IP pass"},
    {"port-full", Level::kNote, "the wire is slower than the traffic: cygnet dev -s"},
    {"port-down", Level::kNote,
     "packets came while the wire had no link or the host's interface was down: cygnet dev, ip "
     "link"},
    {"port-too-big", Level::kNote, "the device's MTU is larger than the wire's: ip link"},
    {"no-buffers", Level::kWarning,
     "the packet pools were empty: raise small or jumbo of [pools] in cygnetd.toml"},
};

// The host's side loses packets, too, and for good.
constexpr Remedy kHostSideGone = {
    "port-down", Level::kFault,
    "packets for the host find its interface removed or moved: restart cygnetd"};

bool HostSideIsGone(const DoctorSubject& subject) {
  return std::any_of(subject.devices.begin(), subject.devices.end(), [](const Json& device) {
    const std::string state = Text(Child(device, "host_side"), "state");
    return !state.empty() && state != "present";
  });
}

// The devices by which packets are dropped now, if any.
std::string AdviceOf(const Remedy& remedy, const DoctorSubject& subject) {
  std::string advice(remedy.advice);
  if (remedy.reason != "port-down") return advice;
  for (const Json& device : subject.devices) {
    const Json& link = Child(device, "link");
    if (Text(link, "state") == "up" || Text(link, "state").empty()) continue;
    advice += "; now: " + Text(link, "explanation");
  }
  return advice;
}

const Remedy* RemedyFor(std::string_view reason) {
  const auto found = std::find_if(std::begin(kRemedies), std::end(kRemedies),
                                  [&](const Remedy& row) { return row.reason == reason; });
  return found == std::end(kRemedies) ? nullptr : found;
}

}  // namespace

std::vector<Finding> CheckDrops(const DoctorSubject& subject) {
  std::vector<Finding> rows;
  if (!subject.stat.contains("drops")) {
    rows.push_back({.level = Level::kUnknown,
                    .text = "the daemon does not report its drops",
                    .advice = "use cygnetd and cygnet of the same version"});
    return rows;
  }
  for (const auto& [reason, count] : Child(subject.stat, "drops").items()) {
    const uint64_t packets = count.get<uint64_t>();
    if (packets == 0) continue;
    const bool of_host = reason == kHostSideGone.reason && HostSideIsGone(subject);
    const Remedy* remedy = of_host ? &kHostSideGone : RemedyFor(reason);
    rows.push_back({.level = remedy == nullptr ? Level::kNote : remedy->level,
                    .text = fmt::format("{}: {} packets since cygnetd started", reason, packets),
                    .advice = remedy == nullptr ? "cygnet-counters(7) explains " + reason
                                                : AdviceOf(*remedy, subject)});
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Finding& a, const Finding& b) { return a.level > b.level; });
  return rows;
}

}  // namespace cygnet
