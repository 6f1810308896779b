// Replays test/vectors/netlink_xfrm.txt: every answer and notification must equal that of a Linux
// kernel, byte for byte.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "support/xfrm_server_fixture.h"

namespace cygnet::test {
namespace {

struct Row {
  std::string name;
  Bytes send;
  std::vector<std::string> recv;
  std::vector<std::string> events;                   // "GROUP HEX"
  std::vector<std::pair<std::string, int>> options;  // set before the request
};

std::string Hex(std::span<const uint8_t> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t b : bytes) {
    text += kDigits[b >> 4];
    text += kDigits[b & 15];
  }
  return text;
}

Bytes FromHex(const std::string& text) {
  Bytes bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

std::vector<Row> ReadRows(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  std::vector<Row> rows;
  std::vector<std::pair<std::string, int>> options;
  std::string line;
  while (std::getline(file, line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line[0] == '[') {
      rows.push_back({line.substr(1, line.size() - 2), {}, {}, {}, std::exchange(options, {})});
      continue;
    }
    std::istringstream words(line);
    std::string keyword;
    std::string first;
    std::string second;
    words >> keyword >> first >> second;
    if (keyword == "send") {
      rows.back().send = FromHex(first);
    } else if (keyword == "recv") {
      rows.back().recv.push_back(first);
    } else if (keyword == "event") {
      rows.back().events.push_back(first.append(" ").append(second));
    } else if (keyword == "option") {
      options.emplace_back(first, std::stoi(second));
    } else {
      ADD_FAILURE() << "unknown line: " << line;
    }
  }
  return rows;
}

// A notification in the file's format: first the group, which the datagram has in nlmsg_flags.
std::string EventText(Bytes datagram) {
  nlmsghdr header = HeaderOf(datagram);
  const int group = header.nlmsg_flags >> transport::kGroupShift;
  header.nlmsg_flags &= static_cast<uint16_t>(~transport::kGroupMask);
  std::memcpy(datagram.data(), &header, sizeof(header));
  return std::to_string(group) + " " + Hex(datagram);
}

TEST(XfrmServerVectorsTest, AnswersLikeALinuxKernel) {
  const auto rows = ReadRows(CYGNET_TEST_VECTORS "/netlink_xfrm.txt");
  ASSERT_GT(rows.size(), 400u);
  XfrmServerHarness harness;
  const auto client = harness.Connect();
  const auto listener = harness.Connect(0xff, 0x9999);
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    for (const auto& [name, value] : row.options) {
      client->Option(name == "ext_ack" ? NETLINK_EXT_ACK : NETLINK_CAP_ACK, value);
    }
    std::vector<std::string> answers;
    for (const Bytes& got : harness.Ask(*client, row.send)) answers.push_back(Hex(got));
    std::vector<std::string> events;
    for (Bytes& got : harness.Drain(*listener)) events.push_back(EventText(std::move(got)));
    EXPECT_EQ(answers, row.recv);
    EXPECT_EQ(events, row.events);
  }
}

}  // namespace
}  // namespace cygnet::test
