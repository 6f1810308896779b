// The self-test as a whole, and what it withdraws.
#include "datapath/device_tester.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "datapath/device_tester_steps.h"

namespace cygnet {
namespace {

// Members of OffloadCaps that are a word of CheckCapabilities.
struct FlagRow {
  std::string_view name;
  bool OffloadCaps::*member;
};
constexpr FlagRow kFlags[] = {
    {"crypto-offload", &OffloadCaps::crypto_offload},
    {"packet-offload", &OffloadCaps::packet_offload},
    {"inbound", &OffloadCaps::inbound},
    {"outbound", &OffloadCaps::outbound},
    {"transport", &OffloadCaps::transport},
    {"tunnel", &OffloadCaps::tunnel},
    {"beet", &OffloadCaps::beet},
    {"ipv4", &OffloadCaps::ipv4},
    {"ipv6", &OffloadCaps::ipv6},
    {"esn", &OffloadCaps::esn},
    {"udp-encapsulation", &OffloadCaps::udp_encap},
    {"packet-udp-encapsulation", &OffloadCaps::packet_udp_encap},
    {"replay-check", &OffloadCaps::replay_check},
};

const AlgorithmDescriptor* RowNamed(std::string_view name) {
  const auto all = AllAlgorithms();
  const auto* row = std::ranges::find(all, name, &AlgorithmDescriptor::name).base();
  return row == all.data() + all.size() ? nullptr : row;
}

}  // namespace

DeviceTester::DeviceTester(OffloadDevice* device, const EngineSet& engines, uint32_t mtu)
    : claimed_(device->caps()), loopback_(*device->loopback()), engines_(engines), mtu_(mtu) {
  result_.caps = claimed_;
  for (const std::string_view name : claimed_.algorithms) {
    if (const AlgorithmDescriptor* row = RowNamed(name)) rows_.push_back(row);
  }
}

DeviceSelfTest DeviceTester::Run() {
  constexpr std::array kModes = {OffloadMode::kCrypto, OffloadMode::kPacket};
  for (const OffloadMode mode : kModes) {
    if (Claims(mode)) FindBase(mode);
  }
  // Authenticators first: ciphers are tested with one that works.
  for (const AlgorithmDescriptor* row : rows_) {
    if (row->kind == AlgorithmKind::kAuth) TestAlgorithm(*row);
  }
  for (const AlgorithmDescriptor* row : rows_) {
    if (row->kind != AlgorithmKind::kAuth) TestAlgorithm(*row);
  }
  for (const OffloadMode mode : kModes) BlameMode(mode);
  for (const Half half : kHalves) BlameDirection(half);
  BlameAlgorithms();
  for (const OffloadMode mode : kModes) TestFeatures(mode);
  result_.ran = !down_;
  if (down_) result_.not_tested = "the device went down during the test";
  return std::move(result_);
}

bool DeviceTester::ClaimsSlot(std::size_t slot) const {
  const OffloadCaps& caps = result_.caps;
  const bool mode =
      ModeOf(slot) == OffloadMode::kPacket ? caps.packet_offload : caps.crypto_offload;
  return mode && (IsInbound(HalfOf(slot)) ? caps.inbound : caps.outbound);
}

SelfTestOutcomeOfCase::Kind DeviceTester::Try(const SelfTestCase& test,
                                              std::optional<SelfTestFailure>* failure) {
  if (down_) return Kind::kDown;
  SelfTestOutcomeOfCase outcome = RunSelfTestCase(test, engines_, &loopback_);
  result_.packets += outcome.packets;
  down_ = outcome.kind == Kind::kDown;
  if (outcome.kind == Kind::kFailed) *failure = std::move(outcome.failure);
  return outcome.kind;
}

SelfTestCase DeviceTester::CaseFor(std::size_t slot, const Suite& suite,
                                   SelfTestSizes sizes) const {
  const Base& base = bases_[slot / 2];
  constexpr uint32_t kWindow = 64;
  return {.mode = ModeOf(slot),
          .half = HalfOf(slot),
          .sa_mode = base.sa_mode,
          .outer = base.family,
          .inner = base.family,
          .encryption = suite.encryption,
          .auth = suite.auth,
          .key_bytes = suite.key_bytes,
          .icv_bytes = suite.icv_bytes,
          .window = std::min(kWindow, claimed_.max_replay_window),
          .mtu = mtu_,
          .sizes = sizes};
}

// --- The base ---

std::vector<SaMode> DeviceTester::SaModes() const {
  std::vector<SaMode> modes;
  if (claimed_.transport) modes.push_back(SaMode::kTransport);
  if (claimed_.tunnel) modes.push_back(SaMode::kTunnel);
  if (claimed_.beet) modes.push_back(SaMode::kBeet);
  return modes;
}

std::vector<IpFamily> DeviceTester::Families() const {
  std::vector<IpFamily> families;
  if (claimed_.ipv4) families.push_back(IpFamily::kV4);
  if (claimed_.ipv6) families.push_back(IpFamily::kV6);
  return families;
}

// 2: all directions work; 1: some do; 0: none does.
uint32_t DeviceTester::Probe(OffloadMode mode, const Suite& suite, SaMode sa_mode,
                             IpFamily family) {
  bool passed = false;
  bool failed = false;
  for (const Half half : kHalves) {
    const std::size_t slot = SlotOf(mode, half);
    if (!ClaimsSlot(slot)) continue;
    SelfTestCase test = CaseFor(slot, suite, SelfTestSizes::kProbe);
    test.sa_mode = sa_mode;
    test.outer = family;
    test.inner = family;
    std::optional<SelfTestFailure> failure;
    const Kind kind = Try(test, &failure);
    passed = passed || kind == Kind::kPassed;
    failed = failed || kind == Kind::kFailed;
  }
  return !passed ? 0 : failed ? 1 : 2;
}

// The first mode of SAs and family with which an algorithm works: what an algorithm is blamed for
// must not be theirs.
void DeviceTester::FindBase(OffloadMode mode) {
  uint32_t best = 0;
  for (const AlgorithmDescriptor* row : rows_) {
    if (row->kind == AlgorithmKind::kAuth) continue;
    for (const Suite& suite : SuitesOf(*row)) {
      for (const SaMode sa_mode : SaModes()) {
        for (const IpFamily family : Families()) {
          const uint32_t works = Probe(mode, suite, sa_mode, family);
          if (works <= best) continue;
          best = works;
          bases_[mode == OffloadMode::kPacket] = {sa_mode, family};
          if (best == 2) return;
        }
      }
    }
  }
}

void DeviceTester::Withdraw(std::string name, SelfTestFailure failure) {
  const auto known = [&name](const WithdrawnCapability& w) { return w.name == name; };
  if (std::ranges::any_of(result_.withdrawn, known)) return;
  for (const FlagRow& flag : kFlags) {
    if (flag.name == name) caps().*flag.member = false;
  }
  std::erase(caps().algorithms, std::string_view(name));
  std::erase_if(caps().key_bytes,
                [&](uint16_t bytes) { return name == "key-" + std::to_string(bytes * 8); });
  std::erase_if(caps().icv_bytes,
                [&](uint8_t bytes) { return name == "icv-" + std::to_string(bytes * 8); });
  result_.withdrawn.push_back({std::move(name), std::move(failure.text), std::move(failure.proof)});
}

DeviceSelfTest TestDevice(OffloadDevice* device, const EngineSet& engines, uint32_t mtu) {
  if (device->loopback() == nullptr) {
    DeviceSelfTest result;
    result.not_tested = "the device has no loopback";
    result.caps = device->caps();
    return result;
  }
  const auto start = std::chrono::steady_clock::now();
  DeviceSelfTest result = DeviceTester(device, engines, mtu).Run();
  const auto took = std::chrono::steady_clock::now() - start;
  result.took_us =
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count());
  return result;
}

}  // namespace cygnet
