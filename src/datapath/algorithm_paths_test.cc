// Every algorithm and mode on every path: a NIC, a look-aside device and the CPU put the same bytes
// on the wire and deliver the same packets. Also a look-aside device that is full, gone or slow.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/engines/thread_offload.h"
#include "support/hex.h"
#include "support/owners.h"
#include "support/test_host.h"

namespace cygnet::test {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

struct Suite {
  const char* name;
  const char* cipher;
  std::size_t key_bytes;  // with the salt
  const char* auth;       // nullptr: `cipher` is an AEAD
  std::size_t auth_key_bytes;
  uint16_t icv_bits;
};

constexpr Suite kSuites[] = {
    {"gcm128", "rfc4106(gcm(aes))", 20, nullptr, 0, 128},
    {"gcm192icv8", "rfc4106(gcm(aes))", 28, nullptr, 0, 64},
    {"gcm256icv12", "rfc4106(gcm(aes))", 36, nullptr, 0, 96},
    {"ccm128", "rfc4309(ccm(aes))", 19, nullptr, 0, 128},
    {"ccm256icv8", "rfc4309(ccm(aes))", 35, nullptr, 0, 64},
    {"gmac256", "rfc4543(gcm(aes))", 36, nullptr, 0, 128},
    {"chacha", "rfc7539esp(chacha20,poly1305)", 36, nullptr, 0, 128},
    {"null_sha256", "ecb(cipher_null)", 0, "hmac(sha256)", 32, 128},
    {"cbc128_sha1", "cbc(aes)", 16, "hmac(sha1)", 20, 96},
    {"cbc256_sha256", "cbc(aes)", 32, "hmac(sha256)", 32, 128},
    {"cbc128_sha256_96", "cbc(aes)", 16, "hmac(sha256)", 32, 96},
    {"cbc192_sha384", "cbc(aes)", 24, "hmac(sha384)", 48, 192},
    {"cbc256_sha512", "cbc(aes)", 32, "hmac(sha512)", 64, 256},
    {"ctr128_sha256", "rfc3686(ctr(aes))", 20, "hmac(sha256)", 32, 128},
    {"ctr256_sha1", "rfc3686(ctr(aes))", 36, "hmac(sha1)", 20, 96},
    {"des3_sha1", "cbc(des3_ede)", 24, "hmac(sha1)", 20, 96},
    {"cbc128_xcbc", "cbc(aes)", 16, "xcbc(aes)", 16, 96},
    {"cbc128_cmac", "cbc(aes)", 16, "cmac(aes)", 16, 96},
};

void UseSuite(const Suite& suite, SaSpec* spec) {
  const Bytes key = Pattern(suite.key_bytes, 3);
  const Bytes auth_key = Pattern(suite.auth_key_bytes, 5);
  spec->aead = SaAlgorithm{};
  if (suite.auth == nullptr) {
    spec->aead.descriptor = FindAlgorithm(AlgorithmKind::kAead, suite.cipher);
    spec->aead.key = KeyMaterial(key);
    spec->aead.icv_bits = suite.icv_bits;
    return;
  }
  spec->pair.Change()->cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, suite.cipher);
  spec->pair.Change()->cipher.key = KeyMaterial(key);
  spec->pair.Change()->auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, suite.auth);
  spec->pair.Change()->auth.key = KeyMaterial(auth_key);
  spec->pair.Change()->auth.icv_bits = suite.icv_bits;
}

// A NIC that supports every algorithm and mode.
OffloadCaps AllCaps() {
  OffloadCaps caps{.crypto_offload = true,
                   .inbound = true,
                   .outbound = true,
                   .transport = true,
                   .tunnel = true,
                   .beet = true,
                   .ipv4 = true,
                   .ipv6 = true,
                   .esn = true,
                   .udp_encap = true,
                   .key_bytes = {16, 24, 32},
                   .icv_bytes = {8, 12, 16, 24, 32},
                   .max_replay_window = kMaxReplayWindow};
  for (const AlgorithmDescriptor& row : AllAlgorithms()) caps.algorithms.push_back(row.name);
  return caps;
}

// A pair of hosts, each with a look-aside device that the test controls.
class LookAsidePair : public TestPair {
 public:
  explicit LookAsidePair(const EngineOptions& options = {})
      : TestPair({.look_aside = options}, {.look_aside = options}) {}
  static ThreadOffloadEngine& DeviceOf(TestHost* host) {
    return static_cast<ThreadOffloadEngine&>(*host->engines.engine(host->engines.size() - 1));
  }
};

enum class Where { kSoftware, kDevice, kLookAside };

struct Case {
  Suite suite;
  SaMode mode;
  bool esn;
};

std::unique_ptr<TestPair> MakePair(const Case& c, Where where) {
  std::unique_ptr<TestPair> pair;
  if (where == Where::kLookAside) {
    pair = std::make_unique<LookAsidePair>();
  } else {
    const TestHostOptions options{.nic = where == Where::kDevice};
    pair = std::make_unique<TestPair>(options, options);
  }
  SaOptions o{.mode = c.mode};
  if (c.esn) {
    o.flags = kSaFlagEsn;
    o.oseq = o.seq = 0xfffffff0;
  }
  if (c.mode == SaMode::kBeet) {
    o.inner_src = "10.1.0.1";
    o.inner_dst = "10.2.0.1";
  }
  for (TestHost* host : {&pair->a, &pair->b}) {
    SaSpec spec = MakeSpec(o);
    UseSuite(c.suite, &spec);
    if (where == Where::kDevice) {
      host->nic().set_caps(AllCaps());
      spec.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, host == &pair->b};
    }
    (host == &pair->a ? pair->sa_a : pair->sa_b) = host->Add(std::move(spec));
  }
  const bool transport = c.mode == SaMode::kTransport;
  pair->AddPolicies(o, transport ? "192.0.2.1" : "10.1.0.1", transport ? "192.0.2.2" : "10.2.0.1");
  return pair;
}

struct Outcome {
  std::vector<std::string> wire;
  std::vector<std::string> delivered;
  uint64_t auth_failed = 0;
  LifetimeUsage usage_a;
  LifetimeUsage usage_b;
  ReplayState replay;
  bool operator==(const Outcome&) const = default;
};

Outcome Play(const Case& c, Where where) {
  const auto pair = MakePair(c, where);
  const bool transport = c.mode == SaMode::kTransport;
  const IpFields f{.src = transport ? "192.0.2.1" : "10.1.0.1",
                   .dst = transport ? "192.0.2.2" : "10.2.0.1"};
  for (std::size_t i = 0; i < 40; ++i) {
    pair->a.FromHost(Frame(Udp(f, 1, 2, Pattern(i < 20 ? i : i * 34, 7))));
  }
  pair->a.Run();
  Outcome out;
  const auto wire = pair->a.ToWire();
  for (std::size_t i = 0; i < wire.size(); ++i) {
    out.wire.push_back(ToHex(wire[i]));
    Bytes damaged = wire[i];
    damaged[damaged.size() - 1 - i % 30] ^= 0x40;  // ICV, trailer, text
    if (i % 5 == 0) pair->b.FromWire(damaged);
    pair->b.FromWire(wire[i]);
    if (i % 7 == 0) pair->b.FromWire(wire[i]);
  }
  pair->b.Run();
  for (const Bytes& frame : pair->b.ToHost()) out.delivered.push_back(ToHex(frame));
  out.auth_failed = pair->b.Drops(DropReason::kInAuthFailed);
  out.usage_a = pair->sa_a->lifetime().usage();
  out.usage_b = pair->sa_b->lifetime().usage();
  out.replay = pair->sa_b->ExportReplay();
  if (where == Where::kDevice) {
    EXPECT_EQ(pair->a.nic().offload_stats().sealed, 40u);
    EXPECT_GE(pair->b.nic().offload_stats().opened, 40u);
  } else if (where == Where::kLookAside) {
    EXPECT_EQ(LookAsidePair::DeviceOf(&pair->a).stats().jobs, 40u);
    EXPECT_GE(LookAsidePair::DeviceOf(&pair->b).stats().jobs, 40u);
  }
  return out;
}

class AlgorithmPathsTest : public testing::TestWithParam<Case> {};

TEST_P(AlgorithmPathsTest, WireHostAndCountersAreTheSame) {
  const Outcome software = Play(GetParam(), Where::kSoftware);
  ASSERT_THAT(software.wire, SizeIs(40));
  EXPECT_THAT(software.delivered, SizeIs(40));
  EXPECT_EQ(software.auth_failed, 8u);
  // Not EXPECT_EQ, which would print 40 packets in hex.
  EXPECT_TRUE(Play(GetParam(), Where::kDevice) == software) << "NIC";
  EXPECT_TRUE(Play(GetParam(), Where::kLookAside) == software) << "look-aside";
}

std::vector<Case> AllCases() {
  std::vector<Case> cases;
  for (const Suite& suite : kSuites) {
    for (const SaMode mode : {SaMode::kTunnel, SaMode::kTransport, SaMode::kBeet}) {
      for (const bool esn : {false, true}) cases.push_back({suite, mode, esn});
    }
  }
  return cases;
}

std::string NameOf(const testing::TestParamInfo<Case>& info) {
  const char* mode = info.param.mode == SaMode::kTunnel ? "tunnel"
                     : info.param.mode == SaMode::kBeet ? "beet"
                                                        : "transport";
  return std::string(info.param.suite.name) + "_" + mode + (info.param.esn ? "_esn" : "");
}
INSTANTIATE_TEST_SUITE_P(Suites, AlgorithmPathsTest, testing::ValuesIn(AllCases()), NameOf);

// --- The look-aside device and its limits ---

Bytes Inner(std::size_t n) {
  return Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(100 + n)));
}

std::vector<Bytes> Inners(std::size_t n) {
  std::vector<Bytes> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(Inner(i));
  return out;
}

// Sends all frames from A to B and returns those that B's host received.
std::vector<Bytes> Exchange(TestPair* pair, const std::vector<Bytes>& frames) {
  for (const Bytes& frame : frames) pair->a.FromHost(frame);
  pair->a.Run();
  for (const Bytes& frame : pair->a.ToWire()) pair->b.FromWire(frame);
  pair->b.Run();
  return pair->b.ToHost();
}

TEST(LookAsideTest, DeviceDoesTheWorkAndTheReasonSaysWhyNoNicDid) {
  LookAsidePair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(pair.a.bindings[0]->path, ProcessingPath::kLookAside);
  EXPECT_EQ(pair.a.reasons[0].Text(), "not-requested");
  EXPECT_EQ(Exchange(&pair, Inners(200)), Inners(200));
  EXPECT_EQ(LookAsidePair::DeviceOf(&pair.a).stats().jobs, 200u);
}

TEST(LookAsideTest, FullQueueLosesNothingAndKeepsNoPacket) {
  LookAsidePair pair({.queue_depth = 2});
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  std::vector<Bytes> got = Exchange(&pair, Inners(300));
  EXPECT_GT(LookAsidePair::DeviceOf(&pair.a).stats().refused, 0u);
  EXPECT_EQ(got, Inners(300));  // the CPU's packets waited for their turn
  EXPECT_EQ(pair.a.AllDrops() + pair.b.AllDrops(), 0u);
}

TEST(LookAsideTest, DeviceThatFailsUnderLoadLosesNothing) {
  LookAsidePair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  ThreadOffloadEngine& device = LookAsidePair::DeviceOf(&pair.a);
  device.Stall(true);
  for (const Bytes& frame : Inners(100)) pair.a.FromHost(frame);
  while (pair.a.worker->RunOnce() != 0) {
  }
  EXPECT_TRUE(pair.a.worker->HasParked());
  EXPECT_THAT(pair.a.ToWire(), SizeIs(0));
  device.SetDown(true);  // returns the jobs that it holds and accepts no new ones
  for (const Bytes& frame : Inners(50)) pair.a.FromHost(frame);
  pair.a.Run();
  EXPECT_EQ(device.stats().not_done, 100u);
  for (const Bytes& frame : pair.a.ToWire()) pair.b.FromWire(frame);
  pair.b.Run();
  EXPECT_THAT(pair.b.ToHost(), SizeIs(150));
  EXPECT_EQ(pair.a.AllDrops() + pair.b.AllDrops(), 0u);
}

TEST(LookAsideTest, InboundDeviceThatFailsUnderLoadLosesNothing) {
  LookAsidePair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  ThreadOffloadEngine& device = LookAsidePair::DeviceOf(&pair.b);
  for (const Bytes& frame : Inners(100)) pair.a.FromHost(frame);
  pair.a.Run();
  device.Stall(true);
  for (const Bytes& frame : pair.a.ToWire()) pair.b.FromWire(frame);
  while (pair.b.worker->RunOnce() != 0) {
  }
  device.SetDown(true);
  pair.b.Run();
  EXPECT_EQ(pair.b.ToHost(), Inners(100));
  EXPECT_EQ(pair.b.AllDrops(), 0u);
}

TEST(LookAsideTest, SessionLimitLeavesNewcomersToTheCpu) {
  LookAsidePair pair({.session_limit = 1});
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  EXPECT_EQ(pair.a.bindings[0]->path, ProcessingPath::kLookAside);
  EXPECT_EQ(pair.a.bindings[1]->path, ProcessingPath::kSoftware);
  EXPECT_EQ(pair.a.reasons[1].code, ReasonCode::kEngineRefused);
  EXPECT_EQ(Exchange(&pair, Inners(10)), Inners(10));
}

// SAs of all three kinds in one daemon; each runs in its own place (product T8).
TEST(LookAsideTest, NicAndLookAsideDoNotInterfere) {
  TestPair pair({.nic = true, .look_aside = EngineOptions{}}, {});
  SaOptions in_nic{.spi = 0x2001, .reqid = 2};
  in_nic.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, false};
  pair.a.Add(in_nic);
  pair.b.Add({.spi = 0x2001, .reqid = 2});
  pair.AddPolicies(in_nic, "10.1.0.2", "10.2.0.0/16");
  pair.Protect({}, "10.1.0.1", "10.2.0.0/16");
  std::vector<Bytes> all;
  for (std::size_t i = 0; i < 50; ++i) {
    all.push_back(Inner(i));
    all.push_back(Frame(Udp({.src = "10.1.0.2", .dst = "10.2.0.1"}, 1, 2, Pattern(i))));
  }
  EXPECT_THAT(Exchange(&pair, all), testing::UnorderedElementsAreArray(all));
  EXPECT_EQ(pair.a.nic().offload_stats().sealed, 50u);
  EXPECT_EQ(LookAsidePair::DeviceOf(&pair.a).stats().jobs, 50u);
}

TEST(LookAsideTest, SaThatGoesWhileItsPacketsWaitLivesUntilTheyAreOut) {
  LookAsidePair pair;
  pair.Protect({}, "10.1.0.0/16", "10.2.0.0/16");
  LookAsidePair::DeviceOf(&pair.a).Stall(true);
  for (const Bytes& frame : Inners(10)) pair.a.FromHost(frame);
  while (pair.a.worker->RunOnce() != 0) {
  }
  const SaPtr watch = pair.sa_a;
  pair.a.path.sad.Remove(pair.sa_a);
  pair.sa_a.reset();
  pair.a.path.BumpGeneration();
  for (int i = 0; i < 5; ++i) {
    pair.a.worker->RunOnce();
    pair.a.path.quiescence.Collect();
  }
  EXPECT_FALSE(test::HasOneOwner(watch));
  LookAsidePair::DeviceOf(&pair.a).Stall(false);
  pair.a.Run();
  EXPECT_THAT(pair.a.ToWire(), SizeIs(10));
  for (int i = 0; i < 3; ++i) {
    pair.a.worker->RunOnce();
    pair.a.path.quiescence.Collect();
  }
  EXPECT_TRUE(test::HasOneOwner(watch));
}

}  // namespace
}  // namespace cygnet::test
