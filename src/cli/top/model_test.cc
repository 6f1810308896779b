// Readings → rates → rows, limits, and figures in few columns.
#include "cli/top/model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/top/figures.h"
#include "support/top_readings.h"

namespace cygnet::top {
namespace {

using test::DeviceJson;
using test::kNow;
using test::SaJson;
using test::StatJson;
using ::testing::DoubleNear;

constexpr int64_t kNowMs = static_cast<int64_t>(kNow) * 1000;

Readings ReadingsOf(std::vector<Json> sas, Json device, Json stat) {
  Readings readings;
  readings.of(Reading::kSas) = std::move(sas);
  readings.of(Reading::kDevices) = {std::move(device)};
  readings.of(Reading::kStat) = {std::move(stat)};
  return readings;
}

TEST(TopFiguresTest, NumbersHaveAtMostFiveColumns) {
  EXPECT_EQ(Short(0), "0");
  EXPECT_EQ(Short(0.5), "0.5");
  EXPECT_EQ(Short(7), "7");
  EXPECT_EQ(Short(12.34), "12.3");
  EXPECT_EQ(Short(999.4), "999");
  EXPECT_EQ(Short(1000), "1.0k");
  EXPECT_EQ(Short(99'949), "99.9k");
  EXPECT_EQ(Short(123'456), "123k");
  EXPECT_EQ(Short(999'999), "1.0M");
  EXPECT_EQ(Short(1.8e19), "18.0E");
  for (double value = 0.01; value < 1e19; value *= 1.7) EXPECT_LE(Short(value).size(), 5u) << value;
}

TEST(TopFiguresTest, TimesHaveAtMostFiveColumns) {
  EXPECT_EQ(Span(-1), "0s");
  EXPECT_EQ(Span(59.9), "59s");
  EXPECT_EQ(Span(60), "1m");
  EXPECT_EQ(Span(3600 * 3 + 300), "3h05");
  EXPECT_EQ(Span(86'400 * 2 + 3600 * 4), "2d04h");
  EXPECT_EQ(Span(86'400.0 * 120), "120d");
  EXPECT_LE(Span(1e300).size(), 5u);
}

TEST(TopModelTest, RatesAreDifferencesByTime) {
  const Readings first = ReadingsOf(
      {SaJson({.packets = 100, .bytes = 10'000}), SaJson({.spi = "0x00002001", .direction = "in"})},
      DeviceJson("up", 100), StatJson(10, 1'000'000, 5));
  const Readings second = ReadingsOf({SaJson({.packets = 300, .bytes = 30'000, .drops = 4}),
                                      SaJson({.spi = "0x00002001", .direction = "in"})},
                                     DeviceJson("up", 300), StatJson(12, 2'000'000, 9));
  const Taken before = Taken::Of(first);
  const View view = MakeView(second, &before, Taken::Of(second), 2.0, kNowMs);
  ASSERT_EQ(view.sas.size(), 2u);
  EXPECT_THAT(view.sas[0].packets_per_second, DoubleNear(100, 1e-9));
  EXPECT_THAT(view.sas[0].bits_per_second, DoubleNear(80'000, 1e-9));
  EXPECT_EQ(view.sas[0].drops, 5u);
  EXPECT_THAT(view.sas[0].drops_per_second, DoubleNear(2.5, 1e-9));
  EXPECT_EQ(view.sas[0].drop_reason, "in-replay");
  EXPECT_EQ(view.sas[0].place, "crypto nic0");
  EXPECT_THAT(view.out.bits_per_second, DoubleNear(80'000, 1e-9));
  EXPECT_EQ(view.in.bits_per_second, 0);
  ASSERT_EQ(view.devices.size(), 1u);
  EXPECT_THAT(view.devices[0].sealed_per_second, DoubleNear(100, 1e-9));
  ASSERT_EQ(view.workers.size(), 1u);
  EXPECT_THAT(view.workers[0].busy, DoubleNear(0.5, 1e-9));
  EXPECT_THAT(view.workers[0].packets_per_second, DoubleNear(50'000, 1e-9));
  ASSERT_EQ(view.drops.size(), 1u);  // those of zero are left out
  EXPECT_THAT(view.drops[0].per_second, DoubleNear(2, 1e-9));
}

TEST(TopModelTest, AnotherDaemonHasNoRatesYet) {
  const Readings first =
      ReadingsOf({SaJson({.packets = 10})}, DeviceJson("up", 0), StatJson(500, 0, 0));
  const Readings second =
      ReadingsOf({SaJson({.packets = 1000})}, DeviceJson("up", 9), StatJson(1, 9, 0));
  const Taken before = Taken::Of(first);
  const View view = MakeView(second, &before, Taken::Of(second), 1.0, kNowMs);
  EXPECT_EQ(view.seconds, 0);
  EXPECT_EQ(view.sas[0].packets_per_second, 0);
  EXPECT_EQ(view.devices[0].sealed_per_second, 0);
}

TEST(TopModelTest, ADeviceSaysWhatIsWrong) {
  const Readings readings = ReadingsOf({}, DeviceJson("resetting", 0), StatJson(1, 0, 0));
  const View view = MakeView(readings, nullptr, Taken::Of(readings), 0, kNowMs);
  ASSERT_EQ(view.devices[0].faults.size(), 1u);
  EXPECT_EQ(view.devices[0].faults[0], "its offload unit is resetting");
}

TEST(TopModelTest, ALarvalSaHasARow) {
  Json larval = SaJson({});
  larval["state"] = "larval";
  larval["placements"] = Json::array();
  const Readings readings = ReadingsOf({larval}, DeviceJson("up", 0), StatJson(1, 0, 0));
  const View view = MakeView(readings, nullptr, Taken::Of(readings), 0, kNowMs);
  ASSERT_EQ(view.sas.size(), 1u);
  EXPECT_EQ(view.sas[0].state, "larval");
}

TEST(TopModelTest, LatenessSaysWhenTheWindowIsShort) {
  Json sa = SaJson({.direction = "in"});
  sa["lateness"] = {{{"from", 1}, {"accepted", 7}, {"rejected", 0}},
                    {{"from", 64}, {"accepted", 0}, {"rejected", 2}}};
  sa["window_for_all"] = 128;
  const Readings readings = ReadingsOf({sa}, DeviceJson("up", 0), StatJson(1, 0, 0));
  const View view = MakeView(readings, nullptr, Taken::Of(readings), 0, kNowMs);
  EXPECT_EQ(view.sas[0].late, 127u);
  EXPECT_TRUE(view.sas[0].window_short);
}

TEST(TopLimitsTest, EachLimitHasTheTimeThatIsLeft) {
  Json sa = SaJson({.packets = 1000, .bytes = 4000});
  sa["limits"] = {{"soft_bytes", 5000},
                  {"hard_bytes", 10'000},
                  {"hard_packets", 500},
                  {"hard_add_seconds", 7260},
                  {"hard_use_seconds", 9000}};
  const auto limits =
      LimitsOf(sa, {.packets_per_second = 10, .bits_per_second = 8000, .now = kNow});
  ASSERT_EQ(limits.size(), 6u);
  EXPECT_TRUE(limits[0].soft);
  EXPECT_EQ(limits[0].seconds_left, 1);
  EXPECT_EQ(limits[1].seconds_left, 6);
  EXPECT_EQ(limits[2].seconds_left, 0);  // reached
  EXPECT_EQ(limits[3].seconds_left, 60);
  EXPECT_EQ(limits[4].seconds_left, 2000);
  EXPECT_EQ(limits[5].name, "sequence numbers");
  EXPECT_EQ(FirstReached(limits)->name, "hard_packets");
}

TEST(TopLimitsTest, WithoutTrafficNoLimitOfTrafficIsReached) {
  Json sa = SaJson({.packets = 1, .bytes = 1});
  sa["limits"] = {{"hard_bytes", 10'000}};
  const auto limits = LimitsOf(sa, {.now = kNow});
  EXPECT_EQ(limits[0].seconds_left, Limit::kNever);
  EXPECT_EQ(FirstReached(limits), nullptr);
}

TEST(TopModelTest, JsonHasTheRows) {
  const Readings readings =
      ReadingsOf({SaJson({.packets = 3})}, DeviceJson("up", 0), StatJson(1, 0, 2));
  const Json json = ToJson(MakeView(readings, nullptr, Taken::Of(readings), 0, kNowMs));
  EXPECT_EQ(json["sas"][0]["packets"], 3);
  EXPECT_EQ(json["devices"][0]["slots_limit"], 4);
  EXPECT_EQ(json["drops"][0]["reason"], "in-replay");
}

}  // namespace
}  // namespace cygnet::top
