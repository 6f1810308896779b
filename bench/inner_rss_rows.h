// One tunnel behind a software NIC with a receive queue for each worker: rows of scale_bench.
#pragma once

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string_view>

namespace cygnet::bench {

enum class OpenedBy : uint8_t { kPacketOffload, kCryptoOffload, kCpu };
// "packet", "crypto", "software".
std::string_view Name(OpenedBy by);

// The NIC spreads a burst of one tunnel with many inner flows over the queues; then only the
// workers are timed, in `workers` threads at once. The result is checked: no loss, each flow in
// order. p5 and median are cycles per packet of the whole burst, until the worker with the largest
// share is done. Counters: `share`, the largest share of a worker; `device`, the NIC's cycles per
// packet, which a card spends in hardware.
void RunInnerRss(benchmark::State& state, uint32_t workers, OpenedBy by);

}  // namespace cygnet::bench
