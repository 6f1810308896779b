// `cygnet monitor`: lines, a daemon that goes and comes back, an output that nobody reads.
#include "cli/monitor_command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "support/scripted_daemon.h"

namespace cygnet {
namespace {

using test::Ending;
using test::ScriptedDaemon;
using ::testing::HasSubstr;

constexpr const char* kEvent =
    R"({"event":"order","time_ms":1700000000123,"warning":false,"text":"operator: reload"})";

Arguments MonitorArguments(bool json = false) {
  Arguments arguments;
  arguments.object = Object::kMonitor;
  arguments.json = json;
  arguments.request = {{"command", "monitor"}};
  return arguments;
}

TEST(MonitorTest, ALineHasTimeKindAndText) {
  const std::string text = EventText(Json::parse(kEvent));
  EXPECT_THAT(text, HasSubstr(".123 order      operator: reload"));
  EXPECT_EQ(text.find('\n'), std::string::npos);
}

TEST(MonitorTest, NoTextOfOthersReachesTheTerminal) {
  const std::string text =
      EventText({{"event", "a\x1b"}, {"warning", true}, {"text", "b\x1b[2J\nc"}});
  EXPECT_THAT(text, HasSubstr("a?"));
  EXPECT_THAT(text, HasSubstr("! b?[2J?c"));
}

// Reads lines of the pipe as they come: each must be there before the next event.
struct Pipe {
  Pipe() {
    int ends[2];
    EXPECT_EQ(pipe(ends), 0);
    in = fdopen(ends[0], "r");
    out = fdopen(ends[1], "w");
  }
  ~Pipe() {
    if (in != nullptr) fclose(in);
    fclose(out);
  }
  std::string Line() const {
    char line[4096] = "";
    return fgets(line, sizeof line, in) == nullptr ? "" : line;
  }
  FILE* in;
  FILE* out;
};

int Monitor(bool json, const OperatorConnector& connect, FILE* out, std::string* said = nullptr) {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* err = open_memstream(&text, &size);
  const int status = RunMonitor(MonitorArguments(json), connect, out, err);
  fclose(err);
  if (said != nullptr) *said = text;
  std::free(text);
  return status;
}

TEST(MonitorTest, GoesOnWithTheNextDaemonAndEndsWithItsReader) {
  const ScriptedDaemon first({R"({"ok":true})", kEvent}, Ending::kClose);
  const ScriptedDaemon second({R"({"ok":true})", kEvent}, Ending::kWaitForShutdown);
  int calls = 0;
  const OperatorConnector connect = [&]() -> Result<OperatorClient> {
    ++calls;
    if (calls == 2) return MakeError(Errc::kNoEntry, "no cygnetd in this network namespace");
    return (calls == 1 ? first : second).connector()();
  };
  Pipe pipe;
  int status = -1;
  std::thread monitor([&] { status = Monitor(/*json=*/true, connect, pipe.out); });
  EXPECT_EQ(pipe.Line(), std::string(kEvent) + "\n");
  const Json gone = Json::parse(pipe.Line());
  EXPECT_EQ(gone["event"], "daemon");
  EXPECT_EQ(gone["state"], "gone");
  EXPECT_EQ(Json::parse(pipe.Line())["state"], "back");
  EXPECT_EQ(pipe.Line(), std::string(kEvent) + "\n");
  fclose(pipe.in);  // while no event comes
  pipe.in = nullptr;
  monitor.join();
  EXPECT_EQ(status, 0);
  EXPECT_EQ(calls, 3);
}

TEST(MonitorTest, WithoutADaemonItFails) {
  Pipe pipe;
  std::string said;
  EXPECT_EQ(
      Monitor(
          false, []() -> Result<OperatorClient> { return MakeError(Errc::kNoEntry, "no cygnetd"); },
          pipe.out, &said),
      2);
  EXPECT_EQ(said, "cygnet: no cygnetd\n");
}

TEST(MonitorTest, ARefusalIsSaid) {
  const ScriptedDaemon daemon({R"({"error":"events: \"x\" is not one of …"})"}, Ending::kClose);
  Pipe pipe;
  std::string said;
  EXPECT_EQ(Monitor(false, daemon.connector(), pipe.out, &said), 2);
  EXPECT_THAT(said, HasSubstr("is not one of"));
}

TEST(MonitorTest, AFullDiskIsSaid) {
  const ScriptedDaemon daemon({R"({"ok":true})", kEvent}, Ending::kWaitForShutdown);
  FILE* full = fopen("/dev/full", "w");
  ASSERT_NE(full, nullptr);
  std::string said;
  EXPECT_EQ(Monitor(false, daemon.connector(), full, &said), 2);
  EXPECT_EQ(said, "cygnet: cannot write the output\n");
  fclose(full);
}

}  // namespace
}  // namespace cygnet
