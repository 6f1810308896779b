// pcapng: the bytes, and how the usual readers parse them.
#include "daemon/operator/pcapng.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>

#include "support/hex.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;

std::string Hex(const std::string& bytes) {
  return test::ToHex({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

// An ARP request.
CapturedFrame SampleFrame(CaptureDirection direction) {
  return {.time_ns = 1'700'000'000'123'456'789,
          .original_length = 60,
          .facts = {.direction = direction},
          .bytes = test::FromHex("ffffffffffff 02000000000a 0806 0001 0800 06 04 0001"
                                 "02000000000a c0000201 000000000000 c0000202")};
}

TEST(PcapngTest, SectionHeaderBytes) {
  std::string out;
  pcapng::AppendSectionHeader("cyg", &out);
  EXPECT_EQ(Hex(out),
            "0a0d0d0a"
            "28000000"
            "4d3c2b1a"
            "0100"
            "0000"
            "ffffffffffffffff"
            "0400"
            "0300"
            "63796700"
            "0000"
            "0000"
            "28000000");
}

TEST(PcapngTest, InterfaceBytes) {
  std::string out;
  pcapng::AppendInterface("nic0-host", "text", 128, &out);
  EXPECT_EQ(Hex(out),
            "01000000"
            "38000000"
            "0100"
            "0000"
            "80000000"
            "0200"
            "0900"
            "6e6963302d686f7374000000"
            "0300"
            "0400"
            "74657874"
            "0900"
            "0100"
            "09000000"
            "00000000"
            "38000000");
}

TEST(PcapngTest, PacketBytes) {
  std::string out;
  pcapng::AppendPacket({.time_ns = 0x0102030405060708,
                        .interface = 1,
                        .original_length = 9,
                        .facts = {.direction = CaptureDirection::kOutbound},
                        .bytes = {1, 2, 3, 4, 5}},
                       {}, &out);
  EXPECT_EQ(Hex(out),
            "06000000"
            "34000000"
            "01000000"
            "04030201"
            "08070605"
            "05000000"
            "09000000"
            "0102030405000000"
            "0200"
            "0400"
            "02000000"
            "00000000"
            "34000000");
}

TEST(PcapngTest, CommentsAndPacketId) {
  std::string out;
  pcapng::AppendPacket({.original_length = 4,
                        .facts = {.direction = CaptureDirection::kInbound},
                        .bytes = {1, 2, 3, 4}},
                       {.comments = {"hello", "you"}, .packet_id = 0x0102030405060708}, &out);
  EXPECT_EQ(Hex(out),
            "06000000"
            "50000000"
            "00000000"
            "0000000000000000"
            "04000000"
            "04000000"
            "01020304"
            "0100"
            "0500"
            "68656c6c6f000000"
            "0100"
            "0300"
            "796f7500"
            "0200"
            "0400"
            "01000000"
            "0500"
            "0800"
            "0807060504030201"
            "00000000"
            "50000000");
}

TEST(PcapngTest, StatisticsBytes) {
  std::string out;
  pcapng::AppendStatistics(0, 0x0102030405060708, {.received = 9, .dropped = 2}, &out);
  EXPECT_EQ(Hex(out),
            "05000000"
            "34000000"
            "00000000"
            "04030201"
            "08070605"
            "0400"
            "0800"
            "0900000000000000"
            "0500"
            "0800"
            "0200000000000000"
            "00000000"
            "34000000");
}

bool Installed(const std::string& program) {
  return std::system(("command -v " + program + " >/dev/null 2>&1").c_str()) == 0;
}

std::string OutputOf(const std::string& command) {
  std::string output;
  std::array<char, 4096> part;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "cannot run " + command;
  while (const std::size_t n = fread(part.data(), 1, part.size(), pipe))
    output.append(part.data(), n);
  pclose(pipe);
  return output;
}

class PcapngReaderTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string path = ::testing::TempDir() + "cygnet_pcapng_XXXXXX";
    const int fd = mkstemp(path.data());
    ASSERT_GE(fd, 0);
    close(fd);
    path_ = path;
    std::string out;
    pcapng::AppendSectionHeader("cygnetd", &out);
    pcapng::AppendInterface("nic0-wire", "the wire", 65535, &out);
    pcapng::AppendInterface("nic0", "the host-side interface", 65535, &out);
    CapturedFrame frame = SampleFrame(CaptureDirection::kInbound);
    pcapng::AppendPacket(frame, {.comments = {"one"}, .packet_id = 0x1234}, &out);
    frame = SampleFrame(CaptureDirection::kOutbound);
    frame.interface = 1;
    pcapng::AppendPacket(frame, {.comments = {"two", "three"}, .packet_id = 0x1234}, &out);
    pcapng::AppendStatistics(0, 1'700'000'001'000'000'000, {.received = 5, .dropped = 3}, &out);
    std::ofstream(path_, std::ios::binary) << out;
  }
  void TearDown() override { unlink(path_.c_str()); }

  std::string path_;
};

TEST_F(PcapngReaderTest, TcpdumpReadsIt) {
  if (!Installed("tcpdump")) GTEST_SKIP() << "tcpdump is not installed";
  const std::string text = OutputOf("TZ=UTC tcpdump -n -tttt --nano -r " + path_);
  EXPECT_THAT(text, HasSubstr("2023-11-14 22:13:20.123456789 ARP, Request who-has 192.0.2.2 tell "
                              "192.0.2.1"));
}

TEST_F(PcapngReaderTest, CapinfosReadsIt) {
  if (!Installed("capinfos")) GTEST_SKIP() << "capinfos is not installed";
  const std::string text = OutputOf("capinfos " + path_);
  EXPECT_THAT(text, HasSubstr("Name = nic0-wire"));
  EXPECT_THAT(text, HasSubstr("Number of packets:   2"));
  EXPECT_THAT(text, HasSubstr("Time precision = nanoseconds (9)"));
}

TEST_F(PcapngReaderTest, TsharkSeesDirections) {
  if (!Installed("tshark")) GTEST_SKIP() << "tshark is not installed";
  const std::string text =
      OutputOf("tshark -r " + path_ + " -T fields -e frame.packet_flags_direction -e frame.len");
  EXPECT_THAT(text, HasSubstr("0x00000001\t60"));
  EXPECT_THAT(text, HasSubstr("0x00000002\t60"));
}

TEST_F(PcapngReaderTest, TsharkSeesInterfacesIdsAndComments) {
  if (!Installed("tshark")) GTEST_SKIP() << "tshark is not installed";
  const std::string text =
      OutputOf("tshark -r " + path_ +
               " -T fields -e frame.interface_name -e frame.packet_id -e frame.comment");
  EXPECT_THAT(text, HasSubstr("nic0-wire\t4660\tone"));
  EXPECT_THAT(text, HasSubstr("nic0\t4660\ttwo,three"));
}

}  // namespace
}  // namespace cygnet
