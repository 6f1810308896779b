// One SA, two workers: rows of scale_bench.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>

namespace cygnet::bench {

// `out`: sealing is timed, else opening. Both are done by `workers` threads at once, each with its
// own flows, and checked: nothing lost, each flow in order. p5 and median are of all workers
// together: cycles in which one packet comes out somewhere.
void RunWorkers(benchmark::State& state, uint32_t workers, bool out);

}  // namespace cygnet::bench
