// Several workers at once, on one SA or each on its own: rows of scale_bench.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace cygnet::bench {

// What the workers have in common. kNothing: each has hosts, SAs and buffers of its own. What such
// workers do not reach together either is the machine's doing.
enum class Sharing : uint8_t { kSa, kNothing };

// `out`: times sealing, else opening. `workers` threads do both at once, each with its own flows.
// The result is checked: no loss, each flow in order. p5 and median are for all workers together:
// cycles per packet of their joint output.
void RunWorkers(benchmark::State& state, uint32_t workers, bool out, Sharing sharing);

}  // namespace cygnet::bench
