// The parts of the control plane that SAs need, wired by hand over a real data path and a real
// software NIC. For unit tests of single parts; ControlPlaneTest has them all.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "support/control_plane_fixture.h"

namespace cygnet::test {

class SasFixture : public testing::Test {
 protected:
  SasFixture() {
    path_.interfaces.push_back({.host = &host_, .wire = &nic_, .offload = &nic_, .ifindex = kNic0});
    device_policies_.Attach(&placement_.devices(), {});
  }
  ~SasFixture() override {
    for (const auto& sa : path_.sad.List()) sas_.Remove(sa);
    while (path_.quiescence.Collect() != 0) continue;
  }
  // Adds an SA; nullptr: it was refused.
  SaPtr Add(const SaOptions& options) {
    return sas_.Add(MakeSpec(options), {}) ? sas_.Named(IdOf(options)) : nullptr;
  }
  static SaId IdOf(const SaOptions& options) {
    return {.daddr = Ip(options.dst),
            .spi = Spi(options.spi),
            .proto = kProtoEsp,
            .family = IpFamily::kV4};
  }
  // A state of ALLOCSPI with this SPI.
  ConstSaPtr Reserve(uint32_t spi, uint32_t seconds = 30) {
    SpiRequest request{
        .spec = MakeSpec(), .min = spi, .max = spi, .larval_lifetime_seconds = seconds};
    const auto sa = larval_.AllocateSpi(std::move(request));
    return sa ? *sa : nullptr;
  }

  static constexpr LarvalLimits kLimits{.per_policy = 2, .total = 4};

  PacketPools pools_{64, 2};
  FakeClock clock_;
  DataPath path_{2};
  EngineSet engines_ = *EngineSet::ForCpu("openssl");
  MemoryPort host_{"nic0"};
  SimNic nic_{"nic0",  std::make_unique<MemoryPort>("wire0"), 1, &pools_,
              nullptr, SimNicOptions{.sa_limit = 4}};
  Recorder recorder_;
  Announcer announcer_{&recorder_, nullptr};
  OwnDevices own_devices_{{kNic0}, {}, &clock_};
  TunnelControl tunnels_{{.path = &path_}};
  std::vector<HostAddress> host_addresses_;
  AddressUpdates addresses_{&path_, &clock_, {.read = [this] { return host_addresses_; }}};
  Placement placement_{{.path = &path_,
                        .clock = &clock_,
                        .engines = &engines_,
                        .devices = {{.name = "nic0",
                                     .ifindex = kNic0,
                                     .host_port = &host_,
                                     .wire_port = &nic_,
                                     .offload = &nic_}}},
                       nullptr};
  DevicePolicies device_policies_{&path_};
  AcquireBudget budget_{kLimits, &clock_};
  LarvalSas larval_{&path_, &clock_, &budget_};
  Aevents aevents_{&announcer_, &clock_};
  NatMappings mappings_{&announcer_, &clock_};
  NatKeepalives keepalives_{&path_, &pools_, &clock_};
  Sas sas_{{.path = &path_,
            .clock = &clock_,
            .announcer = &announcer_,
            .own_devices = &own_devices_,
            .tunnels = &tunnels_,
            .addresses = &addresses_,
            .placement = &placement_,
            .device_policies = &device_policies_,
            .larval = &larval_,
            .aevents = &aevents_,
            .mappings = &mappings_,
            .keepalives = &keepalives_}};
};

}  // namespace cygnet::test
