#include "device/capture.h"

#include <gtest/gtest.h>

#include <utility>

#include "packet/packet_batch.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Pattern;

class CapturePointTest : public testing::Test {
 protected:
  void Offer(const Bytes& frame) {
    Packet* packet = test::MakePacket(&pools_, frame);
    Packet* const list[] = {packet};
    point_.Offer(list, CaptureDirection::kOutbound);
    test::FreePacket(packet);
  }
  PacketPools pools_{8, 1};
  CapturePoint point_;
};

TEST_F(CapturePointTest, EveryReaderGetsACopyAndNoneIsNoHarm) {
  Offer(Pattern(20));
  auto a = std::make_shared<CaptureQueue>(100, 1000, -1);
  auto b = std::make_shared<CaptureQueue>(100, 1000, -1);
  point_.Attach(a);
  point_.Attach(b);
  Offer(Pattern(30));
  point_.Detach(a);
  Offer(Pattern(40));
  EXPECT_EQ(a->Drain().size(), 1u);
  const auto seen = b->Drain();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].bytes, Pattern(30));
  EXPECT_EQ(seen[1].bytes, Pattern(40));
  EXPECT_EQ(seen[0].facts.direction, CaptureDirection::kOutbound);
  EXPECT_TRUE(b->Drain().empty());
}

TEST_F(CapturePointTest, SnapLengthCutsAndTheOriginalLengthStays) {
  auto queue = std::make_shared<CaptureQueue>(16, 1000, -1);
  point_.Attach(queue);
  Offer(Pattern(100));
  const auto seen = queue->Drain();
  ASSERT_EQ(seen.size(), 1u);
  EXPECT_EQ(seen[0].bytes, Pattern(16));
  EXPECT_EQ(seen[0].original_length, 100u);
}

TEST_F(CapturePointTest, WhatDoesNotFitIsCounted) {
  auto queue = std::make_shared<CaptureQueue>(100, 250, -1);
  point_.Attach(queue);
  for (int i = 0; i < 5; ++i) Offer(Pattern(100));
  EXPECT_EQ(queue->missed(), 3u);
  EXPECT_EQ(queue->Drain().size(), 2u);
  Offer(Pattern(100));
  EXPECT_EQ(queue->Drain().size(), 1u);
}

TEST_F(CapturePointTest, WhatWasStoppedIsKeptForReadersToCome) {
  CapturePoint kept(3);
  const auto stop = [&](std::size_t length) {
    Packet* packet = test::MakePacket(&pools_, Pattern(length));
    kept.OfferStopped(*packet, DropReason::kOutGuard);
    test::FreePacket(packet);
  };
  for (const std::size_t length : {10u, 20u, 30u, 1000u}) stop(length);
  for (int reader = 0; reader < 2; ++reader) {
    auto queue = std::make_shared<CaptureQueue>(500, 10'000, -1);
    kept.Attach(queue);
    stop(500);
    kept.Detach(queue);
    const auto seen = queue->Drain();
    ASSERT_EQ(seen.size(), 4u);
    EXPECT_EQ(seen[2].bytes.size(), CapturePoint::kKeptBytes);
    EXPECT_EQ(seen[3].bytes, Pattern(500));  // only the reader's limit truncates a live frame
    EXPECT_EQ(seen[0].facts.reason, DropReason::kOutGuard);
    if (reader == 0) {
      EXPECT_EQ(seen[0].bytes, Pattern(20));
      EXPECT_EQ(seen[2].original_length, 1000u);
    }
  }
  point_.Attach(std::make_shared<CaptureQueue>(100, 1000, -1));  // keeps nothing
}

TEST_F(CapturePointTest, TwoPointsShareAQueueInTheOrderOfTheirFrames) {
  CapturePoint other;
  auto queue = std::make_shared<CaptureQueue>(100, 60, -1);
  point_.Attach(queue, 1);
  other.Attach(queue, 0);
  Offer(Pattern(20));
  other.OfferKnown(Pattern(30), {.direction = CaptureDirection::kInbound, .link = {.spi = 7}});
  Offer(Pattern(40));
  EXPECT_EQ(queue->missed(0), 0u);
  EXPECT_EQ(queue->missed(1), 1u);
  const auto seen = queue->Drain();
  ASSERT_EQ(seen.size(), 2u);
  EXPECT_EQ(seen[0].interface, 1u);
  EXPECT_EQ(seen[0].facts.link.spi, 0u);
  EXPECT_EQ(seen[1].interface, 0u);
  EXPECT_EQ(seen[1].facts.link.spi, 7u);
  EXPECT_EQ(seen[1].original_length, 30u);
}

TEST_F(CapturePointTest, TheStacksMarkSaysWhatSealedAFrame) {
  auto queue = std::make_shared<CaptureQueue>(100, 1000, -1);
  point_.Attach(queue);
  constexpr std::pair<Protection, CapturePlace> kMarks[] = {
      {Protection::kNone, CapturePlace::kUnknown},
      {Protection::kClear, CapturePlace::kClear},
      {Protection::kControl, CapturePlace::kUnknown},
      {Protection::kProven, CapturePlace::kEngine},
      {Protection::kOwed, CapturePlace::kDevice},
      {Protection::kOwedIcv, CapturePlace::kDevice}};
  for (const auto& [mark, place] : kMarks) {
    Packet* packet = test::MakePacket(&pools_, Pattern(20));
    packet->protection = mark;
    Packet* const list[] = {packet};
    point_.Offer(list, CaptureDirection::kOutbound);
    test::FreePacket(packet);
    EXPECT_EQ(queue->Drain().at(0).facts.place, place);
  }
}

TEST_F(CapturePointTest, DropsOfALinkGoToItsHostSide) {
  CapturePoints points;
  PacketCaches caches(&pools_);
  DropCounters counters;
  DropSink sink(&caches, &counters, points.drops());
  const auto drop = [&](DropReason reason, Protection mark) {
    Packet* packet = test::MakePacket(&pools_, Pattern(20));
    packet->protection = mark;
    sink.Drop(packet, reason);
  };
  drop(DropReason::kPortFull, Protection::kNone);  // nobody watches
  auto queue = std::make_shared<CaptureQueue>(100, 1000, -1);
  points.inner.Attach(queue);
  drop(DropReason::kPortFull, Protection::kNone);
  drop(DropReason::kPortFull, Protection::kOwed);
  drop(DropReason::kOutGuard, Protection::kNone);
  drop(DropReason::kInAuthFailed, Protection::kNone);
  Packet* seen_before = test::MakePacket(&pools_, Pattern(20));
  sink.DropSeen(seen_before, DropReason::kInAuthFailed);
  points.inner.Detach(queue);
  const auto seen = queue->Drain();
  ASSERT_EQ(seen.size(), 4u);
  constexpr CaptureDirection kExpected[] = {CaptureDirection::kInbound, CaptureDirection::kOutbound,
                                            CaptureDirection::kOutbound,
                                            CaptureDirection::kInbound};
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(seen[i].facts.direction, kExpected[i]) << i;
  EXPECT_EQ(seen[3].facts.reason, DropReason::kInAuthFailed);
  EXPECT_EQ(counters.Get(DropReason::kPortFull), 3u);
  EXPECT_EQ(counters.Get(DropReason::kInAuthFailed), 2u);
}

}  // namespace
}  // namespace cygnet
