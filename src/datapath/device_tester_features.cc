// The features of a self-test: modes of SAs, families, ESN, UDP encapsulation, replay.
#include <utility>

#include "datapath/device_tester_steps.h"

namespace cygnet {

const AlgorithmResult* DeviceTester::Working(OffloadMode mode) const {
  for (const AlgorithmResult& a : algorithms_) {
    if (!Has(result_.caps.algorithms, a.algorithm->name)) continue;
    bool works = false;
    bool fails = false;
    for (const Half half : kHalves) {
      const std::size_t slot = SlotOf(mode, half);
      works = works || a.passed[slot];
      fails = fails || a.failed[slot].has_value();
    }
    if (works && !fails) return &a;
  }
  return nullptr;
}

void DeviceTester::TestFeatures(OffloadMode mode) {
  const AlgorithmResult* algorithm = Working(mode);
  if (!Claims(mode) || algorithm == nullptr) return;
  SelfTestCase base =
      CaseFor(SlotOf(mode, Half::kOutbound), algorithm->works, SelfTestSizes::kShort);
  TestFamilies(base);
  TestSaModes(base);
  if (caps().esn) {
    SelfTestCase test = base;
    test.esn = true;
    (void)TestFeature("esn", test);
  }
  const bool packet = mode == OffloadMode::kPacket;
  if (packet ? caps().packet_udp_encap : caps().udp_encap) {
    SelfTestCase test = base;
    test.encap = true;
    const char* name = packet ? "packet-udp-encapsulation" : "udp-encapsulation";
    for (const IpFamily family : {IpFamily::kV4, IpFamily::kV6}) {
      if (!(family == IpFamily::kV4 ? caps().ipv4 : caps().ipv6 && packet)) continue;
      test.outer = family;
      test.inner = family;
      if (!TestFeature(name, test)) break;
    }
  }
  if (packet) TestReplay(base);
}

void DeviceTester::TestFamilies(const SelfTestCase& base) {
  SelfTestCase test = base;
  test.outer = base.outer == IpFamily::kV4 ? IpFamily::kV6 : IpFamily::kV4;
  test.inner = test.outer;
  const bool v4 = test.outer == IpFamily::kV4;
  if (v4 ? caps().ipv4 : caps().ipv6) (void)TestFeature(v4 ? "ipv4" : "ipv6", test);
}

void DeviceTester::TestSaModes(const SelfTestCase& base) {
  struct Row {
    SaMode mode;
    const char* name;
    bool OffloadCaps::*claimed;
  };
  constexpr Row kRows[] = {{SaMode::kTransport, "transport", &OffloadCaps::transport},
                           {SaMode::kTunnel, "tunnel", &OffloadCaps::tunnel},
                           {SaMode::kBeet, "beet", &OffloadCaps::beet}};
  for (const Row& row : kRows) {
    if (!(caps().*row.claimed)) continue;
    SelfTestCase test = base;
    test.sa_mode = row.mode;
    if (row.mode != base.sa_mode && !TestFeature(row.name, test)) continue;
    if (row.mode == SaMode::kTransport || !caps().ipv4 || !caps().ipv6) continue;
    // The other family inside, and outside.
    const IpFamily other = base.outer == IpFamily::kV4 ? IpFamily::kV6 : IpFamily::kV4;
    test.inner = other;
    if (!TestFeature(row.name, test)) continue;
    test.inner = base.outer;
    test.outer = other;
    (void)TestFeature(row.name, test);
  }
}

void DeviceTester::TestReplay(const SelfTestCase& base) {
  if (!caps().replay_check || !ClaimsSlot(SlotOf(OffloadMode::kPacket, Half::kInbound))) return;
  SelfTestCase test = base;
  test.replay = true;
  if (caps().replay_check_without_esn && !TestFeature("replay-check", test)) return;
  test.esn = true;
  if (caps().esn) (void)TestFeature("replay-check", test);
}

// In both directions. False: it does not work.
bool DeviceTester::TestFeature(std::string_view name, SelfTestCase test) {
  for (const Half half : kHalves) {
    if (!ClaimsSlot(SlotOf(test.mode, half)) || (test.replay && !IsInbound(half))) continue;
    test.half = half;
    std::optional<SelfTestFailure> failure;
    if (Try(test, &failure) != Kind::kFailed) continue;
    Withdraw(std::string(name), *std::move(failure));
    return false;
  }
  return true;
}

}  // namespace cygnet
