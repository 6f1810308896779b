// Devices and counters.
#include <fmt/format.h>

#include <string_view>

#include "cli/json_fields.h"
#include "cli/text.h"

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

std::string OffloadLines(const Json& device) {
  const Json& offload = Child(device, "offload");
  if (!offload.value("capable", false)) return "\toffload: the device cannot\n";
  std::string text = fmt::format(
      "\toffload {}, device {}: SA slots out {} of {}, in {} of {}, at most {} so far, {} SAs "
      "refused\n",
      Text(offload, "mode"), offload.value("up", false) ? "up" : "down",
      Number(offload, "outbound_used"), Number(offload, "direction_limit"),
      Number(offload, "inbound_used"), Number(offload, "direction_limit"),
      Number(offload, "slots_high_water"), Number(offload, "refusals"));
  text += fmt::format(
      "\tpackets sealed {} opened {} auth-failed {} passed-unknown {} dropped-stale {}\n",
      Number(offload, "sealed"), Number(offload, "opened"), Number(offload, "auth_failed"),
      Number(offload, "passed_unknown"), Number(offload, "dropped_stale"));
  const Json& caps = Child(offload, "capabilities");
  return caps.empty() ? text : text + CapabilitiesLine(caps);
}

std::string HeldLines(const Json& device) {
  const Json& held = Child(device, "held");
  if (held.empty()) return "\tholds no keys\n";
  std::string text =
      fmt::format("\tholds the keys of {} SA{}:\n", held.size(), held.size() == 1 ? "" : "s");
  for (const Json& id : held) {
    text += fmt::format("\t\tdst {} spi {}\n", Text(id, "dst"), Text(id, "spi"));
  }
  return text;
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

std::string DeviceText(const Json& device) {
  return fmt::format("{}: wire {} driver {} ifindex {} mtu {} mac {}\n", Text(device, "name"),
                     Text(device, "wire"), Text(device, "driver"), Number(device, "ifindex"),
                     Number(device, "mtu"), Text(device, "mac")) +
         OffloadLines(device) + HeldLines(device) + PortLine("host", Child(device, "host")) +
         PortLine("wire", Child(device, "wire_stats"));
}

std::string StatText(const Json& stat, Counters which) {
  const uint64_t workers = Number(stat, "workers");
  const std::string lines =
      CounterLines(Child(stat, "xfrm"), which) + CounterLines(Child(stat, "drops"), which);
  return fmt::format("up {} s, {} worker{}, engine {}\n", Number(stat, "uptime_seconds"), workers,
                     workers == 1 ? "" : "s", Text(stat, "engine")) +
         (lines.empty() ? "nothing went wrong (-a shows all counters)\n" : lines);
}

}  // namespace cygnet
