// The control plane over a real data path and a real software NIC, with a clock that tests set. For
// tests only.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/control_plane.h"
#include "device/sim_nic/sim_nic.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet::test {

inline constexpr int32_t kNic0 = 7;  // ifindex of the device

// Records the events that listeners receive, as text.
class Recorder final : public ControlListener {
 public:
  void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) override {
    origins.push_back(origin);
    static constexpr const char* kNames[] = {
        "sa-added",     "sa-updated",     "sa-deleted",     "sa-flushed",     "sa-expired",
        "policy-added", "policy-updated", "policy-deleted", "policy-flushed", "policy-expired",
        "defaults",     "acquire",        "aevent",         "mapping",        "asked",
        "migrated",     "sa-migrated"};
    std::string text = kNames[event.index()];
    if (const auto* e = std::get_if<SaExpired>(&event)) text += e->hard ? " hard" : " soft";
    if (const auto* e = std::get_if<PolicyExpired>(&event)) text += e->hard ? " hard" : " soft";
    if (const auto* e = std::get_if<Acquire>(&event)) {
      text += " " + std::to_string(e->seq);
      if (e->cpu) text += " cpu " + std::to_string(*e->cpu);
    }
    if (const auto* e = std::get_if<SaAevent>(&event)) {
      static constexpr const char* kCauses[] = {" update", " sequence", " timer"};
      text += kCauses[static_cast<std::size_t>(e->cause)];
    }
    if (const auto* e = std::get_if<SaMapping>(&event)) {
      text +=
          " " + ToString(e->new_saddr, e->sa->spec().family) + " " + std::to_string(e->new_sport);
    }
    events.push_back(text);
  }
  bool WantsAcquire() const override { return listening; }
  bool WantsAevents() const override { return listening; }

  std::vector<std::string> Take() { return std::exchange(events, {}); }

  std::vector<std::string> events;
  std::vector<RequestOrigin> origins;
  bool listening = true;
};

using Events = std::vector<std::string>;

class ControlPlaneTest : public testing::Test {
 protected:
  // `adjust` changes the default parameters.
  explicit ControlPlaneTest(uint32_t sa_limit = 2, PlacementMode mode = PlacementMode::kCrypto,
                            const std::function<void(ControlPlaneParams*)>& adjust = {})
      : nic_("nic0", std::make_unique<MemoryPort>("wire0"), 1, &pools_, nullptr,
             SimNicOptions{.sa_limit = sa_limit}) {
    engines_ = *EngineSet::ForCpu("openssl");
    path_.interfaces.push_back({.host = &host_, .wire = &nic_, .offload = &nic_, .ifindex = kNic0});
    ControlPlaneParams params;
    params.path = &path_;
    params.clock = &clock_;
    params.engines = &engines_;
    params.listener = &recorder_;
    params.pools = &pools_;
    params.settings = [this] { return settings_; };
    params.devices.push_back({.name = "nic0",
                              .wire = "wire0",
                              .driver = "sim_nic",
                              .ifindex = kNic0,
                              .host_port = &host_,
                              .wire_port = &nic_,
                              .offload = &nic_,
                              .capture = nullptr,
                              .terms = {.mode = mode}});
    if (adjust) adjust(&params);
    control_ = std::make_unique<ControlPlane>(std::move(params));
  }

  static SaSpec Offloaded(uint32_t spi, bool inbound = false, uint8_t icv = 16) {
    return MakeSpec({.spi = spi,
                     .icv_bytes = icv,
                     .offload = OffloadRequest{OffloadMode::kCrypto, kNic0, inbound}});
  }
  static SaId IdOf(uint32_t spi) {
    return {.daddr = test::Ip("192.0.2.2"),
            .spi = Spi(spi),
            .proto = kProtoEsp,
            .family = IpFamily::kV4};
  }
  PlacementReport Placement(uint32_t spi) {
    for (const SaReport& report : control_->ReportSas()) {
      if (report.sa->spec().spi.value == spi) return report.placements.at(0);
    }
    ADD_FAILURE() << "no SA with SPI " << spi;
    return {};
  }
  // The effective place and the reason's code, of one half or of both: "crypto requested".
  std::string Where(uint32_t spi, std::size_t half = 0) {
    for (const SaReport& report : control_->ReportSas()) {
      if (report.sa->spec().spi.value != spi) continue;
      const PlacementReport& p = report.placements.at(half);
      return p.effective + " " + p.reason;
    }
    return "no SA";
  }
  // What workers and devices do between two batches: retired handles are released and the bell is
  // answered.
  void Settle() {
    for (int i = 0; i < 2; ++i) {
      path_.quiescence.Collect();
      control_->OnBell();
    }
  }
  void Pass(uint64_t seconds) {
    clock_.wall_seconds += seconds;
    clock_.monotonic_ns += seconds * 1'000'000'000;
    control_->Tick();
  }

  PacketPools pools_{256, 8};
  FakeClock clock_;
  Recorder recorder_;
  XfrmSettings settings_;
  EngineSet engines_;
  DataPath path_{1};
  MemoryPort host_{"nic0"};
  SimNic nic_;
  std::unique_ptr<ControlPlane> control_;
};

}  // namespace cygnet::test
