#include "daemon/cluster/etcd_watch.h"

#include <gtest/gtest.h>

namespace cygnet {
namespace {

constexpr const char* kHeader = R"("header":{"cluster_id":"14841639068965178418","revision":"7"})";

std::string Line(const std::string& rest) {
  return std::string("{\"result\":{") + kHeader + rest + "}}\n";
}

TEST(EtcdWatchTest, TellsWhatWasWrittenAndWhatWasRemoved) {
  const auto message = ParseEtcdWatch(Line(
      R"(,"events":[{"kv":{"key":"YQ==","value":"Yg==","mod_revision":"6","create_revision":"2"}},)"
      R"({"type":"DELETE","kv":{"key":"Yw==","mod_revision":"7"}}])"));
  ASSERT_TRUE(message) << message.error().message;
  EXPECT_EQ(message->header.cluster_id, 14841639068965178418u);
  EXPECT_EQ(message->header.revision, 7);
  EXPECT_FALSE(message->canceled);
  ASSERT_EQ(message->changes.size(), 2u);
  EXPECT_FALSE(message->changes[0].removed);
  EXPECT_EQ(message->changes[0].entry.key, "a");
  EXPECT_EQ(message->changes[0].entry.value, "b");
  EXPECT_EQ(message->changes[0].entry.mod_revision, 6);
  EXPECT_TRUE(message->changes[1].removed);
  EXPECT_EQ(message->changes[1].entry.key, "c");
}

TEST(EtcdWatchTest, ACompactedWatchIsCanceled) {
  const auto message =
      ParseEtcdWatch(Line(R"(,"canceled":true,"compact_revision":"900","cancel_reason":"old")"));
  ASSERT_TRUE(message);
  EXPECT_TRUE(message->canceled);
  EXPECT_EQ(message->compact_revision, 900);
  EXPECT_EQ(message->reason, "old");
}

TEST(EtcdWatchTest, AnythingElseIsAnError) {
  const std::string lines[] = {"",
                               "[]",
                               "{}",
                               R"({"result":{}})",
                               R"({"error":{"code":14,"message":"no leader"}})",
                               Line(R"(,"events":{})"),
                               Line(R"(,"events":[1])"),
                               Line(R"(,"events":[{}])"),
                               Line(R"(,"events":[{"kv":{"key":"?"}}])"),
                               Line(R"(,"compact_revision":"x")")};
  for (const std::string& line : lines) EXPECT_FALSE(ParseEtcdWatch(line)) << line;
}

TEST(EtcdWatchTest, LinesArriveInAnyPieces) {
  const std::string text = Line(R"(,"created":true)") + "\n" +
                           Line(R"(,"events":[{"kv":{"key":"YQ==","mod_revision":"8"}}])");
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    EtcdWatchLines lines;
    std::vector<EtcdWatchMessage> all;
    for (std::size_t at = 0; at < text.size(); at += piece) {
      auto some = lines.Add(std::string_view(text).substr(at, piece));
      ASSERT_TRUE(some);
      for (EtcdWatchMessage& message : *some) all.push_back(std::move(message));
    }
    ASSERT_EQ(all.size(), 2u) << piece;
    EXPECT_EQ(all[1].changes.size(), 1u);
  }
}

TEST(EtcdWatchTest, TheBodyHasOneRequestForEachPrefix) {
  EXPECT_EQ(EtcdWatchBody({"a/", "b/"}, 5),
            "{\"create_request\":{\"key\":\"YS8=\",\"range_end\":\"YTA=\","
            "\"start_revision\":\"5\"}}\n"
            "{\"create_request\":{\"key\":\"Yi8=\",\"range_end\":\"YjA=\","
            "\"start_revision\":\"5\"}}\n");
}

}  // namespace
}  // namespace cygnet
