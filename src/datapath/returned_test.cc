// Packets that a device hands back: each leaves sealed, once, with its own number.
#include "datapath/returned.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using test::TestHost;
using test::TestHostOptions;
using test::TestPair;
using testing::IsEmpty;
using testing::SizeIs;

SaOptions OnDevice(SaOptions options) {
  options.offload = OffloadRequest{OffloadMode::kCrypto, TestHost::kIfindex, false};
  return options;
}

// A's SA is on its NIC, B's in software.
class ReturnedTest : public testing::Test {
 protected:
  void Make(const SaOptions& options, const TestHostOptions& a = {.nic = true}) {
    pair_ = std::make_unique<TestPair>(a);
    const bool v6 = options.src.find(':') != std::string::npos;
    src_ = v6 ? "fd01::1" : "10.1.0.1";
    dst_ = v6 ? "fd02::1" : "10.2.0.1";
    if (options.mode == SaMode::kTransport) {
      src_ = options.src;
      dst_ = options.dst;
    }
    pair_->sa_a = pair_->a.Add(OnDevice(options));
    pair_->sa_b = pair_->b.Add(options);
    pair_->AddPolicies(options, src_, dst_);
    ASSERT_EQ(pair_->a.bindings[0]->device(), &pair_->a.nic());
  }
  Bytes FrameNumber(uint16_t i) const {
    return Frame(test::Udp({.src = src_, .dst = dst_}, 1, i, Pattern(100)));
  }
  // Afterwards they are in the device's ring.
  void Give(uint16_t first, uint16_t n) {
    for (uint16_t i = 0; i < n; ++i) {
      pair_->a.FromHost(FrameNumber(static_cast<uint16_t>(first + i)));
    }
    for (uint16_t i = 0; i < n; i = static_cast<uint16_t>(i + kMaxBatch)) {
      pair_->a.worker->RunOnce();
    }
  }
  void Inject(std::string_view fault) {
    const Status status = pair_->a.nic().InjectFault(fault);
    ASSERT_TRUE(status) << status.error().message;
  }
  // B receives frames 0 to n - 1, each once: each was sealed with its own number.
  void ExpectAllArrive(uint16_t n) {
    pair_->a.Run();
    std::multiset<Bytes> delivered;
    for (const Bytes& frame : pair_->a.ToWire()) {
      for (Bytes& got : pair_->b.Receive(frame)) delivered.insert(std::move(got));
    }
    std::multiset<Bytes> given;
    for (uint16_t i = 0; i < n; ++i) given.insert(FrameNumber(i));
    EXPECT_EQ(delivered.size(), n);
    EXPECT_EQ(delivered, given);
    EXPECT_EQ(pair_->b.AllDrops(), 0u);
    EXPECT_EQ(pair_->a.AllDrops(), 0u);
  }

  std::unique_ptr<TestPair> pair_;
  std::string src_;
  std::string dst_;
};

TEST_F(ReturnedTest, ResetWithPacketsInTheRingLosesNone) {
  for (const SaOptions& options :
       {SaOptions{}, SaOptions{.src = "2001:db8::1", .dst = "2001:db8::2"},
        SaOptions{.mode = SaMode::kTransport},
        SaOptions{.flags = kSaFlagEsn, .oseq = 0xffffffe0, .seq = 0xffffffe0}}) {
    Make(options);
    Give(0, 50);
    Inject("reset 100");
    ExpectAllArrive(50);
    EXPECT_EQ(pair_->a.nic().offload_stats().returned, 50u);
    EXPECT_EQ(pair_->a.nic().offload_stats().sealed, 0u);
  }
}

TEST_F(ReturnedTest, WhateverStopsTheUnitLosesNone) {
  for (const char* fault : {"down", "crash", "reset 0", "fail-seal 30"}) {
    Make({});
    Give(0, 60);
    Inject(fault);
    ExpectAllArrive(60);
    EXPECT_GE(pair_->a.nic().offload_stats().returned, 30u) << fault;
  }
}

TEST_F(ReturnedTest, WorkerThatStillNamesTheLostHandleLosesNone) {
  Make({});
  Inject("reset 0");  // the binding is not updated
  Give(0, 20);
  ExpectAllArrive(20);
  EXPECT_EQ(pair_->a.nic().offload_stats().returned, 20u);
}

TEST_F(ReturnedTest, TheyAreSealedOnceAndChargedOnce) {
  Make({});
  Give(0, 10);
  Inject("reset 0");
  ExpectAllArrive(10);
  EXPECT_EQ(pair_->sa_a->lifetime().usage().packets, 10u);
  EXPECT_EQ(pair_->sa_a->ExportReplay().oseq, 10u);
  EXPECT_EQ(pair_->sa_b->ExportReplay().seq, 10u);
}

TEST_F(ReturnedTest, InboundOfTheSameBatchGoesItsWay) {
  Make({});
  Give(0, 2);
  Inject("reset 0");
  pair_->a.SetAddresses({});
  pair_->a.FromWire(Frame(test::Udp({.src = "192.0.2.7", .dst = "192.0.2.8"}, 1, 2, Pattern(8))));
  pair_->a.Run();
  EXPECT_THAT(pair_->a.ToHost(), SizeIs(1));
  EXPECT_THAT(pair_->a.ToWire(), SizeIs(2));
}

TEST_F(ReturnedTest, LookAsideEngineOnTheSameWorkerDisturbsNothing) {
  Make({}, {.nic = true, .look_aside = EngineOptions{.threads = 1}});
  const SaOptions other{.spi = 0x2000, .reqid = 2};
  pair_->a.Add(other);
  pair_->b.Add(other);
  pair_->AddPolicies(other, "10.1.0.2", "10.2.0.2");
  Give(0, 20);
  Inject("reset 0");
  for (uint16_t i = 0; i < 20; ++i) {
    pair_->a.FromHost(Frame(test::Udp({.src = "10.1.0.2", .dst = "10.2.0.2"}, 1, i, Pattern(100))));
  }
  pair_->a.Run();
  std::size_t delivered = 0;
  for (const Bytes& frame : pair_->a.ToWire()) delivered += pair_->b.Receive(frame).size();
  EXPECT_EQ(delivered, 40u);
  EXPECT_EQ(pair_->b.AllDrops(), 0u);
}

TEST_F(ReturnedTest, WithoutLinkTheyAreDroppedAtThePort) {
  for (const char* fault : {"link-down", "remove"}) {
    Make({});
    Give(0, 5);
    Inject(fault);
    pair_->a.Run();
    EXPECT_THAT(pair_->a.ToWire(), IsEmpty()) << fault;
    EXPECT_EQ(pair_->a.NicDrops(DropReason::kPortDown), 5u) << fault;
  }
}

TEST_F(ReturnedTest, OfAnSaThatIsGoneNothingLeaves) {
  Make({});
  Give(0, 3);
  Inject("reset 0");
  pair_->a.path.sad.Remove(pair_->sa_a);
  pair_->a.Run();
  EXPECT_THAT(pair_->a.ToWire(), IsEmpty());
  EXPECT_EQ(pair_->a.Drops(DropReason::kOutStateInvalid), 3u);
}

// The successor's key with the predecessor's numbers could use a nonce twice.
TEST_F(ReturnedTest, SuccessorOfTheSameSpiSealsNothingOfItsPredecessor) {
  Make({});
  Give(0, 3);
  Inject("reset 0");
  pair_->a.path.sad.Remove(pair_->sa_a);
  pair_->a.Add(SaOptions{});
  pair_->a.Run();
  EXPECT_THAT(pair_->a.ToWire(), IsEmpty());
  EXPECT_EQ(pair_->a.Drops(DropReason::kOutStateInvalid), 3u);
}

TEST_F(ReturnedTest, WithoutACpuSessionTheyAreDropped) {
  Make({});
  Give(0, 3);
  Inject("reset 0");
  pair_->a.bindings[0]->cpu.session.reset();
  pair_->a.Run();
  EXPECT_THAT(pair_->a.ToWire(), IsEmpty());
  EXPECT_EQ(pair_->a.Drops(DropReason::kOutRequired), 3u);
  EXPECT_EQ(pair_->sa_a->drops(DropReason::kOutRequired), 3u);
}

}  // namespace
}  // namespace cygnet
