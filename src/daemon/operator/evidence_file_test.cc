// Evidence against devices: what the files contain and who may read them.
#include "daemon/operator/evidence_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "support/file_size_limit.h"
#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::Bytes;
using testing::HasSubstr;

ShadowEvidence Wrong(std::string_view what, Half half = Half::kOutbound) {
  ShadowEvidence evidence;
  evidence.time_ns = 1'700'000'000'000'000'000;
  evidence.half = half;
  evidence.mode = OffloadMode::kPacket;
  evidence.what = what;
  evidence.seq = 7;
  evidence.id = {
      .daddr = test::Ip("192.0.2.2"), .spi = Spi(0x1000), .proto = 50, .family = IpFamily::kV4};
  evidence.esp = test::Frame(
      test::IpPacket({.src = "192.0.2.1", .dst = "192.0.2.2", .proto = 50}, test::Pattern(64)));
  evidence.by_device =
      test::Frame(test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, test::Pattern(20)));
  return evidence;
}

class EvidenceFileTest : public testing::Test {
 protected:
  EvidenceFileTest() {
    char name[] = "/tmp/cygnet_evidence_XXXXXX";
    folder_ = mkdtemp(name);
  }
  ~EvidenceFileTest() override { std::filesystem::remove_all(folder_); }
  std::string Path() const { return folder_ + "/evidence-nic0.pcapng"; }
  // What tshark prints of the file.
  std::string Tshark(const std::string& options) const {
    const std::string command = "tshark -r " + Path() + " " + options + " 2>/dev/null";
    std::string text;
    if (FILE* pipe = popen(command.c_str(), "r"); pipe != nullptr) {
      char line[512];
      while (fgets(line, sizeof(line), pipe) != nullptr) text += line;
      pclose(pipe);
    }
    return text;
  }
  std::string folder_;
};

TEST_F(EvidenceFileTest, TsharkReadsEachPacketWithItsComment) {
  EvidenceFiles files(folder_);
  const std::vector<ShadowEvidence> first = {Wrong("the ICV does not verify")};
  const std::vector<ShadowEvidence> second = {Wrong("the packet is a replay", Half::kInbound)};
  EXPECT_EQ(*files.Keep("nic0", first), Path());
  EXPECT_EQ(*files.Keep("nic0", second), Path());
  const std::string text =
      Tshark("-T fields -e frame.interface_name -e frame.comment -e esp.spi -e ip.dst");
  EXPECT_THAT(text, HasSubstr("nic0-esp\tshadow verification of nic0, outbound, packet offload: "
                              "the ICV does not verify; SA dst 192.0.2.2 spi 0x00001000, "
                              "sequence number 7"));
  EXPECT_THAT(text, HasSubstr("nic0-device\tshadow verification of nic0, inbound"));
  EXPECT_THAT(text, HasSubstr("10.2.0.1"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 4);
}

TEST_F(EvidenceFileTest, PacketsOfTheSelfTestJoinThem) {
  EvidenceFiles files(folder_);
  ASSERT_TRUE(files.Keep("nic0", std::vector{Wrong("x")}).has_value());
  const Bytes inner = test::IpPacket({.src = "198.18.1.1", .dst = "198.18.1.2"}, test::Pattern(20));
  const Bytes esp =
      test::IpPacket({.src = "2001:db8::1", .dst = "2001:db8::2", .proto = 50}, test::Pattern(64));
  const std::vector<WithdrawnCapability> withdrawn = {
      {.name = "esn",
       .text = "it does not seal",
       .proof = {.sent = inner, .expected = esp, .got = {}}},
      {.name = "replay-check",
       .text = "it accepts",
       .proof = {.sent = esp, .expected = {}, .got = inner}}};
  EXPECT_EQ(*files.Keep("nic0", withdrawn), Path());
  const std::string text = Tshark(
      "-T fields -e frame.interface_name -e frame.comment -e ip.dst -e ipv6.dst -e "
      "frame.packet_id");
  for (const char* line :
       {"nic0-given\tself-test of nic0: withdrawn:esn: it does not seal\t198.18.1.2\t",
        "nic0-cpu\tself-test of nic0: withdrawn:esn: it does not seal\t\t2001:db8::2",
        "nic0-given\tself-test of nic0: withdrawn:replay-check: it accepts\t\t2001:db8::2",
        "nic0-device\tself-test of nic0: withdrawn:replay-check: it accepts\t198.18.1.2\t"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 2 + 4);
}

TEST_F(EvidenceFileTest, OnlyItsOwnerReadsIt) {
  umask(0);
  const std::vector<ShadowEvidence> evidence = {Wrong("x")};
  ASSERT_TRUE(EvidenceFiles(folder_).Keep("nic0", evidence).has_value());
  struct stat now {};
  ASSERT_EQ(stat(Path().c_str(), &now), 0);
  EXPECT_EQ(now.st_mode & 0777u, 0600u);
}

TEST_F(EvidenceFileTest, WhatIsNoFileOrOpenToOthersGetsNoPackets) {
  EvidenceFiles files(folder_);
  ASSERT_EQ(mkfifo(Path().c_str(), 0600), 0);
  EXPECT_FALSE(files.Keep("nic0", std::vector{Wrong("x")})) << "and does not wait for a reader";
  std::filesystem::remove(Path());
  std::fclose(std::fopen(Path().c_str(), "w"));
  ASSERT_EQ(chmod(Path().c_str(), 0644), 0);
  EXPECT_THAT(files.Keep("nic0", std::vector{Wrong("x")}).error().message,
              HasSubstr("can be read by others; remove it"));
  ASSERT_EQ(chmod(Path().c_str(), 0600), 0);
  ASSERT_EQ(link(Path().c_str(), (folder_ + "/other").c_str()), 0);
  EXPECT_FALSE(files.Keep("nic0", std::vector{Wrong("x")}));
  EXPECT_EQ(std::filesystem::file_size(Path()), 0u);
}

TEST_F(EvidenceFileTest, DoesNotGrowForever) {
  EvidenceFiles files(folder_);
  const std::vector<ShadowEvidence> evidence(16, Wrong("x"));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(files.Keep("nic0", evidence).has_value());
  EXPECT_LT(std::filesystem::file_size(Path()), EvidenceFiles::kMaxBytes + 16'384);
}

TEST_F(EvidenceFileTest, FailureIsSaidAndLeavesAWholeFile) {
  EvidenceFiles files(folder_);
  const std::vector<ShadowEvidence> evidence = {Wrong("x")};
  ASSERT_TRUE(files.Keep("nic0", evidence).has_value());
  const auto size = std::filesystem::file_size(Path());
  {
    const test::FileSizeLimit limit(size + 100);
    const auto kept = files.Keep("nic0", evidence);
    ASSERT_FALSE(kept.has_value());
    EXPECT_THAT(kept.error().message, HasSubstr("cannot write"));
  }
  EXPECT_EQ(std::filesystem::file_size(Path()), size);
  EXPECT_FALSE(EvidenceFiles("").Keep("nic0", evidence).has_value());
  EXPECT_FALSE(EvidenceFiles("/nonexistent").Keep("nic0", evidence).has_value());
  std::filesystem::remove(Path());
  std::filesystem::create_symlink("/etc/passwd", Path());
  EXPECT_FALSE(files.Keep("nic0", evidence).has_value()) << "follows no link";
}

}  // namespace
}  // namespace cygnet
