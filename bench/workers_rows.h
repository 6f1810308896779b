// One SA, two workers: rows of scale_bench.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace cygnet::bench {

// `out`: times sealing, else opening. `workers` threads do both at once, each with its own flows.
// The result is checked: no loss, each flow in order. p5 and median are for all workers together:
// cycles per packet of their joint output.
void RunWorkers(benchmark::State& state, uint32_t workers, bool out);

}  // namespace cygnet::bench
