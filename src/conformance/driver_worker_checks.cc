// Checks of drivers: what a worker waits for, and what it must not wait for.
#include <poll.h>

#include "conformance/call_times.h"
#include "conformance/driver_checks.h"

namespace cygnet::conformance {
namespace {

using Out = DriverBench::Out;

constexpr int kRounds = 32;
constexpr std::size_t kSmall = 64;

Outcome NeverWaits(DriverBench* b) {
  const EspSample sample = b->Sample();
  const auto handle = b->seals() ? b->Start(sample.spec(), Half::kOutbound) : std::nullopt;
  if (b->opens()) (void)b->Start(sample.spec(), Half::kInbound);
  const std::vector<Out> burst(kMaxBatch, handle.has_value()
                                              ? DriverBench::ToSeal(sample, *handle, 1, kSmall)
                                              : Out{.frame = ClearFrame(kSmall)});
  const Bytes arriving = b->opens() ? sample.Sealed(1, kSmall) : ClearFrame(kSmall);
  CallTimes sending, receiving;
  for (int round = 0; round < kRounds; ++round) {
    for (uint32_t i = 0; i < kMaxBatch; ++i) b->wire()->Feed(0, arriving);
    sending.Time([&] { b->Transmit(burst); });
    receiving.Time([&] { b->Poll(0); });
  }
  std::string late = sending.Late("tx_burst with 64 packets");
  if (late.empty()) late = receiving.Late("rx_burst with 64 packets");
  return late.empty() ? Kept() : Broken(late);
}

// True if prepare_wait lets an idle worker sleep.
bool FallsAsleep(DriverBench* b) {
  return b->Wait([b] {
    b->Poll(0);
    if (b->device().PrepareWait(0)) return true;
    b->device().FinishWait(0);
    return false;
  });
}

Outcome WakesWorker(DriverBench* b) {
  constexpr int kPatienceMs = 2000;
  for (int round = 0; round < 16; ++round) {
    CONFORMANCE_REQUIRE(FallsAsleep(b), "prepare_wait never lets an idle worker sleep");
    pollfd fd{b->device().wait_fd(0), POLLIN, 0};
    b->wire()->Feed(0, ClearFrame(kSmall));
    const bool woken = fd.fd >= 0 && poll(&fd, 1, kPatienceMs) > 0;
    b->device().FinishWait(0);
    CONFORMANCE_REQUIRE(woken, "a worker that sleeps on wait_fd is not woken by a frame");
    CONFORMANCE_REQUIRE(b->Received(1).size() == 1, "a worker was woken, and the frame is lost");
  }
  return Kept();
}

}  // namespace

std::span<const Check> DriverWorkerChecks() {
  static constexpr Check kChecks[] = {
      {"never-waits", "tx_burst and rx_burst do not wait", With<NeverWaits, Need::kWire>},
      {"wakes-worker", "a frame that arrives wakes a worker that sleeps on wait_fd",
       With<WakesWorker, Need::kWire>},
  };
  return kChecks;
}

}  // namespace cygnet::conformance
