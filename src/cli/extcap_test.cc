// `cygnet extcap`: what Wireshark asks, and the answers.
#include "cli/extcap.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "support/scripted_daemon.h"

namespace cygnet {
namespace {

using test::Ending;
using test::ScriptedDaemon;
using ::testing::HasSubstr;

std::string Answer(const std::vector<const char*>& words, const OperatorConnector& connect) {
  const auto arguments = ParseArguments(words);
  EXPECT_TRUE(arguments);
  char* text = nullptr;
  std::size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  EXPECT_TRUE(RunExtcap(*arguments, connect, out));
  fclose(out);
  std::string answer(text, size);
  std::free(text);
  return answer;
}

Result<OperatorClient> Nobody() { return MakeError(Errc::kNoEntry, "no cygnetd"); }

TEST(ExtcapTest, ListsTheDevices) {
  const ScriptedDaemon daemon(
      {R"({"item":{"name":"nic0"}})", R"({"item":{"name":"nic1"}})", R"({"done":true})"},
      Ending::kClose);
  const std::string answer =
      Answer({"extcap", "--extcap-interfaces", "--extcap-version=4.0"}, daemon.connector());
  EXPECT_THAT(answer, HasSubstr("extcap {version="));
  EXPECT_THAT(answer, HasSubstr("interface {value=cygnet-nic0}{display=Cygnet device nic0}\n"));
  EXPECT_THAT(answer, HasSubstr("interface {value=cygnet-nic1}"));
}

TEST(ExtcapTest, ListsNothingWithoutADaemon) {
  EXPECT_THAT(Answer({"extcap", "--extcap-interfaces"}, Nobody),
              testing::Not(HasSubstr("interface {")));
}

TEST(ExtcapTest, TellsLinkTypeAndOptions) {
  EXPECT_EQ(Answer({"extcap", "--extcap-interface", "cygnet-nic0", "--extcap-dlts"}, Nobody),
            "dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
  EXPECT_THAT(Answer({"extcap", "--extcap-interface=cygnet-nic0", "--extcap-config"}, Nobody),
              HasSubstr("{call=--side}"));
}

}  // namespace
}  // namespace cygnet
