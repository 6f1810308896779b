// Requests about placement, and the comments of captures.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/operator/capture_comment.h"
#include "daemon/operator/reply.h"
#include "daemon/operator/report_json.h"
#include "support/fake_operator_control.h"
#include "support/hex.h"

namespace cygnet {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class PlacementRequestTest : public ::testing::Test {
 protected:
  std::vector<Json> Ask(const std::string& request) {
    const auto reply = MakeReply(&control_, request);
    std::vector<Json> datagrams;
    std::string text;
    while (reply->MakeNext(&text) == OperatorReply::Next::kDatagram) {
      datagrams.push_back(Json::parse(text));
    }
    return datagrams;
  }

  std::string ErrorOf(const std::string& request) {
    const auto reply = Ask(request);
    return reply.size() == 1 && reply[0].contains("error") ? reply[0]["error"] : "no error";
  }

  test::FakeOperatorControl control_;
};

TEST_F(PlacementRequestTest, LedgerEndsWithASummary) {
  control_.ledger = test::SampleLedgerReport();
  const auto reply = Ask(
      R"({"command":"ledger","holder":"nic0","spi":"0x1000","dst":"192.0.2.2","current":true})");
  ASSERT_EQ(reply.size(), 4u);
  EXPECT_EQ(reply[0]["item"]["kind"], "placement");
  EXPECT_EQ(reply[1]["item"]["kind"], "key");
  EXPECT_EQ(reply[2]["item"]["kind"], "summary");
  EXPECT_EQ(reply[2]["item"]["dropped"], 2);
  const LedgerQuery& query = control_.last_ledger_query;
  EXPECT_EQ(query.holder, "nic0");
  EXPECT_EQ(query.spi, Spi{0x1000});
  EXPECT_EQ(query.daddr, ParseAddress("192.0.2.2")->address);
  EXPECT_TRUE(query.only_current);
}

TEST_F(PlacementRequestTest, LedgerOfAnUnknownHolderIsAnErrorUnlessItHadKeys) {
  const std::string request = R"({"command":"ledger","holder":"nope"})";
  EXPECT_THAT(ErrorOf(request), StartsWith("holder: \"nope\" is not a device or an engine"));
  control_.ledger = test::SampleLedgerReport();  // of the past
  EXPECT_EQ(ErrorOf(request), "no error");
  control_.ledger = {};
  control_.devices.emplace_back().name = "nope";
  EXPECT_EQ(ErrorOf(request), "no error");
}

TEST_F(PlacementRequestTest, LedgerKeepsTheLatestEntries) {
  control_.ledger = test::SampleLedgerReport();
  for (const char* spi : {"0x1", "0x2"}) {
    control_.ledger.keys.push_back(control_.ledger.keys[0]);
    control_.ledger.keys.back().holder = spi;
  }
  const auto reply = Ask(R"({"command":"ledger","last":1})");
  ASSERT_EQ(reply.size(), 4u);
  EXPECT_EQ(reply[0]["item"]["kind"], "placement");
  EXPECT_EQ(reply[1]["item"]["holder"], "0x2");
  EXPECT_EQ(Ask(R"({"command":"ledger","last":0})").size(), 2u);
}

TEST_F(PlacementRequestTest, ExplainTakesWhatAnSaHas) {
  control_.explain = test::SampleExplainReport();
  const auto reply = Ask(
      R"j({"command":"explain","device":"nic0","aead":"rfc4106(gcm(aes))","key_bits":256,)j"
      R"("icv_bits":96,"mode":"transport","offload":"auto","ipv6":true,"encap":true,"esn":true,)"
      R"("replay_window":64,"tfc":true,"direction":"in"})");
  ASSERT_EQ(reply.size(), 2u);
  EXPECT_EQ(reply[0]["item"]["verdicts"][0]["reason"], "no-capability:esn");
  const ExplainQuery& query = control_.last_explain_query;
  EXPECT_EQ(query.device, "nic0");
  EXPECT_EQ(query.aead, "rfc4106(gcm(aes))");
  EXPECT_EQ(query.key_bits, 256u);
  EXPECT_EQ(query.icv_bits, 96u);
  EXPECT_EQ(query.mode, "transport");
  EXPECT_EQ(query.offload, PlacementMode::kAuto);
  EXPECT_TRUE(query.ipv6 && query.encap && query.esn && query.tfc);
  EXPECT_EQ(query.replay_window, 64u);
  EXPECT_EQ(query.half, Half::kInbound);
}

TEST_F(PlacementRequestTest, ExplainHasDefaults) {
  Ask(R"j({"command":"explain","device":"nic0","cipher":"cbc(aes)","auth":"hmac(sha256)"})j");
  const ExplainQuery& query = control_.last_explain_query;
  EXPECT_EQ(query.mode, "tunnel");
  EXPECT_EQ(query.offload, PlacementMode::kCrypto);
  EXPECT_EQ(query.replay_window, 32u);
  EXPECT_EQ(query.half, std::nullopt);
  EXPECT_EQ(query.auth, "hmac(sha256)");
}

TEST_F(PlacementRequestTest, EnablesAndDisables) {
  control_.move = MoveReport{.moved = 12, .stayed = 1, .blocked = 0, .took_us = 800};
  const auto reply = Ask(R"({"command":"offload","action":"disable","device":"nic0"})");
  ASSERT_EQ(reply.size(), 2u);
  EXPECT_EQ(reply[0]["item"].dump(), R"({"moved":12,"stayed":1,"blocked":0,"took_us":800})");
  Ask(R"({"command":"offload","action":"enable","device":"nic0"})");
  EXPECT_THAT(control_.orders, ElementsAre("disable nic0", "enable nic0"));
  control_.devices = {test::SampleDeviceReport(), test::SampleDeviceReport()};
  control_.devices[1].name = "nic1";
  control_.move = MakeError(Errc::kNoDevice, "no device \"nic9\"");
  EXPECT_EQ(ErrorOf(R"({"command":"offload","action":"enable","device":"nic9"})"),
            "no device \"nic9\"; devices: nic0, nic1");
}

TEST_F(PlacementRequestTest, ListsOrdersInForce) {
  const OrderMark mark{.uid = 1000, .pid = 7, .since = 1'700'000'000};
  control_.orders_in_force = {{.kind = "device", .name = "nic0", .mark = mark},
                              {.kind = "placement",
                               .placement = {.daddr = ParseAddress("2001:db8::1")->address,
                                             .family = IpFamily::kV6,
                                             .mode = PlacementMode::kCrypto,
                                             .pinned = true},
                               .mark = {}}};
  const auto reply = Ask(R"({"command":"offload"})");
  ASSERT_EQ(reply.size(), 3u);
  EXPECT_EQ(reply[0]["item"].dump(),
            R"({"kind":"device","name":"nic0","since":1700000000,"uid":1000,"pid":7})");
  EXPECT_EQ(reply[1]["item"].dump(),
            R"({"kind":"placement","dst":"2001:db8::1","mode":"crypto","device":"","pinned":true,)"
            R"("ends_with_sa":false,"since":0,"pid":0})");
  EXPECT_EQ(OrderOf(R"({"command":"offload"})"), "");
}

TEST_F(PlacementRequestTest, WhoOrdersIsPassedOn) {
  const OrderMark mark{.uid = 1000, .pid = 7};
  MakeReply(&control_, R"({"command":"offload","action":"disable","device":"nic0"})", mark);
  EXPECT_EQ(control_.last_mark.uid, 1000u);
  MakeReply(&control_, R"({"command":"placement","action":"set","spi":1,"mode":"no"})", mark);
  EXPECT_EQ(control_.last_placement_command.mark.pid, 7);
}

TEST_F(PlacementRequestTest, SetsAndUnsets) {
  Ask(R"({"command":"placement","action":"set","spi":"0x1000","dst":"192.0.2.2","reqid":7,)"
      R"("mode":"required","device":"nic0","pin":true})");
  const PlacementCommand& command = control_.last_placement_command;
  EXPECT_EQ(command.spi, Spi{0x1000});
  EXPECT_EQ(command.daddr, ParseAddress("192.0.2.2")->address);
  EXPECT_EQ(command.reqid, Reqid{7});
  EXPECT_EQ(command.mode, PlacementMode::kRequired);
  EXPECT_EQ(command.device, "nic0");
  EXPECT_TRUE(command.pinned);
  EXPECT_FALSE(command.clear);
  Ask(R"({"command":"placement","action":"unset","reqid":7})");
  EXPECT_TRUE(control_.last_placement_command.clear);
  EXPECT_FALSE(control_.last_placement_command.spi);
}

TEST_F(PlacementRequestTest, PlaysFaults) {
  const auto reply = Ask(R"({"command":"fault","device":"nic0","fault":"reset 3"})");
  ASSERT_EQ(reply.size(), 1u);
  EXPECT_EQ(reply[0].dump(), R"({"done":true})");
  EXPECT_THAT(control_.orders, ElementsAre("fault nic0: reset 3"));
  EXPECT_EQ(ErrorOf(R"({"command":"fault","device":"nic0","fault":"unknown"})"), "no such fault");
}

TEST_F(PlacementRequestTest, SaysWhatIsWrong) {
  const std::pair<const char*, const char*> kCases[] = {
      {R"({"command":"ledger","spi":"x"})", "spi: must be a 32-bit number"},
      {R"({"command":"ledger","device":"nic0"})", "unknown field \"device\""},
      {R"({"command":"explain","aead":"a"})", "device: missing"},
      {R"({"command":"explain","device":"d"})", "the algorithms: either"},
      {R"({"command":"explain","device":"d","aead":"a","auth":"b"})", "the algorithms: either"},
      {R"({"command":"explain","device":"d","aead":"a","mode":"ro"})", "mode: must be \"tran"},
      {R"({"command":"explain","device":"d","aead":"a","offload":"x"})", "mode: must be \"no\""},
      {R"({"command":"explain","device":"d","aead":"a","direction":"x"})", "direction: must be"},
      {R"({"command":"offload","device":"nic0"})", "unknown field \"device\""},
      {R"({"command":"offload","action":"set","spi":1,"mode":"no"})", "action: must be \"enable\""},
      {R"({"command":"placement"})", "action: must be \"set\" or \"unset\""},
      {R"({"command":"placement","action":"enable"})", "action: must be \"set\" or \"unset\""},
      {R"({"command":"offload","action":"disable"})", "device: missing"},
      {R"({"command":"placement","action":"set","mode":"no"})", "name the SAs"},
      {R"({"command":"placement","action":"set","spi":1})", "mode: missing"},
      {R"({"command":"placement","action":"set","spi":1,"mode":"fast"})", "is \"fast\""},
      {R"({"command":"placement","action":"unset","spi":1,"mode":"no"})", "unknown field \"mode\""},
      {R"({"command":"fault","device":"nic0"})", "fault: missing"},
  };
  for (const auto& [request, message] : kCases) {
    EXPECT_THAT(ErrorOf(request), HasSubstr(message)) << request;
  }
}

// --- Captures ---

// 192.0.2.1 → 192.0.2.2, SPI 0x1000, sequence number 1.
CapturedFrame EspFrame(CaptureDirection direction) {
  CapturedFrame frame{.facts = {.direction = direction},
                      .bytes = test::FromHex("02000000000a 02000000000b 0800"
                                             "4500002400000000403200 00c0000201c0000202"
                                             "00001000 00000001 0000000000000000")};
  frame.original_length = static_cast<uint32_t>(frame.bytes.size());
  return frame;
}

CapturedFrame UdpEspFrame() {
  CapturedFrame frame{.facts = {.direction = CaptureDirection::kOutbound},
                      .bytes = test::FromHex("02000000000a 02000000000b 0800"
                                             "4500002c00000000401100 00c0000201c0000202"
                                             "1194270f 00180000"
                                             "00001000 00000001 0000000000000000")};
  frame.original_length = static_cast<uint32_t>(frame.bytes.size());
  return frame;
}

CapturedFrame ClearFrame(const CaptureFacts& facts) {
  return {.original_length = 3, .facts = facts, .bytes = {1, 2, 3}};
}

class CaptureCommentTest : public ::testing::Test {
 protected:
  void SetUp() override {
    control_.placements = {{"1000 192.0.2.2 false", "crypto nic0 (requested)"},
                           {"1000 192.0.2.2 true", "software openssl (table-full)"}};
  }
  pcapng::PacketNotes Notes(const CapturedFrame& frame) const {
    return NotesOf(control_, frame, LinkOf(control_, frame), "nic0");
  }
  test::FakeOperatorControl control_;
};

TEST_F(CaptureCommentTest, NamesThePlacementOfTheHalf) {
  EXPECT_THAT(Notes(EspFrame(CaptureDirection::kOutbound)).comments,
              ElementsAre("ESP SPI 0x00001000, sequence number 1",
                          "placement out: crypto nic0 (requested)"));
  EXPECT_THAT(Notes(EspFrame(CaptureDirection::kInbound)).comments,
              ElementsAre("ESP SPI 0x00001000, sequence number 1",
                          "placement in: software openssl (table-full)"));
}

TEST_F(CaptureCommentTest, ReadsEspInUdp) {
  EXPECT_THAT(Notes(UdpEspFrame()).comments, Contains("placement out: crypto nic0 (requested)"));
}

TEST_F(CaptureCommentTest, ReadsWhatTheSnapLengthLeft) {
  CapturedFrame frame = EspFrame(CaptureDirection::kOutbound);
  frame.bytes.resize(14 + 20 + 8);
  EXPECT_THAT(Notes(frame).comments, Contains("placement out: crypto nic0 (requested)"));
}

TEST_F(CaptureCommentTest, SaysNothingOfOtherFrames) {
  CapturedFrame udp = UdpEspFrame();
  udp.bytes[14 + 20 + 8 + 3] ^= 1;  // another SPI: not ESP at all
  CapturedFrame tcp = EspFrame(CaptureDirection::kOutbound);
  tcp.bytes[14 + 9] = 6;
  for (const CapturedFrame& frame : {udp, tcp, ClearFrame({})}) {
    EXPECT_THAT(Notes(frame).comments, IsEmpty());
    EXPECT_EQ(Notes(frame).packet_id, std::nullopt);
  }
}

TEST_F(CaptureCommentTest, EspWithoutAnSaHasAnId) {
  CapturedFrame frame = EspFrame(CaptureDirection::kInbound);
  frame.bytes[14 + 20 + 3] ^= 1;
  frame.facts.reason = DropReason::kInNoState;
  EXPECT_THAT(Notes(frame).comments, ElementsAre(StartsWith("dropped: in-no-state: "),
                                                 "ESP SPI 0x00001001, sequence number 1"));
  EXPECT_NE(Notes(frame).packet_id, std::nullopt);
}

TEST_F(CaptureCommentTest, APacketInClearHasTheIdOfItsEspPacket) {
  CaptureFacts facts{
      .direction = CaptureDirection::kOutbound,
      .place = CapturePlace::kDevice,
      .device = "nic1",
      .link = {.spi = 0x1000, .seq = 1, .daddr = ParseAddress("192.0.2.2")->address}};
  const CapturedFrame esp = EspFrame(CaptureDirection::kOutbound);
  EXPECT_EQ(Notes(ClearFrame(facts)).packet_id, Notes(esp).packet_id);
  EXPECT_THAT(Notes(ClearFrame(facts)).comments,
              ElementsAre("ESP SPI 0x00001000, sequence number 1, sealed by device nic1 "
                          "(crypto offload)",
                          "placement out: crypto nic0 (requested)"));
  facts.direction = CaptureDirection::kInbound;
  facts.place = CapturePlace::kEngine;
  EXPECT_THAT(Notes(ClearFrame(facts)).comments,
              Contains("ESP SPI 0x00001000, sequence number 1, opened by an engine"));
  EXPECT_THAT(Notes(ClearFrame({.place = CapturePlace::kClear})).comments, ElementsAre("in clear"));
}

TEST_F(CaptureCommentTest, IdsDifferBySaAndNumber) {
  const CaptureLink one{.spi = 0x1000, .seq = 1, .daddr = ParseAddress("192.0.2.2")->address};
  CaptureLink number = one, spi = one, address = one, high = one;
  number.seq = 2;
  spi.spi = 0x1001;
  address.daddr = ParseAddress("192.0.2.3")->address;
  high.seq |= uint64_t{1} << 32;
  EXPECT_NE(PacketIdOf(number), PacketIdOf(one));
  EXPECT_NE(PacketIdOf(spi), PacketIdOf(one));
  EXPECT_NE(PacketIdOf(address), PacketIdOf(one));
  EXPECT_EQ(PacketIdOf(high), PacketIdOf(one));  // the wire does not show the high word
  EXPECT_EQ(static_cast<uint32_t>(PacketIdOf(number)), 2u);
}

}  // namespace
}  // namespace cygnet
