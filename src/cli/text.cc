// SAs and policies.
#include "cli/text.h"

#include <fmt/format.h>
#include <net/if.h>

#include <algorithm>
#include <ctime>
#include <string_view>

#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string AlgorithmLine(const char* kind, const Json& sa) {
  const auto found = sa.find(kind);
  if (found == sa.end()) return {};
  const Json& row = *found;
  const std::string key = row.contains("key") ? " key " + Text(row, "key") : "";
  return fmt::format("\t{} {}{} ({} bit key) icv {} bits\n", kind, Text(row, "name"), key,
                     Number(row, "key_bits"), Number(row, "icv_bits"));
}

std::string FlagsText(const Json& sa) {
  std::string text;
  for (const Json& flag : Child(sa, "flags")) text += " " + flag.get<std::string>();
  return text.empty() ? text : " flag" + text;
}

// Properties that most SAs do not have.
std::string ExtrasLine(const Json& sa) {
  std::string text;
  if (const std::string direction = Text(sa, "direction"); !direction.empty()) {
    text += " dir " + direction;
  }
  if (sa.contains("pcpu_num")) text += fmt::format(" pcpu-num {}", Number(sa, "pcpu_num"));
  if (const auto encap = sa.find("encap"); encap != sa.end()) {
    text += fmt::format(" encap espinudp sport {} dport {}", Number(*encap, "sport"),
                        Number(*encap, "dport"));
  }
  return text.empty() ? text : "\t" + text.substr(1) + "\n";
}

// Of what is counted, also what is left.
std::string LimitsLine(const Json& sa, Counters which) {
  std::string text;
  const Json& usage = Child(sa, "usage");
  for (const auto& [name, value] : Child(sa, "limits").items()) {
    const auto limit = value.get<uint64_t>();
    text += fmt::format(" {} {}", name, limit);
    const bool counted = name.ends_with("_bytes") || name.ends_with("_packets");
    if (!counted || which == Counters::kNonZero) continue;
    const uint64_t used = Number(usage, name.ends_with("_bytes") ? "bytes" : "packets");
    text += fmt::format(" ({} left)", limit - std::min(limit, used));
  }
  return text.empty() ? text : "\tlimits" + text + "\n";
}

std::string UsageText(const Json& usage) {
  return fmt::format("{} packets, {} bytes, added {}, first used {}", Number(usage, "packets"),
                     Number(usage, "bytes"), TimeText(Number(usage, "add_time")),
                     TimeText(Number(usage, "use_time")));
}

std::string ReplayLine(const Json& sa) {
  const Json& replay = Child(sa, "replay");
  return fmt::format("\tsequence sent {}, received {}\n", Number(replay, "oseq"),
                     Number(replay, "seq"));
}

std::string ErrorsLine(const Json& sa, Counters which) {
  const Json& stats = Child(sa, "stats");
  const uint64_t window = Number(stats, "replay_window");
  const uint64_t replay = Number(stats, "replay");
  const uint64_t integrity = Number(stats, "integrity_failed");
  if (window + replay + integrity == 0 && which == Counters::kNonZero) return {};
  return fmt::format("\terrors replay-window {} replay {} failed {}\n", window, replay, integrity);
}

std::string DropsLine(const Json& sa, Counters which) {
  std::string text;
  for (const auto& [reason, count] : Child(sa, "drops").items()) {
    text += fmt::format(" {} {}", reason, count.get<uint64_t>());
  }
  if (text.empty() && which == Counters::kAll) text = " none";
  return text.empty() ? text : "\tdrops" + text + "\n";
}

// Late packets: "late by 1-1 7, 64-127 2 (2 rejected); a replay window of 128 accepts all".
std::string LatenessLine(const Json& sa) {
  std::string text;
  for (const Json& row : Child(sa, "lateness")) {
    const uint64_t from = Number(row, "from");
    const uint64_t rejected = Number(row, "rejected");
    text += fmt::format("{} {}-{} {}", text.empty() ? "" : ",", from, from == 0 ? 0 : 2 * from - 1,
                        Number(row, "accepted") + rejected);
    if (rejected != 0) text += fmt::format(" ({} rejected)", rejected);
  }
  if (text.empty()) return {};
  return fmt::format("\tlate by{}; a replay window of {} accepts all\n", text,
                     Number(sa, "window_for_all"));
}

std::string PathMtuLine(const Json& sa) {
  if (!sa.contains("path_mtu")) return {};
  return fmt::format("\tpath mtu {}, learnt from ICMP\n", Number(sa, "path_mtu"));
}

std::string OffloadRequestLine(const Json& sa) {
  const auto request = sa.find("offload_requested");
  if (request == sa.end() || request->is_null()) return {};
  // The name that other commands take. The host may call the interface something else.
  std::string device = Text(*request, "device");
  const auto ifindex = static_cast<unsigned>(Number(*request, "ifindex"));
  char name[IF_NAMESIZE] = "";
  if (device.empty() && if_indextoname(ifindex, name) != nullptr) device = name;
  if (device.empty()) device = fmt::format("if{}", ifindex);
  return fmt::format("\toffload requested: {} dev {} dir {}\n", Text(*request, "mode"), device,
                     Text(*request, "dir"));
}

}  // namespace

std::string TimeText(uint64_t seconds) {
  if (seconds == 0) return "never";
  const auto time = static_cast<time_t>(seconds);
  tm parts{};
  char text[32];
  if (localtime_r(&time, &parts) == nullptr ||
      strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts) == 0) {
    return std::to_string(seconds);
  }
  return text;
}

std::string UtcText(uint64_t ms) {
  if (ms == 0) return "never";
  const auto time = static_cast<time_t>(ms / 1000);
  tm parts{};
  char text[32];
  if (gmtime_r(&time, &parts) == nullptr ||
      strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &parts) == 0) {
    return std::to_string(ms);
  }
  return fmt::format("{}.{:03} UTC", text, ms % 1000);
}

std::string SaText(const Json& sa, const Ink& ink, Counters which) {
  std::string text = fmt::format(
      "src {} dst {}\n\tproto {} spi {} reqid {} mode {}\n\treplay-window {}{}\n", Text(sa, "src"),
      Text(sa, "dst"), Text(sa, "proto"), Text(sa, "spi"), Number(sa, "reqid"), Text(sa, "mode"),
      Number(sa, "replay_window"), FlagsText(sa));
  text += AlgorithmLine("aead", sa) + AlgorithmLine("cipher", sa) + AlgorithmLine("auth", sa);
  text += ExtrasLine(sa);
  text += fmt::format("\tsel {}\n", Text(sa, "selector"));
  text += LimitsLine(sa, which);
  const std::string state = Text(sa, "state");
  text += fmt::format("\tstate {}, {}, last used {}\n", ink.Paint(StateTone(state), state),
                      UsageText(Child(sa, "usage")), TimeText(Number(sa, "last_used")));
  text += ReplayLine(sa) + LatenessLine(sa) + ErrorsLine(sa, which) + DropsLine(sa, which) +
          PathMtuLine(sa) + OffloadRequestLine(sa);
  for (const Json& row : Child(sa, "placements")) text += PlacementText(row, ink);
  return text;
}

std::string SaDropsText(const Json& sa) {
  std::string text = fmt::format("src {} dst {} proto {} spi {}\n", Text(sa, "src"),
                                 Text(sa, "dst"), Text(sa, "proto"), Text(sa, "spi"));
  const Json& drops = Child(sa, "drops");
  if (drops.empty()) text += "\tnothing went wrong\n";
  for (const auto& [reason, count] : drops.items()) {
    text += fmt::format("\t{:<32}{}\n", reason, count.get<uint64_t>());
  }
  return text + LatenessLine(sa);
}

namespace {

// Mark and if_id: the tunnel whose packets the policy is for.
std::string SelectionLine(const Json& policy) {
  std::string text;
  if (const auto mark = policy.find("mark"); mark != policy.end()) {
    text += fmt::format(" mark {}/{}", Text(*mark, "value"), Text(*mark, "mask"));
  }
  if (policy.contains("if_id")) text += fmt::format(" if_id {:#x}", Number(policy, "if_id"));
  if (text.empty()) return text;
  const bool unmet = policy.value("unmet", false);
  return "\t" + text.substr(1) +
         (unmet ? " (no tunnel has it: the policy blocks all of its selector)\n" : "\n");
}

}  // namespace

std::string PolicyText(const Json& policy, const Ink& ink) {
  const std::string action = Text(policy, "action");
  const Tone tone = action == "block" ? Tone::kBad : Tone::kPlain;
  std::string text =
      fmt::format("{}\n\tdir {} action {} priority {} index {}\n", Text(policy, "selector"),
                  Text(policy, "dir"), ink.Paint(tone, action), Number(policy, "priority"),
                  Number(policy, "index"));
  text += SelectionLine(policy) + OffloadRequestLine(policy);
  for (const Json& tmpl : Child(policy, "templates")) {
    text +=
        fmt::format("\ttmpl src {} dst {} proto {} spi {} reqid {} mode {} level {}\n",
                    Text(tmpl, "src"), Text(tmpl, "dst"), Text(tmpl, "proto"), Text(tmpl, "spi"),
                    Number(tmpl, "reqid"), Text(tmpl, "mode"), Text(tmpl, "level"));
  }
  return text + fmt::format("\t{}\n", UsageText(Child(policy, "usage")));
}

}  // namespace cygnet
