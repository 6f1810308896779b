// The client's end of the operator socket: split replies, errors, and a daemon that dies.
#include "client/operator_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "support/scripted_daemon.h"

namespace cygnet {
namespace {

using test::Ending;
using test::ScriptedDaemon;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Outcome {
  std::vector<std::string> items;
  std::string error;
};

Outcome Ask(std::vector<std::string> script) {
  const ScriptedDaemon daemon(std::move(script), Ending::kClose);
  auto client = daemon.connector()();
  EXPECT_TRUE(client);
  Outcome outcome;
  const Status status = client->ForEachItem(
      {{"command", "sa"}}, [&](const Json& item) { outcome.items.push_back(item.dump()); });
  if (!status) outcome.error = status.error().message;
  return outcome;
}

TEST(OperatorClientTest, ShowsItemsInOrder) {
  const auto outcome = Ask({R"({"item":1})", R"({"item":2})", R"({"done":true})"});
  EXPECT_THAT(outcome.items, ElementsAre("1", "2"));
  EXPECT_EQ(outcome.error, "");
}

TEST(OperatorClientTest, PutsTogetherItemsThatComeInParts) {
  const auto outcome =
      Ask({R"({"item":{"held":[1]}})", R"({"append":{"held":[2,3]}})", R"({"append":{"held":[4]}})",
           R"({"item":{"held":[]}})", R"({"done":true})"});
  EXPECT_THAT(outcome.items, ElementsAre(R"({"held":[1,2,3,4]})", R"({"held":[]})"));
}

TEST(OperatorClientTest, PassesOnErrors) {
  const auto outcome = Ask({R"({"item":1})", R"({"error":"no"})"});
  EXPECT_THAT(outcome.items, ElementsAre("1"));
  EXPECT_EQ(outcome.error, "no");
}

TEST(OperatorClientTest, NoticesADaemonThatDiesInTheMiddle) {
  const auto outcome = Ask({R"({"item":1})"});
  EXPECT_THAT(outcome.items, ElementsAre("1"));
  EXPECT_THAT(outcome.error, HasSubstr("closed the connection"));
}

TEST(OperatorClientTest, NoticesADaemonThatDiesAtOnce) {
  EXPECT_THAT(Ask({}).error, HasSubstr("closed the connection"));
}

TEST(OperatorClientTest, DistrustsWhatIsNoJsonObject) {
  EXPECT_THAT(Ask({"nonsense"}).error, HasSubstr("not a JSON object"));
  EXPECT_THAT(Ask({"[]"}).error, HasSubstr("not a JSON object"));
}

// In a child, since a namespace belongs to a process.
TEST(OperatorClientTest, SaysThatThereIsNoDaemon) {
  constexpr int kNoNamespace = 77;
  const pid_t child = fork();
  if (child == 0) {
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
      _exit(kNoNamespace);
    }
    const auto client = OperatorClient::Connect();
    _exit(!client && client.error().code == Errc::kNoEntry &&
                  client.error().message == "no cygnetd in this network namespace"
              ? 0
              : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  if (WEXITSTATUS(status) == kNoNamespace) GTEST_SKIP() << "no network namespace of its own";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace cygnet
