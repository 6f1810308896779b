// What may stand next: from the grammar alone, and from the daemon.
#include "cli/complete.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "support/scripted_daemon.h"

namespace cygnet {
namespace {

using test::Ending;
using test::ScriptedDaemon;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

Result<OperatorClient> Nobody() { return MakeError(Errc::kNoEntry, "no cygnetd"); }

std::vector<std::string> Completions(const std::vector<const char*>& words,
                                     const OperatorConnector& connect = Nobody) {
  char* text = nullptr;
  std::size_t size = 0;
  FILE* out = open_memstream(&text, &size);
  PrintCompletions(words, connect, out);
  fclose(out);
  std::istringstream lines(std::string(text, size));
  std::free(text);
  std::vector<std::string> found;
  for (std::string line; std::getline(lines, line);) found.push_back(line);
  return found;
}

TEST(CompleteTest, ObjectsCommandsAndKeywords) {
  EXPECT_THAT(Completions({""}), AllOf(Contains("sa"), Contains("web"), Not(Contains("--json")),
                                       Not(Contains("complete"))));
  EXPECT_THAT(Completions({"pl"}), ElementsAre("placement"));
  EXPECT_THAT(Completions({"offload", ""}), ElementsAre("list", "explain", "enable", "disable"));
  EXPECT_THAT(Completions({"sa", ""}), ElementsAre("list", "spi", "dst", "src", "reqid"));
  EXPECT_THAT(Completions({"sa", "spi", "1", ""}), ElementsAre("dst", "src", "reqid"));
  EXPECT_THAT(Completions({"ledger", "report", "--fr"}), ElementsAre("--from"));
}

TEST(CompleteTest, OptionsOfTheObject) {
  EXPECT_THAT(Completions({"sa", "--s"}), ElementsAre("--show-keys", "--statistics", "--sum"));
  EXPECT_THAT(Completions({"sa", "--sum", ""}), ElementsAre("peer", "device", "reason"));
  EXPECT_THAT(Completions({"sa", "--sum=d"}), ElementsAre("--sum=device"));
  EXPECT_THAT(Completions({"sa", "--color="}),
              ElementsAre("--color=always", "--color=auto", "--color=never"));
  EXPECT_THAT(Completions({"stored", "--"}), Not(Contains("--brief")));
}

TEST(CompleteTest, ValuesOfTheGrammar) {
  EXPECT_THAT(Completions({"placement", "set", "mode", ""}),
              ElementsAre("no", "crypto", "packet", "auto", "required"));
  EXPECT_THAT(Completions({"monitor", "sa", "de"}), ElementsAre("device"));
  EXPECT_THAT(Completions({"help", "off"}), ElementsAre("offload"));
  EXPECT_THAT(Completions({"fips", "mode", "o"}), ElementsAre("on", "off"));
  EXPECT_THAT(Completions({"ledger", "verify", ""}), Contains("/"));
  EXPECT_THAT(Completions({"exec", "--", "ip", ""}), ElementsAre("!2"));
}

TEST(CompleteTest, NothingAfterAWrongWord) {
  EXPECT_THAT(Completions({"xyzzy", ""}), IsEmpty());
  EXPECT_THAT(Completions({"sa", "spi", "x", ""}), IsEmpty());
  EXPECT_THAT(Completions({"sa", "-h", ""}), IsEmpty());
}

TEST(CompleteTest, NamesOfTheDaemon) {
  const ScriptedDaemon daemon(
      {R"({"item":{"name":"nic0"}})", R"({"item":{"name":"nic1"}})", R"({"item":{"name":"a b"}})",
       R"({"item":{"name":"x\u001b[m"}})", R"({"item":{"name":7}})", R"({"done":true})"},
      Ending::kClose);
  EXPECT_THAT(Completions({"capture", "dev", ""}, daemon.connector()), ElementsAre("nic0", "nic1"));
  EXPECT_THAT(Completions({"capture", "dev", ""}), IsEmpty());
}

TEST(CompleteTest, SpisAreNamedOnce) {
  const ScriptedDaemon daemon(
      {R"({"item":{"spi":"0x00001000"}})", R"({"item":{"spi":"0x00001000"}})",
       R"({"item":{"spi":"0x00002000"}})", R"({"done":true})"},
      Ending::kClose);
  EXPECT_THAT(Completions({"sa", "spi", "0x00001"}, daemon.connector()), ElementsAre("0x00001000"));
}

}  // namespace
}  // namespace cygnet
