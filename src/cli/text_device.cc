// Devices and counters.
#include <fmt/format.h>

#include <string_view>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string Numbers(const Json& list) {
  std::string text;
  for (const Json& number : list) text += fmt::format(" {}", number.get<uint64_t>());
  return text;
}

std::string CapabilitiesLine(const Json& caps) {
  std::string text = "\tcan do";
  constexpr const char* kFeatures[] = {
      "crypto_offload", "packet_offload", "inbound", "outbound", "transport", "tunnel",
      "beet",           "ipv4",           "ipv6",    "esn",      "udp_encap"};
  for (const char* feature : kFeatures) {
    if (!caps.value(feature, false)) continue;
    std::string word = feature;
    for (char& c : word) c = c == '_' ? '-' : c;
    text += " " + word;
  }
  for (const Json& name : Child(caps, "algorithms")) {
    text += " " + name.get<std::string>();
  }
  return text + fmt::format(" key{} icv{} replay-window {}\n", Numbers(Child(caps, "key_bits")),
                            Numbers(Child(caps, "icv_bits")), Number(caps, "max_replay_window"));
}

// "identity Cygnet NIC, serial 42, firmware 1.0".
std::string IdentityLine(const Json& device) {
  const Json& identity = Child(device, "identity");
  std::string text = Text(identity, "model");
  for (const char* field : {"serial", "firmware"}) {
    std::string value = Text(identity, field);
    if (value.empty() && !text.empty() && field == std::string_view("firmware")) value = "unknown";
    if (!value.empty()) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", field, value);
  }
  if (identity.value("simulated", false)) {
    text += ", SIMULATED: a program with its keys in this host's memory, on this host's CPU";
  }
  return text.empty() ? text : "\tidentity " + text + "\n";
}

std::string LinkLine(const Json& device, const Ink& ink) {
  const Json& link = Child(device, "link");
  const std::string state = Text(link, "state");
  if (state.empty()) return {};
  const std::string why = state == "up" ? "" : ": " + Text(link, "explanation");
  const Tone tone = state == "up" ? Tone::kGood : Tone::kBad;
  return fmt::format("\tlink {}{}, {} changes\n", ink.Paint(tone, state), why,
                     Number(link, "changes"));
}

// Only if it is not as cygnetd made it. An older daemon does not report it.
std::string HostSideLine(const Json& device, const Ink& ink) {
  const Json& host = Child(device, "host_side");
  const std::string state = Text(host, "state");
  if (state.empty() || state == "present") return {};
  return fmt::format("\thost side {}: {}\n", ink.Paint(Tone::kBad, state),
                     Text(host, "explanation"));
}

// Whether the device may have keys, and how it may use them.
std::string StateLines(const Json& device, const Ink& ink) {
  const std::string state = Text(device, "state");
  if (state.empty()) return {};
  std::string modes;
  for (const Json& mode : Child(device, "allow_modes")) modes += " " + mode.get<std::string>();
  std::string text = fmt::format(
      "\tstate {}, {}, allows{}, loss {}{}\n",
      ink.Paint(state == "up" ? Tone::kGood : Tone::kNotice, state),
      device.value("trusted", true) ? "trusted" : "NOT trusted", modes.empty() ? " nothing" : modes,
      Text(device, "loss"), device.value("disabled", false) ? ", DISABLED by the operator" : "");
  if (const std::string failure = Text(device, "failure"); !failure.empty()) {
    text += fmt::format("\tfailed: {}\n", failure);
  }
  if (const std::string denied = Text(device, "denied"); !denied.empty()) {
    text += fmt::format("\tgets no keys: {} ({})\n", denied, Text(device, "denied_explanation"));
  }
  return text;
}

std::string ReserveLine(const Json& offload) {
  std::string text;
  if (const uint64_t limit = Number(offload, "addresses_limit"); limit != 0) {
    text = fmt::format(" receive addresses {} of {}, at most {} so far;",
                       Number(offload, "addresses_used"), limit,
                       Number(offload, "addresses_high_water"));
  }
  if (const uint64_t reserve = Number(offload, "rekey_reserve"); reserve != 0) {
    text += fmt::format(" {} slots of each direction kept for rekeying;", reserve);
  }
  if (text.empty()) return text;
  text.back() = '\n';
  return "\t" + text.substr(1);
}

// An older daemon does not report it.
std::string SelfTestLines(const Json& device) {
  const Json& test = Child(device, "self_test");
  if (test.empty()) return {};
  if (!test.value("ran", false)) {
    const std::string why = Text(test, "not_tested");
    return fmt::format("\tself-test: not tested: {}\n", why.empty() ? "not up yet" : why);
  }
  const Json& withdrawn = Child(test, "withdrawn");
  std::string text =
      fmt::format("\tself-test {}: {} packets in {} us\n", withdrawn.empty() ? "passed" : "FAILED",
                  Number(test, "packets"), Number(test, "took_us"));
  for (const Json& row : withdrawn) {
    text += fmt::format("\t\twithdrawn:{}: {}\n", Text(row, "capability"), Text(row, "text"));
  }
  if (const std::string file = Text(test, "evidence"); !file.empty()) {
    text += "\t\tevidence: " + file + "\n";
  }
  return text;
}

std::string OffloadLines(const Json& device) {
  const Json& offload = Child(device, "offload");
  if (!offload.value("capable", false)) return "\toffload: not supported by the device\n";
  std::string text = fmt::format(
      "\toffload {}, device {}: SA slots out {} of {}, in {} of {}, at most {} so far, {} SAs "
      "refused\n",
      Text(offload, "mode"), offload.value("up", false) ? "up" : "down",
      Number(offload, "outbound_used"), Number(offload, "direction_limit"),
      Number(offload, "inbound_used"), Number(offload, "direction_limit"),
      Number(offload, "slots_high_water"), Number(offload, "refusals"));
  text += ReserveLine(offload);
  text += fmt::format(
      "\tpackets sealed {} opened {} auth-failed {} passed-unknown {} dropped-stale {} returned "
      "{}, resets {}\n",
      Number(offload, "sealed"), Number(offload, "opened"), Number(offload, "auth_failed"),
      Number(offload, "passed_unknown"), Number(offload, "dropped_stale"),
      Number(offload, "returned"), Number(offload, "resets"));
  const Json& caps = Child(offload, "capabilities");
  return (caps.empty() ? text : text + CapabilitiesLine(caps)) + SelfTestLines(device);
}

// Only a device with inside interfaces has them.
std::string InsideLines(const Json& device) {
  std::string text;
  for (const Json& inside : Child(device, "inside")) {
    text += fmt::format(
        "\tinside {}: {}, {} hosts, takes {} prefixes ({} left to the host)\n"
        "\t\tfrom it {} packets {} bytes, to it {} packets {} bytes, lost before {}; of all by the "
        "host {}\n",
        Text(inside, "name"), Text(inside, "state"), Number(inside, "hosts"),
        Number(inside, "prefixes"), Number(inside, "left_to_host"), Number(inside, "rx_packets"),
        Number(inside, "rx_bytes"), Number(inside, "tx_packets"), Number(inside, "tx_bytes"),
        Number(inside, "rx_dropped"), Number(inside, "misses"));
    if (const std::string why = Text(inside, "explanation"); !why.empty()) {
      text += "\t\tits packets go by the host: " + why + "\n";
    }
  }
  return text;
}

std::string HeldLines(const Json& device) {
  const Json& held = Child(device, "held");
  const char* known = Text(device, "held_known_by") == "ledger"
                          ? ", as the ledger has it (no records of its own)"
                          : "";
  if (held.empty()) return fmt::format("\tholds no keys{}\n", known);
  std::string text = fmt::format("\tholds the keys of {} SA{}{}:\n", held.size(),
                                 held.size() == 1 ? "" : "s", known);
  for (const Json& id : held) {
    text += fmt::format("\t\tdst {} spi {}\n", Text(id, "dst"), Text(id, "spi"));
  }
  return text;
}

std::string GuardLine(const Json& device) {
  const Json& guard = Child(device, "guard");
  return fmt::format(
      "\tseal guard: {} frames checked, stopped {} in clear, {} not sealed by the device, {} not "
      "sealed by an engine\n",
      Number(guard, "frames_checked"), Number(guard, "clear_stopped"),
      Number(guard, "unsealed_stopped"), Number(guard, "engine_unsealed"));
}

// Shadow verification. An older daemon does not report it.
std::string ShadowLines(const Json& device) {
  const Json& shadow = Child(device, "shadow");
  std::string text;
  if (const std::string caught = Text(shadow, "caught"); !caught.empty()) {
    text += "\tCAUGHT: " + caught + "; no SA goes there until it is enabled again\n";
  }
  const auto side = [&shadow](const char* name) {
    const Json& counts = Child(shadow, name);
    return fmt::format("{} {} verified {} wrong {} unverified", name, Number(counts, "verified"),
                       Number(counts, "wrong"), Number(counts, "unverified"));
  };
  if (const uint64_t one_of = Number(shadow, "verify"); one_of != 0) {
    text += fmt::format("\tthe CPU verifies one of {} packets: {}, {}\n", one_of, side("out"),
                        side("in"));
  }
  if (const std::string file = Text(shadow, "evidence"); !file.empty()) {
    text += "\tevidence: " + file + " (packets in clear)\n";
  }
  return text;
}

// The wire fence. An older daemon does not report it.
std::string FenceLine(const Json& device) {
  const Json& fence = Child(device, "fence");
  const std::string state = Text(fence, "state");
  if (state.empty()) return {};
  if (state == "none") return "\tfence NONE: the host's own stack may use the wire\n";
  std::string text = fmt::format("\tfence {}: nftables{}{}", state == "broken" ? "BROKEN" : state,
                                 fence.value("owned", false) ? " (owned)" : "",
                                 fence.value("by_tc", false) ? " and tc" : "");
  if (const uint64_t restored = Number(fence, "restored"); restored != 0) {
    text += fmt::format(", removed and restored {} time{}", restored, restored == 1 ? "" : "s");
  }
  const std::string explanation = Text(fence, "explanation");
  return text + (explanation.empty() ? "\n" : "; " + explanation + "\n");
}

std::string PortLine(const char* side, const Json& stats) {
  return fmt::format("\t{} rx {} packets {} bytes {} lost, tx {} packets {} bytes\n", side,
                     Number(stats, "rx_packets"), Number(stats, "rx_bytes"),
                     Number(stats, "rx_dropped"), Number(stats, "tx_packets"),
                     Number(stats, "tx_bytes"));
}

std::string CounterLines(const Json& counters, Counters which) {
  std::string text;
  for (const auto& [name, value] : counters.items()) {
    const auto count = value.get<uint64_t>();
    if (count != 0 || which == Counters::kAll) text += fmt::format("{:<32}{}\n", name, count);
  }
  return text;
}

}  // namespace

std::string DeviceText(const Json& device, const Ink& ink) {
  return fmt::format("{}: wire {} driver {} ifindex {} mtu {} mac {}\n", Text(device, "name"),
                     Text(device, "wire"), Text(device, "driver"), Number(device, "ifindex"),
                     Number(device, "mtu"), Text(device, "mac")) +
         IdentityLine(device) + StateLines(device, ink) + LinkLine(device, ink) +
         HostSideLine(device, ink) + OffloadLines(device) + InsideLines(device) +
         FenceLine(device) + GuardLine(device) + ShadowLines(device) + HeldLines(device) +
         PortLine("host", Child(device, "host")) + PortLine("wire", Child(device, "wire_stats"));
}

std::string KeyLogText(const Json& device) {
  std::string text;
  for (const Json& entry : Child(device, "key_log")) {
    const bool erased = entry.value("erased", false);
    text += fmt::format("\t\t{} dst {} spi {} dir {}: {}\n", TimeText(Number(entry, "time")),
                        Text(entry, "dst"), Text(entry, "spi"), Text(entry, "direction"),
                        !entry.value("taken", false) ? "refused"
                        : erased                     ? "taken, erased since"
                                                     : "taken");
  }
  return text.empty() ? "\tkeeps no key log\n" : "\tits own key log:\n" + text;
}

// As `ethtool -S` shows them. An older daemon does not report them.
std::string StatisticsText(const Json& device) {
  std::string text;
  for (const auto& [name, value] : Child(device, "statistics").items()) {
    text += fmt::format("\t\t{}: {}\n", name, value.get<uint64_t>());
  }
  return text.empty() ? text : "\tstatistics of its driver:\n" + text;
}

std::string StatText(const Json& stat, Counters which) {
  const uint64_t workers = Number(stat, "workers");
  std::string lines =
      CounterLines(Child(stat, "xfrm"), which) + CounterLines(Child(stat, "drops"), which);
  if (const uint64_t refused = Number(stat, "acquires_refused"); refused != 0) {
    lines += fmt::format("{} ACQUIREs refused at the limit of larval states\n", refused);
  }
  return fmt::format("up {} s, {} worker{}, engine {}\n", Number(stat, "uptime_seconds"), workers,
                     workers == 1 ? "" : "s", Text(stat, "engine")) +
         (lines.empty() ? "nothing went wrong (-a shows all counters)\n" : lines);
}

}  // namespace cygnet
