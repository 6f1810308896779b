// Shadow verification: the CPU computes again what devices do. Every packet that a device gets
// wrong is caught; every packet that it gets right passes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "datapath/shadow/device_shadow.h"
#include "support/esp_oracle.h"
#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::IpFields;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::TestPair;
using test::Udp;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

SaOptions OnDevice(SaOptions options, OffloadMode mode, bool inbound) {
  options.offload = OffloadRequest{mode, TestHost::kIfindex, inbound};
  return options;
}

// A card that supports every algorithm and mode.
void AllowEverything(SimNic* nic) {
  OffloadCaps caps = nic->caps();
  caps.algorithms.clear();
  for (const AlgorithmDescriptor& row : AllAlgorithms()) caps.algorithms.push_back(row.name);
  caps.key_bytes = {16, 24, 32};
  caps.icv_bytes = {8, 12, 16, 24, 32};
  caps.beet = true;
  nic->set_caps(caps);
}

struct Shape {
  const char* name;
  SaOptions options;
  const char* inner_a;
  const char* inner_b;
};
void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

std::unique_ptr<TestPair> MakePair(const Shape& shape, OffloadMode mode, uint32_t verify) {
  const test::TestHostOptions host{.nic = true, .verify = verify};
  auto pair = std::make_unique<TestPair>(host, host);
  AllowEverything(&pair->a.nic());
  AllowEverything(&pair->b.nic());
  pair->sa_a = pair->a.Add(OnDevice(shape.options, mode, false));
  pair->sa_b = pair->b.Add(OnDevice(shape.options, mode, true));
  pair->AddPolicies(shape.options, shape.inner_a, shape.inner_b);
  return pair;
}

const Shape kTunnel{"Tunnel", {}, "10.1.0.1", "10.2.0.1"};

// The software NIC's policies do not admit it in packet offload.
const Shape kBeet{"Beet",
                  {.mode = SaMode::kBeet, .inner_src = "10.1.0.1", .inner_dst = "10.2.0.1"},
                  "10.1.0.1",
                  "10.2.0.1"};

const Shape kShapes[] = {
    kTunnel,
    {"TunnelEsn", {.flags = kSaFlagEsn}, "10.1.0.1", "10.2.0.1"},
    {"TunnelV6InV4", {}, "fd01::1", "fd02::1"},
    {"TunnelInUdp", {.encap = test::NatT()}, "10.1.0.1", "10.2.0.1"},
    {"TunnelV4InV6", {.src = "2001:db8::1", .dst = "2001:db8::2"}, "10.1.0.1", "10.2.0.1"},
    {"Transport", {.mode = SaMode::kTransport}, "192.0.2.1", "192.0.2.2"},
    {"TransportV6",
     {.src = "2001:db8::1", .dst = "2001:db8::2", .mode = SaMode::kTransport},
     "2001:db8::1",
     "2001:db8::2"},
    {"Icv8", {.icv_bytes = 8}, "10.1.0.1", "10.2.0.1"},
    {"NoReplayWindow", {.window = 0}, "10.1.0.1", "10.2.0.1"},
};

SaSpec WithPair(SaSpec spec, std::string_view cipher, std::size_t key, std::string_view auth,
                std::size_t auth_key, uint16_t icv_bits) {
  spec.aead = {};
  spec.pair.Change()->cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, cipher);
  spec.pair.Change()->cipher.key = KeyMaterial(Pattern(key, 3));
  spec.pair.Change()->auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, auth);
  spec.pair.Change()->auth.key = KeyMaterial(Pattern(auth_key, 4));
  spec.pair.Change()->auth.icv_bits = icv_bits;
  return spec;
}

Bytes InnerFrame(const Shape& shape, std::size_t size, uint8_t seed = 1) {
  return Frame(
      Udp({.src = shape.inner_a, .dst = shape.inner_b, .tos = seed}, 1, 2, Pattern(size, seed)));
}

uint64_t Wrong(TestHost& host, Half half) { return host.shadow().stats().wrong[IndexOf(half)]; }
uint64_t Verified(TestHost& host, Half half) {
  return host.shadow().stats().verified[IndexOf(half)];
}

// --- An honest device ---

class HonestDeviceTest : public testing::TestWithParam<std::tuple<Shape, OffloadMode>> {};

TEST_P(HonestDeviceTest, EveryPacketIsVerifiedAndPasses) {
  const auto& [shape, mode] = GetParam();
  const auto pair = MakePair(shape, mode, 1);
  uint64_t sent = 0;
  for (std::size_t size = 0; size < 1300; size += 37, ++sent) {
    const Bytes frame = InnerFrame(shape, size, static_cast<uint8_t>(size));
    const auto delivered = pair->Deliver(frame);
    ASSERT_THAT(delivered, SizeIs(1)) << size;
    EXPECT_EQ(Bytes(delivered[0].begin() + 14, delivered[0].end()),
              Bytes(frame.begin() + 14, frame.end()))
        << size;
  }
  // This device does not seal ESP in UDP in crypto offload.
  if (mode == OffloadMode::kCrypto && shape.options.encap.has_value()) sent = 0;
  EXPECT_EQ(Verified(pair->a, Half::kOutbound), sent);
  EXPECT_EQ(Verified(pair->b, Half::kInbound), sent);
  EXPECT_EQ(Wrong(pair->a, Half::kOutbound), 0u);
  EXPECT_EQ(Wrong(pair->b, Half::kInbound), 0u);
  EXPECT_EQ(pair->a.guard().unsealed_stopped, 0u);
  EXPECT_EQ(pair->a.AllDrops() + pair->b.AllDrops(), 0u);
}

std::string NameOf(const testing::TestParamInfo<std::tuple<Shape, OffloadMode>>& info) {
  return std::string(std::get<0>(info.param).name) +
         (std::get<1>(info.param) == OffloadMode::kPacket ? "Packet" : "Crypto");
}
INSTANTIATE_TEST_SUITE_P(All, HonestDeviceTest,
                         testing::Combine(testing::ValuesIn(kShapes),
                                          testing::Values(OffloadMode::kCrypto,
                                                          OffloadMode::kPacket)),
                         NameOf);

INSTANTIATE_TEST_SUITE_P(Beet, HonestDeviceTest,
                         testing::Values(std::tuple(kBeet, OffloadMode::kCrypto)), NameOf);

TEST(ShadowTest, OptionsAndExtensionHeadersAreVerified) {
  for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
    for (const Shape& shape : kShapes) {
      const auto pair = MakePair(shape, mode, 1);
      IpFields fields{.src = shape.inner_a, .dst = shape.inner_b, .proto = 17};
      if (std::string(shape.inner_a).find(':') == std::string::npos) {
        fields.options = {1, 1, 1, 1};
      } else {
        fields.options = {17, 0, 1, 4, 0, 0, 0, 0};
        fields.first_header = 60;
      }
      EXPECT_THAT(pair->Deliver(Frame(test::IpPacket(fields, Pattern(100)))), SizeIs(1))
          << shape.name;
      EXPECT_EQ(Wrong(pair->a, Half::kOutbound) + Wrong(pair->b, Half::kInbound), 0u) << shape.name;
    }
  }
}

TEST(ShadowTest, EveryAlgorithmIsVerified) {
  const struct {
    const char* cipher;
    std::size_t key;
    const char* auth;
    std::size_t auth_key;
    uint16_t icv;
  } pairs[] = {{"cbc(aes)", 16, "hmac(sha256)", 32, 128},
               {"cbc(des3_ede)", 24, "hmac(sha1)", 20, 96},
               {"rfc3686(ctr(aes))", 20, "hmac(sha512)", 64, 256},
               {"ecb(cipher_null)", 0, "hmac(sha256)", 32, 128}};
  for (const auto& algorithms : pairs) {
    for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
      const test::TestHostOptions host{.nic = true, .verify = 1};
      TestPair pair(host, host);
      AllowEverything(&pair.a.nic());
      AllowEverything(&pair.b.nic());
      const auto spec = [&](bool inbound) {
        return WithPair(test::MakeSpec(OnDevice({}, mode, inbound)), algorithms.cipher,
                        algorithms.key, algorithms.auth, algorithms.auth_key, algorithms.icv);
      };
      pair.sa_a = pair.a.Add(spec(false));
      pair.sa_b = pair.b.Add(spec(true));
      pair.AddPolicies({}, "10.1.0.0/16", "10.2.0.0/16");
      for (std::size_t size = 0; size < 100; size += 3) {
        const Bytes frame = InnerFrame(kTunnel, size);
        EXPECT_THAT(pair.Deliver(frame), ElementsAre(frame)) << algorithms.cipher << " " << size;
      }
      EXPECT_EQ(Verified(pair.a, Half::kOutbound), 34u) << algorithms.cipher;
      EXPECT_EQ(Verified(pair.b, Half::kInbound), 34u) << algorithms.cipher;
    }
  }
}

TEST(ShadowTest, EsnIsVerifiedAcrossTheRollOver) {
  for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
    Shape shape = kTunnel;
    shape.options.flags = kSaFlagEsn;
    shape.options.oseq = 0xfffffff0;
    shape.options.seq = 0xfffffff0;
    const auto pair = MakePair(shape, mode, 1);
    for (int i = 0; i < 40; ++i) {
      EXPECT_THAT(pair->Deliver(InnerFrame(shape, 64)), SizeIs(1)) << i;
    }
    EXPECT_EQ(Verified(pair->b, Half::kInbound), 40u);
    EXPECT_EQ(Verified(pair->a, Half::kOutbound), 40u);
  }
}

// --- A broken device ---

void BreakIcv(Packet* packet) { packet->data()[packet->length - 1] ^= 1; }
void BreakText(Packet* packet) { packet->data()[packet->length - 20] ^= 1; }
void BreakIv(Packet* packet) { packet->data()[14 + 20 + 8 + 7] ^= 1; }
void BreakSpi(Packet* packet) { packet->data()[14 + 20 + 3] ^= 1; }
void BreakNumber(Packet* packet) { packet->data()[14 + 20 + 7] ^= 1; }

class BrokenOutboundTest : public testing::TestWithParam<std::tuple<OffloadMode, int>> {};

TEST_P(BrokenOutboundTest, NothingWrongLeaves) {
  const auto [mode, index] = GetParam();
  const test::Tamper faults[] = {BreakIcv, BreakText, BreakIv, BreakSpi, BreakNumber};
  const auto pair = MakePair(kTunnel, mode, 1);
  pair->a.below_nic = faults[index];
  for (int i = 0; i < 20; ++i) {
    EXPECT_THAT(pair->a.Send(InnerFrame(kTunnel, 100)), IsEmpty()) << i;
  }
  EXPECT_EQ(Wrong(pair->a, Half::kOutbound), 20u);
  EXPECT_EQ(pair->a.nic().device_drops()->Get(DropReason::kOutVerify), 20u);
  const auto evidence = pair->a.shadow().TakeEvidence();
  ASSERT_THAT(evidence, SizeIs(DeviceShadow::kMaxEvidence));
  EXPECT_EQ(evidence[0].half, Half::kOutbound);
  EXPECT_EQ(evidence[0].mode, mode);
  EXPECT_FALSE(evidence[0].esp.empty());
  pair->a.below_nic = {};
  EXPECT_THAT(pair->a.Send(InnerFrame(kTunnel, 100)), SizeIs(1)) << "honest again";
}
INSTANTIATE_TEST_SUITE_P(All, BrokenOutboundTest,
                         testing::Combine(testing::Values(OffloadMode::kCrypto,
                                                          OffloadMode::kPacket),
                                          testing::Range(0, 5)));

TEST(ShadowTest, UnsealedPacketsAreCaughtAsBefore) {
  for (const char* fault : {"skip-seal 3", "skip-icv 3"}) {
    for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
      const auto pair = MakePair(kTunnel, mode, 1);
      ASSERT_TRUE(pair->a.nic().InjectFault(fault));
      for (int i = 0; i < 3; ++i) {
        EXPECT_THAT(pair->a.Send(InnerFrame(kTunnel, 100)), IsEmpty()) << fault;
      }
      EXPECT_EQ(Wrong(pair->a, Half::kOutbound), 3u) << fault;
      EXPECT_THAT(pair->a.Send(InnerFrame(kTunnel, 100)), SizeIs(1)) << fault;
    }
  }
}

TEST(ShadowTest, ClearPacketIsCaughtInPacketOffload) {
  const auto pair = MakePair(kTunnel, OffloadMode::kPacket, 1);
  ASSERT_TRUE(pair->a.nic().InjectFault("policy-miss"));
  EXPECT_THAT(pair->a.Send(InnerFrame(kTunnel, 100)), IsEmpty());
  EXPECT_EQ(Wrong(pair->a, Half::kOutbound), 1u);
}

// The peer would not notice any of these: the device seals them well.
TEST(ShadowTest, NumberThatTheDeviceUsesTwiceIsCaught) {
  const auto pair = MakePair(kTunnel, OffloadMode::kPacket, 1);
  Bytes first;
  pair->a.below_nic = [&](Packet* packet) {
    if (first.empty()) {
      first = test::ToBytes(packet->bytes());
    } else {
      std::memcpy(packet->data(), first.data(), first.size());
    }
  };
  const Bytes frame = InnerFrame(kTunnel, 100);
  EXPECT_THAT(pair->a.Send(frame), SizeIs(1));
  EXPECT_THAT(pair->a.Send(frame), IsEmpty());
  const auto evidence = pair->a.shadow().TakeEvidence();
  ASSERT_THAT(evidence, SizeIs(1));
  EXPECT_EQ(evidence[0].what, "the sequence number was used before");
  EXPECT_EQ(evidence[0].seq, 1u);
}

TEST(ShadowTest, AnotherPacketOfTheSameSaIsCaught) {
  for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
    const auto pair = MakePair(kTunnel, mode, 1);
    const SaSpec spec = test::MakeSpec(kTunnel.options);
    pair->a.below_nic = [&](Packet* packet) {
      const Bytes inner = test::IpPacket({.src = "10.1.0.1", .dst = "10.2.0.1"}, Pattern(92, 9));
      const Bytes other = test::SealedFrame(spec, 1, test::WithTrailer(inner, kProtoIpip));
      ASSERT_LE(other.size(), packet->length);
      packet->TrimTo(static_cast<uint32_t>(other.size()));
      std::memcpy(packet->data(), other.data(), other.size());
    };
    EXPECT_THAT(pair->a.Send(InnerFrame(kTunnel, 100)), IsEmpty());
    EXPECT_EQ(Wrong(pair->a, Half::kOutbound), 1u);
  }
}

// --- Inbound ---

bool IsInner(const Packet& packet) {
  return packet.offload.status == OffloadStatus::kOpened ||
         packet.offload.status == OffloadStatus::kDecapsulated;
}

TEST(ShadowTest, InnerPacketThatTheDeviceChangedIsNotDelivered) {
  for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
    const auto pair = MakePair(kTunnel, mode, 1);
    pair->b.above_nic = [](Packet* packet) {
      if (IsInner(*packet)) packet->data()[packet->length - 40] ^= 1;
    };
    EXPECT_THAT(pair->Deliver(InnerFrame(kTunnel, 100)), IsEmpty());
    EXPECT_EQ(Wrong(pair->b, Half::kInbound), 1u);
    EXPECT_EQ(pair->b.Drops(DropReason::kInVerify), 1u);
    const auto evidence = pair->b.shadow().TakeEvidence();
    ASSERT_THAT(evidence, SizeIs(1));
    EXPECT_EQ(evidence[0].id.spi.value, 0x1000u);
    EXPECT_FALSE(evidence[0].by_device.empty());
    if (mode == OffloadMode::kPacket) {
      EXPECT_EQ(evidence[0].esp, pair->wire[0]);
      EXPECT_EQ(evidence[0].by_cpu, InnerFrame(kTunnel, 100));
    }
  }
}

TEST(ShadowTest, ForgedPacketThatTheDeviceOpenedIsNotDelivered) {
  const auto pair = MakePair(kTunnel, OffloadMode::kCrypto, 1);
  pair->b.above_nic = [](Packet* packet) {
    if (packet->offload.status == OffloadStatus::kAuthFailed) {
      packet->offload.status = OffloadStatus::kOpened;
    }
  };
  Bytes forged = pair->a.Send(InnerFrame(kTunnel, 100)).at(0);
  forged.back() ^= 1;
  EXPECT_THAT(pair->b.Receive(forged), IsEmpty());
  EXPECT_EQ(Wrong(pair->b, Half::kInbound), 1u);
}

TEST(ShadowTest, GoodPacketThatTheDeviceRefusedIsEvidence) {
  const auto pair = MakePair(kTunnel, OffloadMode::kCrypto, 1);
  pair->b.above_nic = [](Packet* packet) { packet->offload.status = OffloadStatus::kAuthFailed; };
  EXPECT_THAT(pair->Deliver(InnerFrame(kTunnel, 100)), IsEmpty());
  EXPECT_EQ(Wrong(pair->b, Half::kInbound), 1u);
}

TEST(ShadowTest, ForgedPacketIsNotHeldAgainstTheDevice) {
  for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
    const auto pair = MakePair(kTunnel, mode, 1);
    Bytes forged = pair->a.Send(InnerFrame(kTunnel, 100)).at(0);
    forged.back() ^= 1;
    EXPECT_THAT(pair->b.Receive(forged), IsEmpty());
    EXPECT_EQ(Wrong(pair->b, Half::kInbound), 0u);
  }
}

// Hands up a packet and its copy a second time, as if the device checked no replay.
TEST(ShadowTest, ReplayThatTheDeviceLetsThroughIsNotDelivered) {
  const auto pair = MakePair(kTunnel, OffloadMode::kPacket, 1);
  const Bytes frame = InnerFrame(kTunnel, 100);
  Bytes copy;
  Bytes inner;
  pair->b.above_nic = [&](Packet* packet) {
    Bytes* kept = packet->offload.status == OffloadStatus::kMirrored ? &copy : &inner;
    if (kept->empty()) {
      *kept = test::ToBytes(packet->bytes());
    } else {
      packet->length = static_cast<uint32_t>(kept->size());
      std::memcpy(packet->data(), kept->data(), kept->size());
    }
  };
  EXPECT_THAT(pair->Deliver(frame), ElementsAre(frame));
  EXPECT_THAT(pair->Deliver(frame), IsEmpty());
  const auto evidence = pair->b.shadow().TakeEvidence();
  ASSERT_THAT(evidence, SizeIs(1));
  EXPECT_EQ(evidence[0].what, "the packet is a replay");
}

TEST(ShadowTest, InnerPacketWithoutItsCopyIsNotDelivered) {
  const auto pair = MakePair(kTunnel, OffloadMode::kPacket, 1);
  EXPECT_THAT(pair->Deliver(InnerFrame(kTunnel, 100)), SizeIs(1));
  ASSERT_TRUE(pair->b.nic().SetMirror(0));
  pair->b.clock.monotonic_ns += 2'000'000'000;
  EXPECT_THAT(pair->Deliver(InnerFrame(kTunnel, 100)), IsEmpty());
  EXPECT_EQ(Wrong(pair->b, Half::kInbound), 1u);
}

TEST(ShadowTest, CopyIsNeverDelivered) {
  const auto pair = MakePair(kTunnel, OffloadMode::kPacket, 1);
  pair->b.above_nic = [](Packet* packet) {  // the inner packet is lost
    if (packet->offload.status == OffloadStatus::kDecapsulated) packet->length = 0;
  };
  EXPECT_THAT(pair->Deliver(InnerFrame(kTunnel, 100)), IsEmpty());
}

// --- The faults of the software NIC ---

struct FaultCase {
  const char* fault;
  OffloadMode mode;
  Half half;
};
void PrintTo(const FaultCase& c, std::ostream* out) { *out << c.fault; }

constexpr OffloadMode kCrypto = OffloadMode::kCrypto;
constexpr OffloadMode kPacket = OffloadMode::kPacket;
const FaultCase kFaults[] = {
    {"skip-seal 8", kCrypto, Half::kOutbound},
    {"skip-seal 8", kPacket, Half::kOutbound},
    {"skip-icv 8", kCrypto, Half::kOutbound},
    {"skip-icv 8", kPacket, Half::kOutbound},
    {"policy-miss 8", kPacket, Half::kOutbound},
    {"wrong-icv out 8", kCrypto, Half::kOutbound},
    {"wrong-icv out 8", kPacket, Half::kOutbound},
    {"wrong-inner out 8", kCrypto, Half::kOutbound},
    {"wrong-inner out 8", kPacket, Half::kOutbound},
    {"wrong-icv in 8", kCrypto, Half::kInbound},
    {"wrong-icv in 8", kPacket, Half::kInbound},
    {"wrong-inner in 8", kCrypto, Half::kInbound},
    {"wrong-inner in 8", kPacket, Half::kInbound},
    {"let-replay 8", kPacket, Half::kInbound},
};

// What B's wire gets for the packets of A: forged ones or replays where the fault is about them.
std::vector<Bytes> Arriving(const FaultCase& c, std::vector<Bytes> sent) {
  const std::string fault = c.fault;
  if (fault.starts_with("wrong-icv in")) {
    for (std::size_t i = 0; i < sent.size(); i += 2) sent[i].back() ^= 1;
  } else if (fault.starts_with("let-replay")) {
    const std::vector<Bytes> again = sent;
    sent.insert(sent.end(), again.begin(), again.end());
  }
  return sent;
}

class FaultTest : public testing::TestWithParam<FaultCase> {};

// With N = 1, what is delivered is what was sent, and nothing is delivered twice.
TEST_P(FaultTest, NothingWrongIsDelivered) {
  const FaultCase& c = GetParam();
  const auto pair = MakePair(kTunnel, c.mode, 1);
  TestHost& broken = IsInbound(c.half) ? pair->b : pair->a;
  ASSERT_TRUE(broken.nic().InjectFault(c.fault));
  std::set<Bytes> due;
  std::vector<Bytes> sent;
  for (uint8_t i = 0; i < 24; ++i) {
    const Bytes frame = InnerFrame(kTunnel, 100, i);
    due.insert(frame);
    for (Bytes& wire : pair->a.Send(frame)) sent.push_back(std::move(wire));
  }
  const SaSpec& spec = pair->sa_b->spec();
  for (const Bytes& wire : sent) {  // all of them verify at an honest peer
    const std::span<const uint8_t> esp = std::span(wire).subspan(34);
    EXPECT_TRUE(test::OracleOpen(spec, LoadBe32(esp.data() + 4), esp).has_value());
  }
  for (const Bytes& wire : Arriving(c, std::move(sent))) {
    for (const Bytes& frame : pair->b.Receive(wire)) {
      EXPECT_EQ(due.erase(frame), 1u) << "wrong, or delivered twice";
    }
  }
  EXPECT_EQ(Wrong(broken, c.half), 8u);
  TestHost& honest = IsInbound(c.half) ? pair->a : pair->b;
  EXPECT_EQ(Wrong(honest, Half::kOutbound) + Wrong(honest, Half::kInbound), 0u);
  const auto evidence = broken.shadow().TakeEvidence();
  ASSERT_THAT(evidence, SizeIs(8));
  for (const ShadowEvidence& e : evidence) {
    EXPECT_FALSE(e.esp.empty() && e.by_device.empty());
    EXPECT_NE(e.what, "");
  }
}

std::string NameOfFault(const testing::TestParamInfo<FaultCase>& info) {
  std::string name = info.param.fault;
  std::erase_if(name, [](char c) { return c == ' ' || c == '-'; });
  return name + (info.param.mode == kPacket ? "Packet" : "Crypto");
}
INSTANTIATE_TEST_SUITE_P(All, FaultTest, testing::ValuesIn(kFaults), NameOfFault);

TEST(ShadowTest, ReorderedPacketsAreRight) {
  for (const OffloadMode mode : {kCrypto, kPacket}) {
    const auto pair = MakePair(kTunnel, mode, 1);
    ASSERT_TRUE(pair->a.nic().InjectFault("reorder out 200"));
    ASSERT_TRUE(pair->b.nic().InjectFault("reorder in 200"));
    for (uint8_t i = 0; i < 200; ++i) pair->a.FromHost(InnerFrame(kTunnel, 100, i));
    pair->a.Run();
    for (const Bytes& wire : pair->a.ToWire()) pair->b.FromWire(wire);
    pair->b.Run();
    EXPECT_THAT(pair->b.ToHost(), SizeIs(200));
    EXPECT_EQ(Wrong(pair->a, Half::kOutbound) + Wrong(pair->b, Half::kInbound), 0u);
  }
}

// --- Samples ---

TEST(ShadowTest, OneOfManyPacketsIsVerified) {
  for (const OffloadMode mode : {OffloadMode::kCrypto, OffloadMode::kPacket}) {
    const auto pair = MakePair(kTunnel, mode, 16);
    for (int i = 0; i < 1600; ++i) EXPECT_THAT(pair->Deliver(InnerFrame(kTunnel, 64)), SizeIs(1));
    for (const uint64_t n :
         {Verified(pair->a, Half::kOutbound), Verified(pair->b, Half::kInbound)}) {
      EXPECT_GT(n, 40u);  // 100 on average; 6 standard deviations
      EXPECT_LT(n, 160u);
    }
    EXPECT_EQ(Wrong(pair->a, Half::kOutbound) + Wrong(pair->b, Half::kInbound), 0u);
  }
}

// How many wrong packets pass before the first is caught: a geometric distribution.
TEST(ShadowTest, WrongPacketsThatPassBeforeTheFirstIsCaught) {
  for (const uint32_t one_of : {16u, 256u}) {
    uint64_t passed = 0;
    constexpr int kRuns = 20;
    for (int run = 0; run < kRuns; ++run) {
      const auto pair = MakePair(kTunnel, OffloadMode::kCrypto, one_of);
      pair->a.below_nic = BreakIcv;
      while (Wrong(pair->a, Half::kOutbound) == 0) {
        passed += pair->a.Send(InnerFrame(kTunnel, 64)).size();
        ASSERT_LT(passed, uint64_t{one_of} * kRuns * 5);
      }
    }
    RecordProperty("passed_of_" + std::to_string(one_of), static_cast<int>(passed / kRuns));
    std::cout << "one of " << one_of << ": " << passed / kRuns
              << " wrong packets pass on average before the first is caught\n";
  }
}

// --- Halves and packets that are not verified ---

TEST(ShadowTest, RequiredHalfIsNotVerifiedAndSaysWhy) {
  const SaSpec spec = test::MakeSpec(OnDevice({}, OffloadMode::kCrypto, false));
  test::TestHostOptions options{.nic = true, .verify = 1};
  PacketPools pools(256, 4);
  TestHost with(&pools, options);
  with.devices[0].mode = PlacementMode::kRequired;
  auto bound =
      BindHalf(spec, Half::kOutbound,
               {.request = ClientRequest(spec), .devices = with.devices, .engines = &with.engines});
  ASSERT_TRUE(bound.has_value());
  EXPECT_EQ(bound->next().shadow(), nullptr);
  EXPECT_THAT(bound->not_verified, testing::HasSubstr("does not get the key"));
  with.nic().ReleaseSa(bound->next().handle);
}

TEST(ShadowTest, ReturnedPacketIsSealedByTheCpu) {
  const auto pair = MakePair(kTunnel, OffloadMode::kCrypto, 1);
  ASSERT_TRUE(pair->a.nic().InjectFault("fail-seal"));
  const Bytes frame = InnerFrame(kTunnel, 100);
  EXPECT_THAT(pair->Deliver(frame), ElementsAre(frame));
  EXPECT_EQ(Verified(pair->a, Half::kOutbound), 0u) << "the CPU sealed it";
}

}  // namespace
}  // namespace cygnet
