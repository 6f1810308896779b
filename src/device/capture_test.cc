#include "device/capture.h"

#include <gtest/gtest.h>

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
  EXPECT_EQ(seen[0].direction, CaptureDirection::kOutbound);
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
    EXPECT_EQ(seen[0].reason, DropReason::kOutGuard);
    if (reader == 0) {
      EXPECT_EQ(seen[0].bytes, Pattern(20));
      EXPECT_EQ(seen[2].original_length, 1000u);
    }
  }
  point_.Attach(std::make_shared<CaptureQueue>(100, 1000, -1));  // keeps nothing
}

}  // namespace
}  // namespace cygnet
