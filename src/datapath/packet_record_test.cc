// What a capture of both sides sees: packets in clear with their ESP packet, and drops.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "net/esp_view.h"
#include "support/hex.h"
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
using testing::IsEmpty;
using testing::SizeIs;

const IpFields kInner;

struct Path {
  const char* name;
  test::TestHostOptions options;
  CapturePlace place;
};

void PrintTo(const Path& path, std::ostream* out) { *out << path.name; }

// An SA from A to B, on their devices if they have some.
void Connect(TestPair* pair) {
  const auto half = [pair](bool inbound) {
    SaOptions options;
    if (pair->a.path.interfaces[0].offload != nullptr) {
      options.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, inbound};
    }
    return options;
  };
  pair->sa_a = pair->a.Add(half(false));
  pair->sa_b = pair->b.Add(half(true));
  pair->AddPolicies({}, kInner.src, kInner.dst);
}

std::shared_ptr<CaptureQueue> Watch(CapturePoints* points) {
  auto queue = std::make_shared<CaptureQueue>(2000, 1'000'000, -1);
  points->inner.Attach(queue, 0);
  points->wire.Attach(queue, 1);
  return queue;
}

// Sequence number of a frame of ESP over IPv4.
uint32_t SeqOf(const Bytes& frame) { return LoadBe32(frame.data() + 14 + 20 + 4); }

class PacketRecordTest : public testing::TestWithParam<Path> {};

TEST_P(PacketRecordTest, LinksBothDirections) {
  TestPair pair(GetParam().options, GetParam().options);
  Connect(&pair);
  const auto out = Watch(&pair.a.capture());
  const auto in = Watch(&pair.b.capture());
  const Bytes sent = Frame(Udp(kInner, 1111, 2222, Pattern(60)));
  for (uint32_t seq = 1; seq <= 3; ++seq) {
    ASSERT_THAT(pair.Deliver(sent), SizeIs(1));
    const auto seen = out->Drain();
    ASSERT_THAT(seen, SizeIs(2));
    EXPECT_EQ(seen[0].interface, 0u);
    EXPECT_EQ(seen[0].bytes, sent);
    EXPECT_EQ(seen[0].facts.direction, CaptureDirection::kOutbound);
    EXPECT_EQ(seen[0].facts.place, GetParam().place);
    EXPECT_EQ(seen[0].facts.link.spi, pair.sa_a->spec().spi.value);
    EXPECT_EQ(seen[0].facts.link.seq, seq);
    EXPECT_EQ(seen[1].interface, 1u);
    EXPECT_EQ(seen[1].bytes, pair.wire[0]);
    EXPECT_EQ(seen[1].facts.place, GetParam().place);
    EXPECT_EQ(SeqOf(seen[1].bytes), seq);

    const auto arrived = in->Drain();
    const CapturedFrame& opened = arrived.back();
    EXPECT_EQ(opened.interface, 0u);
    EXPECT_EQ(opened.bytes, sent);
    EXPECT_EQ(opened.facts.direction, CaptureDirection::kInbound);
    EXPECT_EQ(opened.facts.place, GetParam().place);
    EXPECT_EQ(opened.facts.link.seq, seq);
    EXPECT_EQ(opened.facts.reason, DropReason::kNone);
  }
}

TEST_P(PacketRecordTest, ADropIsSeenOnceWithItsReason) {
  TestPair pair(GetParam().options, GetParam().options);
  Connect(&pair);
  const auto wire = pair.a.Send(Frame(Udp(kInner, 1111, 2222, Pattern(60))));
  ASSERT_THAT(wire, SizeIs(1));
  const auto queue = std::make_shared<CaptureQueue>(2000, 1'000'000, -1);
  pair.b.capture().inner.Attach(queue);
  Bytes forged = wire[0];
  forged.back() ^= 1;
  EXPECT_THAT(pair.b.Receive(forged), IsEmpty());
  EXPECT_THAT(pair.b.Receive(wire[0]), SizeIs(1));
  EXPECT_THAT(pair.b.Receive(wire[0]), IsEmpty());
  const auto seen = queue->Drain();
  ASSERT_THAT(seen, SizeIs(3));
  EXPECT_EQ(seen[0].facts.reason, DropReason::kInAuthFailed);
  EXPECT_EQ(seen[1].facts.reason, DropReason::kNone);
  EXPECT_EQ(seen[2].facts.reason, DropReason::kInReplayDuplicate);
  for (const CapturedFrame& frame : seen) {
    EXPECT_EQ(frame.facts.direction, CaptureDirection::kInbound);
    EXPECT_EQ(frame.facts.link.seq, 1u);
  }
  EXPECT_EQ(pair.b.Drops(DropReason::kInAuthFailed), 1u);
  EXPECT_EQ(pair.b.Drops(DropReason::kInReplayDuplicate), 1u);
}

INSTANTIATE_TEST_SUITE_P(
    All, PacketRecordTest,
    testing::Values(Path{"software", {}, CapturePlace::kEngine},
                    Path{"look-aside", {.look_aside = EngineOptions{}}, CapturePlace::kEngine},
                    Path{"crypto", {.nic = true}, CapturePlace::kDevice}),
    [](const auto& path) {
      std::string name = path.param.name;
      std::erase(name, '-');
      return name;
    });

TEST(PacketRecordClearTest, SeesPacketsInClearAndPolicyDrops) {
  TestPair pair;
  const auto queue = Watch(&pair.a.capture());
  const Bytes frame = Frame(Udp(kInner, 1111, 2222, Pattern(60)));
  ASSERT_THAT(pair.a.Send(frame), SizeIs(1));
  auto seen = queue->Drain();
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].facts.place, CapturePlace::kClear);
  EXPECT_EQ(seen[0].facts.link.spi, 0u);
  EXPECT_EQ(seen[1].interface, 1u);
  const auto block = pair.a.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16",
                                                       "10.2.0.0/16", {}, PolicyAction::kBlock));
  EXPECT_THAT(pair.a.Send(frame), IsEmpty());
  seen = queue->Drain();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_EQ(seen[0].facts.reason, DropReason::kOutPolicyBlock);
  EXPECT_EQ(seen[0].facts.direction, CaptureDirection::kOutbound);
  EXPECT_EQ(seen[0].bytes, frame);
}

TEST(PacketRecordClearTest, ALiarsPacketIsSeenWhereItWasStopped) {
  TestPair pair({.nic = true});
  Connect(&pair);
  const auto queue = Watch(&pair.a.capture());
  ASSERT_TRUE(pair.a.nic().InjectFault("skip-seal 1"));
  EXPECT_THAT(pair.a.Send(Frame(Udp(kInner, 1111, 2222, Pattern(60)))), IsEmpty());
  const auto seen = queue->Drain();
  ASSERT_THAT(seen, SizeIs(2));
  EXPECT_EQ(seen[0].facts.reason, DropReason::kNone);
  EXPECT_EQ(seen[1].facts.reason, DropReason::kOutNotSealed);
  EXPECT_EQ(seen[1].interface, 0u);
  EXPECT_EQ(SeqOf(seen[1].bytes), 1u);
}

TEST(PacketRecordNestedTest, EachStepIsLinkedToTheNext) {
  TestPair pair;
  std::vector<Template> templates;
  for (const uint32_t n : {1u, 2u}) {  // innermost first
    const SaOptions options{.spi = 0x1000 + n, .reqid = n};
    pair.a.Add(options);
    pair.b.Add(options);
    templates.push_back(test::TemplateFor(options));
  }
  pair.a.AddPolicy(
      test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16", templates));
  pair.b.AddPolicy(test::MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16", templates));
  const auto out = Watch(&pair.a.capture());
  const auto in = Watch(&pair.b.capture());
  const Bytes sent = Frame(Udp(kInner, 1111, 2222, Pattern(60)));
  ASSERT_THAT(pair.Deliver(sent), SizeIs(1));
  const auto seen = out->Drain();
  ASSERT_THAT(seen, SizeIs(3));
  EXPECT_EQ(seen[0].bytes, sent);
  EXPECT_EQ(seen[0].facts.link.spi, 0x1001u);
  EXPECT_EQ(LoadBe32(seen[1].bytes.data() + 14 + 20), 0x1001u);
  EXPECT_EQ(seen[1].facts.link.spi, 0x1002u);
  EXPECT_EQ(LoadBe32(seen[2].bytes.data() + 14 + 20), 0x1002u);
  EXPECT_EQ(seen[2].interface, 1u);
  const auto opened = in->Drain();  // the other way round; this wire has no point for what arrives
  ASSERT_THAT(opened, SizeIs(2));
  EXPECT_EQ(opened[0].bytes, seen[1].bytes);
  EXPECT_EQ(opened[0].facts.link.spi, 0x1002u);
  EXPECT_EQ(opened[1].bytes, sent);
  EXPECT_EQ(opened[1].facts.link.spi, 0x1001u);
}

TEST(PacketRecordNestedTest, EachInnerFragmentIsLinkedToItsOwnEspPacket) {
  TestPair pair;
  Connect(&pair);
  const auto in = Watch(&pair.b.capture());
  IpFields first = kInner;
  first.fragment = 0x2000;
  IpFields last = kInner;
  last.fragment = 4;  // 32 bytes further
  const Bytes whole = Udp(kInner, 1111, 2222, Pattern(40));
  const Bytes payload(whole.begin() + 20, whole.end());
  const Bytes pieces[] = {
      Frame(test::IpPacket(first, Bytes(payload.begin(), payload.begin() + 32))),
      Frame(test::IpPacket(last, Bytes(payload.begin() + 32, payload.end())))};
  std::size_t delivered = 0;
  for (const Bytes& piece : pieces) delivered += pair.Deliver(piece).size();
  EXPECT_EQ(delivered, 1u);  // the datagram, which policy judges whole
  const auto seen = in->Drain();
  ASSERT_THAT(seen, SizeIs(2));
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(seen[i].bytes, pieces[i]);
    EXPECT_EQ(seen[i].facts.link.seq, i + 1);
  }
}

TEST(PacketRecordClearTest, NobodyWatchesAfterDetach) {
  TestPair pair;
  const auto queue = Watch(&pair.a.capture());
  EXPECT_EQ(pair.a.path.inner_readers, 1u);
  pair.a.capture().inner.Detach(queue);
  pair.a.capture().inner.Detach(queue);
  EXPECT_EQ(pair.a.path.inner_readers, 0u);
  pair.a.capture().wire.Detach(queue);
  ASSERT_THAT(pair.a.Send(Frame(Udp(kInner, 1111, 2222, Pattern(60)))), SizeIs(1));
  EXPECT_THAT(queue->Drain(), IsEmpty());
}

}  // namespace
}  // namespace cygnet
