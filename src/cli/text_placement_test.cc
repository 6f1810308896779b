// The text of placements.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>

#include "cli/text.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;

class TextPlacementTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

TEST_F(TextPlacementTest, PlacementHasAPast) {
  EXPECT_EQ(PlacementText(Json::parse(R"({
      "direction": "out", "requested": "crypto", "requested_by": "client", "pinned": true,
      "effective": "crypto", "device": "nic0", "engine": "openssl", "reason": "returned",
      "explanation": "the SA returned to its device", "since": 1700000000,
      "history": [
        {"time": 1699999990, "effective": "crypto", "where": "nic0", "reason": "requested",
         "explanation": "runs where it was requested"},
        {"time": 1699999995, "effective": "software", "where": "openssl",
         "reason": "device-reset", "explanation": "the device lost its tables in a reset"}]})")),
            "\tplacement out: crypto offload, device nic0, since 2023-11-14 22:13:20 (returned; "
            "client requested crypto), pinned\n"
            "\t\tplaced in crypto nic0 at 2023-11-14 22:13:10: requested (runs where it was "
            "requested)\n"
            "\t\tmoved to software openssl at 2023-11-14 22:13:15: device-reset (the device lost "
            "its tables in a reset)\n");
}

TEST_F(TextPlacementTest, OldCountersSayHowOld) {
  const auto text = [](const std::string& age) {
    return PlacementText(Json::parse(
        R"({"direction": "in", "requested": "packet", "requested_by": "client",
            "effective": "packet", "device": "nic0", "reason": "requested", "explanation": "",
            "since": 1700000000, "history": [], "counters_age": )" +
        age + "}"));
  };
  EXPECT_THAT(text("3"), HasSubstr(", counters 3 s old\n"));
  EXPECT_THAT(text("0"), ::testing::Not(HasSubstr("counters")));
}

TEST_F(TextPlacementTest, BlockedSaysWhy) {
  EXPECT_EQ(PlacementText(Json::parse(R"({
      "direction": "in", "requested": "required", "requested_by": "rule", "effective": "blocked",
      "device": "", "engine": "openssl", "reason": "link-down",
      "explanation": "the device has no link", "since": 1700000000})")),
            "\tplacement in: blocked, no packet passes, since 2023-11-14 22:13:20 — requested "
            "required by rule: link-down (the device has no link)\n");
}

TEST_F(TextPlacementTest, DeviceSaysWhoItIsAndWhatItMay) {
  const std::string text = DeviceText(Json::parse(R"({
      "name": "nic0", "identity": {"model": "Cygnet NIC", "serial": "42", "firmware": ""},
      "state": "link-down", "trusted": false, "allow_modes": ["crypto"], "disabled": true,
      "denied": "not-trusted", "denied_explanation": "the operator does not trust it",
      "loss": "kernel",
      "offload": {"capable": true, "up": false, "mode": "auto", "outbound_used": 1,
        "direction_limit": 8, "addresses_used": 1, "addresses_limit": 4,
        "addresses_high_water": 3, "rekey_reserve": 2, "returned": 9, "resets": 10}})"));
  EXPECT_THAT(text, HasSubstr("\tidentity Cygnet NIC, serial 42, firmware unknown\n"));
  EXPECT_THAT(text, HasSubstr("\tstate link-down, NOT trusted, allows crypto, loss kernel, "
                              "DISABLED by the operator\n"));
  EXPECT_THAT(text, HasSubstr("\tgets no keys: not-trusted (the operator does not trust it)\n"));
  EXPECT_THAT(text, HasSubstr("\treceive addresses 1 of 4, at most 3 so far; 2 slots of each "
                              "direction kept for rekeying\n"));
  EXPECT_THAT(text, HasSubstr("returned 9, resets 10\n"));
}

TEST_F(TextPlacementTest, DeviceSaysWhatTheCpuVerified) {
  const std::string text = DeviceText(Json::parse(R"({"name": "nic0", "shadow": {
      "verify": 16, "caught": "shadow verification found a wrong packet",
      "evidence": "/var/lib/cygnet/evidence-nic0.pcapng",
      "out": {"verified": 5, "wrong": 0, "unverified": 1},
      "in": {"verified": 6, "wrong": 2, "unverified": 0}}})"));
  EXPECT_THAT(text,
              HasSubstr("\tCAUGHT: shadow verification found a wrong packet; no SA goes there "
                        "until it is enabled again\n"
                        "\tthe CPU verifies one of 16 packets: out 5 verified 0 wrong 1 "
                        "unverified, in 6 verified 2 wrong 0 unverified\n"
                        "\tevidence: /var/lib/cygnet/evidence-nic0.pcapng (packets in clear)\n"));
}

TEST_F(TextPlacementTest, HalfSaysWhetherItIsVerified) {
  const std::string half = R"({"direction": "in", "requested": "crypto", "requested_by": "client",
      "effective": "crypto", "device": "nic0", "engine": "openssl", "reason": "requested",
      "explanation": "", "since": 1700000000, )";
  EXPECT_THAT(PlacementText(Json::parse(half + R"("verified_one_of": 16})")),
              HasSubstr(", the CPU verifies one of 16 packets\n"));
  EXPECT_THAT(PlacementText(Json::parse(half + R"("not_verified": "a device is required"})")),
              HasSubstr(", not verified: a device is required\n"));
}

TEST_F(TextPlacementTest, KeyLog) {
  EXPECT_EQ(KeyLogText(Json::parse(R"({"key_log": [
      {"time": 1700000000, "dst": "192.0.2.2", "spi": "0x00001000", "direction": "out",
       "taken": true, "erased": true},
      {"time": 1700000001, "dst": "192.0.2.2", "spi": "0x00001001", "direction": "in",
       "taken": false, "erased": false}]})")),
            "\tits own key log:\n"
            "\t\t2023-11-14 22:13:20 dst 192.0.2.2 spi 0x00001000 dir out: taken, erased since\n"
            "\t\t2023-11-14 22:13:21 dst 192.0.2.2 spi 0x00001001 dir in: refused\n");
  EXPECT_EQ(KeyLogText(Json::object()), "\tkeeps no key log\n");
}

TEST_F(TextPlacementTest, StatisticsAsEthtoolShowsThem) {
  EXPECT_EQ(StatisticsText(Json::parse(R"({"statistics": {"tx_ipsec": 7, "rx_ipsec": 0}})")),
            "\tstatistics of its driver:\n\t\ttx_ipsec: 7\n\t\trx_ipsec: 0\n");
  EXPECT_EQ(StatisticsText(Json::object()), "");
}

TEST_F(TextPlacementTest, ExplainIsOneLineARequirement) {
  EXPECT_EQ(ExplainText(Json::parse(R"({"device": "nic0",
      "rows": [{"direction": "out", "requirement": "trust", "ok": true, "reason": "",
                "explanation": "the device is trusted with keys"},
               {"direction": "out", "requirement": "esn", "ok": false,
                "reason": "no-capability:esn", "explanation": "the device does not support esn"}],
      "verdicts": [{"direction": "out", "offloaded": false, "effective": "software",
                    "where": "openssl", "reason": "no-capability:esn",
                    "explanation": "the device does not support esn"}]})")),
            "out yes trust           the device is trusted with keys\n"
            "out no  esn             the device does not support esn (no-capability:esn)\n"
            "out NOT offloaded by nic0: such an SA would run in software openssl: "
            "no-capability:esn (the device does not support esn)\n");
}

TEST_F(TextPlacementTest, MoveCounts) {
  EXPECT_EQ(MoveText(Json::parse(R"({"moved": 1, "stayed": 3, "blocked": 2, "took_us": 1250})")),
            "moved 1 half of SAs in 1.2 ms, 2 blocked, 3 stayed where they were\n");
}

constexpr char kHalf[] = R"("src": "192.0.2.1", "dst": "192.0.2.2", "spi": "0x00001000",
  "proto": "esp", "reqid": 7, "direction": "out")";

Json Entry(const std::string& fields) { return Json::parse("{" + (kHalf + (", " + fields)) + "}"); }

TEST_F(TextPlacementTest, LedgerPutsTogetherWhatBelongsTogether) {
  const std::string device =
      R"("kind": "key", "holder": "nic0", "holder_kind": "device", "identity": "serial 42", )";
  EXPECT_EQ(
      LedgerText(
          {Entry(R"("kind": "placement", "time_ms": 1700000000000, "requested": "crypto",
                    "requested_by": "client", "effective": "crypto", "where": "nic0",
                    "reason": "requested", "explanation": "as asked")"),
           Entry(R"("kind": "placement", "time_ms": 1700000005000, "requested": "crypto",
                    "requested_by": "client", "effective": "removed", "where": "",
                    "reason": "requested", "explanation": "as asked")"),
           Entry(
               device +
               R"("from_ms": 1700000000000, "until_ms": 1700000005000, "erased": true, "note": "")"),
           Entry(device + R"("from_ms": 1700000006000, "until_ms": 1700000007000, "erased": false,
                             "note": "cygnetd ended unexpectedly")"),
           Entry(device +
                 R"("from_ms": 1700000008000, "until_ms": 0, "erased": false, "note": "")"),
           Json::parse(R"({"kind": "summary", "since_ms": 1700000000000, "dropped": 2,
                           "file": "/f", "write_error": "disk full"})")}),
      "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x00001000 reqid 7 dir out\n"
      "\t2023-11-14 22:13:20.000 UTC crypto nic0, the client requested crypto: requested (as "
      "asked)\n"
      "\t2023-11-14 22:13:25.000 UTC removed, the client requested crypto: requested (as asked)\n"
      "keys given to device nic0 (serial 42)\n"
      "\tsrc 192.0.2.1 dst 192.0.2.2 spi 0x00001000 dir out: from 2023-11-14 22:13:20.000 UTC "
      "until "
      "2023-11-14 22:13:25.000 UTC, erased\n"
      "\tsrc 192.0.2.1 dst 192.0.2.2 spi 0x00001000 dir out: from 2023-11-14 22:13:26.000 UTC "
      "until "
      "2023-11-14 22:13:27.000 UTC, not known to be erased: cygnetd ended unexpectedly\n"
      "\tsrc 192.0.2.1 dst 192.0.2.2 spi 0x00001000 dir out: from 2023-11-14 22:13:28.000 UTC, "
      "held now\n"
      "kept since 2023-11-14 22:13:20.000 UTC, 2 older entries dropped from memory, NO LONGER "
      "written to /f: disk full\n");
}

}  // namespace
}  // namespace cygnet
