// Events, from where they happen to those who watch, over a real socket.
#include "daemon/operator/event_feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/operator/operator_server.h"
#include "support/fake_clock.h"
#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class EventFeedTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto poller = Poller::Create();
    ASSERT_TRUE(poller);
    poller_ = *std::move(poller);
    server_ = std::make_unique<OperatorServer>(poller_.get(), &control_);
    server_->SetSources({.events = &feed_});
  }

  UniqueFd Watch(const std::string& request = R"({"command":"monitor"})") {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    server_->Admit(UniqueFd(ends[1]));
    EXPECT_GT(send(ends[0], request.data(), request.size(), MSG_NOSIGNAL), 0);
    Run();
    return UniqueFd(ends[0]);
  }

  void Run() {
    for (int idle = 0; idle < 2;) idle = poller_->RunOnce(0) == 0 ? idle + 1 : 0;
  }

  // What has come, the answer to the request included.
  std::vector<Json> Read(const UniqueFd& fd) {
    std::vector<Json> got;
    for (std::string text(1 << 16, '\0');;) {
      Run();
      const ssize_t size = recv(fd.get(), text.data(), text.size(), MSG_DONTWAIT);
      if (size <= 0) return got;
      got.push_back(Json::parse(text.substr(0, static_cast<std::size_t>(size))));
    }
  }

  static std::vector<std::string> Kinds(const std::vector<Json>& events) {
    std::vector<std::string> kinds;
    for (const Json& event : events) kinds.push_back(event.value("event", "answer"));
    return kinds;
  }

  test::FakeClock clock_;
  EventFeed feed_{&clock_};
  test::FakeOperatorControl control_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<OperatorServer> server_;
};

AuditRecord Order(const std::string& text) {
  return {.kind = AuditKind::kCommand,
          .message = "operator (uid 0, pid 9): " + text,
          .fields = {{"CYGNET_COMMAND", text}, {"CYGNET_PEER_UID", "0"}}};
}

TEST_F(EventFeedTest, TellsWhatHappensInItsOrder) {
  const UniqueFd fd = Watch();
  feed_.OnControlEvent(SaAdded{test::SampleSaReport().sa}, {});
  feed_.OnPlacement(test::SamplePlacementEntry());
  EXPECT_TRUE(feed_.OnKeyGiven(1, test::SampleKeyEntry()));
  feed_.OnRecord(Order("reload"));
  const auto got = Read(fd);
  EXPECT_THAT(Kinds(got), ElementsAre("answer", "sa", "placement", "key", "order"));
  EXPECT_EQ(got[0].dump(), R"({"ok":true})");
  for (std::size_t i = 1; i < got.size(); ++i) EXPECT_TRUE(got[i].contains("warning")) << got[i];
  EXPECT_EQ(got[1]["action"], "added");
  EXPECT_EQ(got[1]["spi"], "0x00001000");
  EXPECT_EQ(got[1]["time_ms"], 1'700'000'000'000);
  EXPECT_EQ(got[2]["effective"], "software");
  EXPECT_EQ(got[3]["holder"], "nic0");
  EXPECT_THAT(got[3]["text"].get<std::string>(), HasSubstr("device nic0 has erased the key of"));
  EXPECT_EQ(got[4]["command"], "reload");
  EXPECT_EQ(got[4]["peer_uid"], "0");
}

TEST_F(EventFeedTest, NeverTellsAKey) {
  const UniqueFd fd = Watch();
  feed_.OnControlEvent(SaAdded{test::SampleSaReport().sa}, {});
  for (const Json& event : Read(fd)) EXPECT_THAT(event.dump(), Not(HasSubstr("0001020304")));
}

TEST_F(EventFeedTest, OnlyTheKindsThatAreAskedFor) {
  const UniqueFd fd = Watch(R"({"command":"monitor","events":["key","order"]})");
  feed_.OnPlacement(test::SamplePlacementEntry());
  feed_.OnKeyEnded(1, test::SampleKeyEntry());
  feed_.OnRecord({.kind = AuditKind::kDevice, .message = "device nic0: down", .fields = {}});
  feed_.OnRecord(Order("x"));
  EXPECT_THAT(Kinds(Read(fd)), ElementsAre("answer", "key", "order"));
}

TEST_F(EventFeedTest, UnknownKindsAreRefusedWithTheKnownOnes) {
  const auto got = Read(Watch(R"({"command":"monitor","events":["keys"]})"));
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(
      got[0]["error"],
      "events: \"keys\" is not one of sa, policy, placement, key, device, guard, order, fips, "
      "protection, keys-shown, cluster, ledger");
  EXPECT_THAT(Read(Watch(R"({"command":"monitor","events":7})"))[0]["error"].get<std::string>(),
              HasSubstr("must be an array of strings"));
}

TEST_F(EventFeedTest, EachRecordOfTheAuditHasAKind) {
  for (std::size_t i = 0; i < static_cast<std::size_t>(AuditKind::kCount); ++i) {
    const std::string_view name = Name(static_cast<AuditKind>(i));
    const std::string_view kind = name == "command" ? "order" : name;
    EXPECT_THAT(EventFeed::kKinds, ::testing::Contains(kind));
  }
}

// It holds up neither the daemon nor those who read, and learns what it missed, where it missed it.
TEST_F(EventFeedTest, OneWhoDoesNotReadLosesEventsAndIsToldHowMany) {
  constexpr int kEvents = 1500;
  const UniqueFd slow = Watch();
  const UniqueFd fast = Watch();
  uint64_t fast_got = Read(fast).size() - 1;
  for (int i = 0; i < kEvents; ++i) {
    feed_.OnRecord(Order(std::to_string(i) + std::string(1000, 'x')));
    if (i % 100 == 99) fast_got += Read(fast).size();
  }
  EXPECT_EQ(fast_got, static_cast<uint64_t>(kEvents));
  const auto got = Read(slow);
  ASSERT_EQ(got.back()["event"], "lost");
  const uint64_t lost = got.back()["count"];
  EXPECT_GT(lost, 0u);
  EXPECT_EQ(got.size() - 2 + lost, static_cast<uint64_t>(kEvents));
  feed_.OnRecord(Order("after"));
  const auto after = Read(slow);
  ASSERT_EQ(after.size(), 1u);
  EXPECT_EQ(after[0]["command"], "after");
}

TEST(EventQueueTest, LostEventsAreToldBeforeWhatFollowsThem) {
  EventQueue queue({}, -1);
  const auto big = std::make_shared<const std::string>(EventQueue::kMostBytes, 'x');
  const auto small = std::make_shared<const std::string>("small");
  queue.Push(big);
  ASSERT_TRUE(queue.full());
  queue.Lose(5);
  queue.Lose(6);
  EXPECT_EQ(queue.Take(), *big);
  queue.Push(small);
  const Json lost = Json::parse(*queue.Take());
  EXPECT_EQ(lost["count"], 2);
  EXPECT_EQ(lost["time_ms"], 6);
  EXPECT_EQ(queue.Take(), *small);
  EXPECT_EQ(queue.Take(), std::nullopt);
}

TEST_F(EventFeedTest, NothingIsMadeIfNobodyWatches) {
  { const UniqueFd gone = Watch(); }
  Run();
  EXPECT_EQ(server_->clients(), 0u);
  feed_.OnPlacement(test::SamplePlacementEntry());  // no queue of the one who left
}

TEST_F(EventFeedTest, ItEndsWhenTheClientShutsItsSideDown) {
  const UniqueFd fd = Watch();
  shutdown(fd.get(), SHUT_WR);
  Run();
  EXPECT_EQ(server_->clients(), 0u);
}

}  // namespace
}  // namespace cygnet
