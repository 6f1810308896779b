// Short windows and their order statistics. If the machine's clock flips between two speeds, the
// windows form two groups: the 5th percentile is in the fast one. The median shows the load of busy
// neighbours.
#pragma once

#include <benchmark/benchmark.h>
#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

namespace cygnet::bench {

inline uint64_t Tsc() {
  _mm_lfence();
  const uint64_t now = __rdtsc();
  _mm_lfence();
  return now;
}

inline double TscPerSecond() {
  static const double rate = [] {
    const auto begin = std::chrono::steady_clock::now();
    const uint64_t tsc = Tsc();
    while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(50)) {
    }
    const uint64_t ticks = Tsc() - tsc;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(ticks) / elapsed.count();
  }();
  return rate;
}

// What a window runs. Not inlined: tools that count instructions know a window by this name
// (run/callgrind.py).
template <typename Fn>
[[gnu::noinline]] void TimedWindow(Fn& fn) {
  fn();
}

// Removes the flag --windows=N from the arguments and returns N: how many windows each row runs, so
// that instructions can be counted. Without it the program decides.
inline std::optional<int> TakeWindows(int* argc, char** argv) {
  constexpr std::string_view kFlag = "--windows=";
  for (int i = 1; i < *argc; ++i) {
    if (!std::string_view(argv[i]).starts_with(kFlag)) continue;
    const int windows = std::atoi(argv[i] + kFlag.size());
    for (int k = i; k + 1 < *argc; ++k) argv[k] = argv[k + 1];
    --*argc;
    if (windows > 0) return windows;
  }
  return std::nullopt;
}

class WindowStats {
 public:
  // Times one window of `packets` packets and reports it to the framework.
  template <typename Fn>
  void Time(benchmark::State* state, uint32_t packets, Fn fn) {
    const uint64_t begin = Tsc();
    TimedWindow(fn);
    const uint64_t ticks = Tsc() - begin;
    per_packet_.push_back(static_cast<double>(ticks) / packets);
    state->SetIterationTime(static_cast<double>(ticks) / TscPerSecond());
  }

  // TSC cycles per packet: best mode and median; Gbit/s of inner bytes in best mode.
  void Report(benchmark::State* state, uint32_t inner_bytes) {
    if (per_packet_.empty()) return;
    std::sort(per_packet_.begin(), per_packet_.end());
    const auto at = [this](double q) {
      return per_packet_[static_cast<std::size_t>(q * static_cast<double>(per_packet_.size() - 1))];
    };
    state->counters["p5"] = at(0.05);
    state->counters["median"] = at(0.5);
    state->counters["Gbps_p5"] = inner_bytes * 8.0 * TscPerSecond() / at(0.05) * 1e-9;
  }

 private:
  std::vector<double> per_packet_;
};

// Threads that ran at the same time, with the cycles per packet of each: their rates add up.
inline void ReportTogether(benchmark::State* state, std::vector<std::vector<double>>* threads,
                           uint32_t inner_bytes) {
  const auto together = [threads](double q) {
    double rate = 0;
    for (std::vector<double>& samples : *threads) {
      if (samples.empty()) continue;
      std::sort(samples.begin(), samples.end());
      rate += 1 / samples[static_cast<std::size_t>(q * static_cast<double>(samples.size() - 1))];
    }
    return 1 / rate;
  };
  const double best = together(0.05);
  state->counters["p5"] = best;
  state->counters["median"] = together(0.5);
  state->counters["Gbps_p5"] = inner_bytes * 8.0 * TscPerSecond() / best * 1e-9;
}

}  // namespace cygnet::bench
