// The control plane over a device that does packet offload on paper. For tests only.
#pragma once

#include <functional>
#include <string>

#include "support/control_plane_fixture.h"
#include "support/fake_packet_nic.h"

namespace cygnet::test {

// Made before the control plane that uses it.
struct PacketCard {
  FakePacketNic card_;
};

class PacketOffloadTest : protected PacketCard, public ControlPlaneTest {
 protected:
  explicit PacketOffloadTest(const std::function<void(ControlPlaneParams*)>& adjust = {})
      : ControlPlaneTest(4, PlacementMode::kCrypto, [&](ControlPlaneParams* params) {
          params->path->interfaces[0].offload = &card_;
          params->devices[0].offload = &card_;
          if (adjust) adjust(params);
        }) {}

  using ControlPlaneTest::IdOf;
  static PolicyId IdOf(const PolicySpec& spec) { return cygnet::IdOf(spec); }
  static OffloadRequest Request(bool inbound = false, int32_t ifindex = kNic0) {
    return {.mode = OffloadMode::kPacket, .ifindex = ifindex, .inbound = inbound};
  }
  static SaSpec PacketSa(uint32_t spi, bool inbound = false) {
    return MakeSpec({.spi = spi, .offload = Request(inbound)});
  }
  // For 10.1.0.0/16 → 10.N.0.0/16, with a template that MakeSpec() fits.
  static PolicySpec PolicyTo(int network, PolicyDirection direction = PolicyDirection::kOut) {
    return MakePolicy(direction, "10.1.0.0/16", "10." + std::to_string(network) + ".0.0/16",
                      {TemplateFor(SaOptions{})});
  }
  static PolicySpec Offloaded(PolicySpec spec, int32_t ifindex = kNic0) {
    spec.offload = Request(spec.direction == PolicyDirection::kIn, ifindex);
    return spec;
  }
  Status Add(PolicySpec spec) { return control_->AddPolicy(std::move(spec), {}); }
  Status Add(SaSpec spec) { return control_->AddSa(std::move(spec), {}); }
  static std::string TextOf(const Status& status) {
    return status.has_value() ? "done" : status.error().message;
  }
  // The networks of the device's policies, in its order: "2 3".
  std::string Held() const {
    std::string text;
    for (const FakePacketNic::HeldPolicy& held : card_.policies) {
      text += (text.empty() ? "" : " ") + std::to_string(held.spec.selector.daddr.bytes[1]);
    }
    return text;
  }
  static FlowKey FlowTo(int network) {
    return {.saddr = Ip("10.1.0.1"),
            .daddr = Ip("10." + std::to_string(network) + ".0.1"),
            .family = IpFamily::kV4};
  }
};

}  // namespace cygnet::test
