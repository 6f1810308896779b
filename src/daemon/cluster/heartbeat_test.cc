#include "daemon/cluster/heartbeat.h"

#include <gtest/gtest.h>

#include <array>

namespace cygnet {
namespace {

KeyMaterial Key(uint8_t byte) {
  std::array<uint8_t, 32> secret{};
  secret.fill(byte);
  return HeartbeatKey(KeyMaterial(secret));
}

Heartbeat Full() {
  return {.cluster = "site",
          .node = "gw1",
          .incarnation = 0x1122334455667788,
          .sequence = 7,
          .boot_ns = 123456789,
          .paused_ms = 1000,
          .store_silent_ms = 70,
          .groups = {{"blue", 3}, {"green", uint64_t{1} << 40}},
          .heard = {"gw2", "gw3"},
          .offers = {{"blue", "gw2"}},
          .held = {{"red", 9}}};
}
// What earlier versions do not send: the offer (1 + 5 + 4 bytes) and the held group (1 + 4 + 8).
constexpr std::size_t kMoveBytes = 10 + 13;

TEST(HeartbeatTest, ArrivesAsItWasSent) {
  const KeyMaterial key = Key(1);
  const auto arrived = DecodeHeartbeat(EncodeHeartbeat(Full(), key), key);
  ASSERT_TRUE(arrived.has_value());
  EXPECT_EQ(*arrived, Full());
}

TEST(HeartbeatTest, AnotherSecretIsRefused) {
  EXPECT_FALSE(DecodeHeartbeat(EncodeHeartbeat(Full(), Key(1)), Key(2)).has_value());
}

TEST(HeartbeatTest, EveryBitIsUnderTheMac) {
  const KeyMaterial key = Key(1);
  std::vector<uint8_t> datagram = EncodeHeartbeat(Full(), key);
  for (std::size_t bit = 0; bit < datagram.size() * 8; ++bit) {
    datagram[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    EXPECT_FALSE(DecodeHeartbeat(datagram, key).has_value()) << bit;
    datagram[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
  }
  EXPECT_TRUE(DecodeHeartbeat(datagram, key).has_value());
}

TEST(HeartbeatTest, WhatIsCutShortIsRefused) {
  const std::vector<uint8_t> datagram = EncodeHeartbeat(Full(), Key(1));
  const std::size_t whole = datagram.size() - 16;
  for (std::size_t size = 0; size < whole; ++size) {
    EXPECT_EQ(ParseHeartbeat({datagram.data(), size}).has_value(), size == whole - kMoveBytes)
        << size;
  }
  EXPECT_TRUE(ParseHeartbeat({datagram.data(), whole}).has_value());
}

TEST(HeartbeatTest, AnEarlierVersionSaysNothingOfMoves) {
  std::vector<uint8_t> bytes = EncodeHeartbeat(Full(), Key(1));
  bytes.resize(bytes.size() - 16 - kMoveBytes);
  const auto parsed = ParseHeartbeat(bytes);
  ASSERT_TRUE(parsed.has_value());
  Heartbeat without = Full();
  without.offers.clear();
  without.held.clear();
  EXPECT_EQ(*parsed, without);
}

TEST(HeartbeatTest, WhatALaterVersionAppendsIsSkipped) {
  std::vector<uint8_t> bytes = EncodeHeartbeat(Full(), Key(1));
  bytes.resize(bytes.size() - 16);
  bytes.push_back(0x42);
  const auto parsed = ParseHeartbeat(bytes);
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(*parsed, Full());
}

TEST(HeartbeatTest, AnIncarnationOrSequenceOfZeroIsRefused) {
  const KeyMaterial key = Key(1);
  Heartbeat no_sequence = Full();
  no_sequence.sequence = 0;
  EXPECT_FALSE(DecodeHeartbeat(EncodeHeartbeat(no_sequence, key), key).has_value());
  Heartbeat no_incarnation = Full();
  no_incarnation.incarnation = 0;
  EXPECT_FALSE(DecodeHeartbeat(EncodeHeartbeat(no_incarnation, key), key).has_value());
}

}  // namespace
}  // namespace cygnet
