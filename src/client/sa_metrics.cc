#include "client/sa_metrics.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string>

#include "client/json_fields.h"

namespace cygnet {
namespace {

// Halves whose operator or client asked for a device, and which have none.
void AddLostHalf(const Json& half, std::map<std::pair<std::string, std::string>, uint64_t>* lost) {
  const std::string requested = Text(half, "requested");
  const std::string effective = Text(half, "effective");
  if (requested == "no" || requested.empty()) return;
  if (effective == "crypto" || effective == "packet") return;
  ++(*lost)[{requested, Text(half, "reason")}];
}

void AddHalves(const std::vector<Json>& sas, Samples* metrics) {
  std::map<std::array<std::string, 4>, uint64_t> halves;
  std::map<std::pair<std::string, std::string>, uint64_t> lost;
  for (const Json& sa : sas) {
    for (const Json& half : Child(sa, "placements")) {
      const std::string device = Text(half, "device");
      const std::string effective = Text(half, "effective");
      const std::string engine = effective == "blocked" ? "" : Text(half, "engine");
      ++halves[{Text(half, "direction"), effective, device.empty() ? engine : device,
                Text(half, "reason")}];
      AddLostHalf(half, &lost);
    }
  }
  for (const auto& [key, count] : halves) {
    metrics->Gauge(
        "cygnet_sa_halves", "Halves of SAs, by where their cryptography runs and why.",
        {{"direction", key[0]}, {"effective", key[1]}, {"where", key[2]}, {"reason", key[3]}},
        count);
  }
  for (const auto& [key, count] : lost) {
    metrics->Gauge("cygnet_sa_halves_not_offloaded",
                   "Halves of SAs for which offload is requested and that no device has.",
                   {{"requested", key.first}, {"reason", key.second}}, count);
  }
}

// An SA whose window was too small for packets that arrived late.
bool WindowIsShort(const Json& sa) {
  const uint64_t window = Number(sa, "replay_window");
  return window != 0 && Number(sa, "window_for_all") > window;
}

void AddSums(const std::vector<Json>& sas, Samples* metrics) {
  std::map<std::string, uint64_t> states;
  uint64_t short_windows = 0;
  double numbers = 0;
  for (const Json& sa : sas) {
    ++states[Text(sa, "state")];
    short_windows += WindowIsShort(sa) ? 1 : 0;
    numbers = std::max(numbers, NumbersUsed(sa));
  }
  for (const auto& [state, count] : states) {
    metrics->Gauge("cygnet_sas", "SAs, by state.", {{"state", state}}, count);
  }
  metrics->Gauge("cygnet_sas_replay_window_short",
                 "SAs that got packets later than their replay window; others can forge these.", {},
                 short_windows);
  metrics->Ratio("cygnet_sa_numbers_used_ratio",
                 "Part of its sequence numbers that the SA nearest to their end has used.", {},
                 numbers);
}

void AddOne(const Json& sa, Samples* metrics) {
  const Samples::Labels labels = {
      {"src", Text(sa, "src")}, {"dst", Text(sa, "dst")}, {"spi", Text(sa, "spi")}};
  const Json& usage = Child(sa, "usage");
  const Json& stats = Child(sa, "stats");
  metrics->Counter("cygnet_sa_packets_total", "Packets of the SA.", labels,
                   Number(usage, "packets"));
  metrics->Counter("cygnet_sa_bytes_total", "Bytes of the SA.", labels, Number(usage, "bytes"));
  metrics->Counter("cygnet_sa_integrity_failed_total", "Packets of the SA whose ICV was wrong.",
                   labels, Number(stats, "integrity_failed"));
  metrics->Counter("cygnet_sa_replays_total", "Packets of the SA that its replay check refused.",
                   labels, Number(stats, "replay_window") + Number(stats, "replay"));
  metrics->Gauge("cygnet_sa_replay_window", "Replay window of the SA, in packets.", labels,
                 Number(sa, "replay_window"));
  if (sa.contains("window_for_all")) {
    metrics->Gauge("cygnet_sa_replay_window_advice",
                   "Replay window that would have accepted every late packet of the SA.", labels,
                   Number(sa, "window_for_all"));
  }
}

}  // namespace

double NumbersUsed(const Json& sa) {
  const Json& replay = Child(sa, "replay");
  const uint64_t highest = std::max(Number(replay, "oseq"), Number(replay, "seq"));
  return static_cast<double>(highest) / std::ldexp(1.0, sa.value("esn", false) ? 64 : 32);
}

void AddSaMetrics(const std::vector<Json>& sas, std::size_t most, Samples* metrics) {
  AddSums(sas, metrics);
  AddHalves(sas, metrics);
  if (most == 0) return;
  std::vector<const Json*> order;
  order.reserve(sas.size());
  for (const Json& sa : sas) {
    if (Text(sa, "state") != "larval") order.push_back(&sa);
  }
  const std::size_t listed = std::min(most, order.size());
  const auto end = order.begin() + static_cast<std::ptrdiff_t>(listed);
  std::partial_sort(order.begin(), end, order.end(), [](const Json* a, const Json* b) {
    return Number(Child(*a, "usage"), "bytes") > Number(Child(*b, "usage"), "bytes");
  });
  std::for_each(order.begin(), end, [metrics](const Json* sa) { AddOne(*sa, metrics); });
  metrics->Gauge("cygnet_sas_not_listed", "SAs without metrics of their own.", {},
                 order.size() - listed);
}

}  // namespace cygnet
