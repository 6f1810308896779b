// The JSON that scripts rely on: names, values, and no keys unless requested.
#include "daemon/operator/report_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "support/fake_operator_control.h"

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kKeyText[] = "000102030405060708090a0b0c0d0e0f10111213";

TEST(ReportJsonTest, SaHasTheDocumentedFields) {
  const Json expected = Json::parse(R"json({
    "src": "192.0.2.1", "dst": "192.0.2.2", "spi": "0x00001000", "proto": "esp", "family": 4,
    "mode": "tunnel", "reqid": 7, "replay_window": 32, "esn": true, "flags": ["esn"],
    "aead": {"name": "rfc4106(gcm(aes))", "icv_bits": 128, "key_bits": 128},
    "state": "valid",
    "usage": {"bytes": 840, "packets": 10, "add_time": 1700000000, "use_time": 1700000001},
    "last_used": 1700000005,
    "stats": {"replay_window": 1, "replay": 2, "integrity_failed": 3},
    "replay": {"oseq": 4294967306, "seq": 5},
    "path_mtu": 1400,
    "lateness": [{"from": 1, "accepted": 7, "rejected": 0},
                 {"from": 64, "accepted": 0, "rejected": 2}],
    "window_for_all": 128,
    "limits": {},
    "selector": "src 0.0.0.0/0 dst 0.0.0.0/0",
    "offload_requested": null,
    "placements": [{"direction": "out", "requested": "crypto",
                    "requested_by": "client", "pinned": true, "effective": "crypto",
                    "device": "nic0", "simulated": false, "engine": "openssl",
                    "reason": "requested",
                    "explanation": "runs where it was requested", "since": 1700000000,
                    "history": [{"time": 1699999000, "requested": "crypto",
                      "requested_by": "client", "effective": "software", "where": "openssl",
                      "reason": "device-reset",
                      "explanation": "the device lost its tables in a reset"}]}],
    "drops": {"in-auth-failed": 3}})json");
  EXPECT_EQ(ToJson(test::SampleSaReport(), KeyVisibility::kHidden).dump(1), expected.dump(1));
}

TEST(ReportJsonTest, KeysAreHiddenUnlessAskedFor) {
  const SaReport report = test::SampleSaReport();
  EXPECT_THAT(ToText(ToJson(report, KeyVisibility::kHidden)), Not(HasSubstr("0001020304")));
  EXPECT_THAT(ToText(ToJson(report, KeyVisibility::kHidden)), Not(HasSubstr("\"key\"")));
  EXPECT_EQ(ToJson(report, KeyVisibility::kShown)["aead"]["key"], std::string("0x") + kKeyText);
}

TEST(ReportJsonTest, SaShowsWhatIsSet) {
  SaSpec spec = test::SampleSaSpec(0xffffffff);
  spec.saddr = ParseAddress("2001:db8::1")->address;
  spec.daddr = ParseAddress("2001:db8::2")->address;
  spec.family = IpFamily::kV6;
  spec.mode = SaMode::kTransport;
  spec.flags = kSaFlagNoEcn | kSaFlagAlign4;
  spec.rare.Change()->extra_flags = kSaExtraDontEncapDscp;
  spec.direction = SaDirection::kIn;
  spec.rare.Change()->cpu = 3;
  spec.encap = UdpEncap{.sport = 4500, .dport = 4501, .original_address = {}};
  spec.limits.Change()->hard_packets = 0;
  spec.limits.Change()->soft_add_seconds = 3600;
  spec.offload = OffloadRequest{.mode = OffloadMode::kPacket, .ifindex = 5, .inbound = true};
  SaReport report = test::ReportOf(std::move(spec));
  const Json json = ToJson(report, KeyVisibility::kHidden);
  EXPECT_EQ(json["src"], "2001:db8::1");
  EXPECT_EQ(json["spi"], "0xffffffff");
  EXPECT_EQ(json["family"], 6);
  EXPECT_EQ(json["mode"], "transport");
  EXPECT_EQ(json["esn"], false);
  EXPECT_EQ(json["flags"].dump(), R"(["noecn","align4","dont-encap-dscp"])");
  EXPECT_EQ(json["direction"], "in");
  EXPECT_EQ(json["pcpu_num"], 3);
  EXPECT_EQ(json["encap"].dump(), R"({"sport":4500,"dport":4501})");
  EXPECT_EQ(json["limits"].dump(), R"({"hard_packets":0,"soft_add_seconds":3600})");
  EXPECT_EQ(json["offload_requested"].dump(), R"({"ifindex":5,"mode":"packet","dir":"in"})");
  report.offload_device = "nic0";
  EXPECT_EQ(ToJson(report, KeyVisibility::kHidden)["offload_requested"]["device"], "nic0");
  EXPECT_EQ(json["placements"].dump(), "[]");
  EXPECT_EQ(json["drops"].dump(), "{}");
}

TEST(ReportJsonTest, LarvalSaHasNoAlgorithm) {
  SaSpec spec;
  spec.family = IpFamily::kV4;
  spec.proto = kProtoEsp;
  SaReport report;
  report.sa = MakeSharedSa(std::move(spec), 1, Sa::Larval{});
  const Json json = ToJson(report, KeyVisibility::kShown);
  EXPECT_EQ(json["state"], "larval");
  EXPECT_FALSE(json.contains("aead"));
}

TEST(ReportJsonTest, PolicyHasTheDocumentedFields) {
  PolicyReport report;
  report.spec.selector.family = IpFamily::kV4;
  report.spec.selector.proto = 6;
  report.spec.direction = PolicyDirection::kForward;
  report.spec.priority = 100;
  report.spec.index = 18;
  Template tmpl;
  tmpl.saddr = ParseAddress("192.0.2.1")->address;
  tmpl.daddr = ParseAddress("192.0.2.2")->address;
  tmpl.family = IpFamily::kV4;
  tmpl.proto = kProtoEsp;
  tmpl.mode = 1;
  tmpl.reqid = Reqid{7};
  tmpl.optional = true;
  report.spec.templates = {tmpl};
  const Json expected = Json::parse(R"json({
    "selector": "src 0.0.0.0/0 dst 0.0.0.0/0 proto 6", "dir": "fwd", "action": "allow",
    "priority": 100, "index": 18,
    "templates": [{"src": "192.0.2.1", "dst": "192.0.2.2", "proto": "esp", "mode": "tunnel",
                   "reqid": 7, "spi": "0x00000000", "level": "use"}],
    "usage": {"bytes": 0, "packets": 0, "add_time": 0, "use_time": 0}})json");
  EXPECT_EQ(ToJson(report).dump(1), expected.dump(1));
  report.spec.offload =
      OffloadRequest{.mode = OffloadMode::kPacket, .ifindex = 5, .inbound = false};
  EXPECT_EQ(ToJson(report)["offload_requested"].dump(),
            R"({"ifindex":5,"mode":"packet","dir":"out"})");
}

TEST(ReportJsonTest, DeviceHasTheDocumentedFields) {
  const Json expected = Json::parse(R"json({
    "name": "nic0", "wire": "eth1", "driver": "sim_nic", "ifindex": 5, "mtu": 1500,
    "mac": "02:00:00:00:00:0a",
    "identity": {"model": "Cygnet NIC", "serial": "42", "firmware": "1.0", "simulated": false},
    "state": "up", "failure": "",
    "link": {"state": "no-carrier", "explanation": "wire eth1 has no carrier", "changes": 3},
    "host_side": {"state": "present", "explanation": ""},
    "trusted": true, "allow_modes": ["crypto"], "disabled": false, "denied": "",
    "denied_explanation": "", "loss": "keep",
    "offload": {"capable": true, "up": true, "mode": "crypto", "slots_used": 1, "slots_limit": 16,
      "slots_high_water": 2, "outbound_used": 1, "inbound_used": 0, "direction_limit": 8,
      "addresses_used": 1, "addresses_limit": 4, "addresses_high_water": 3, "rekey_reserve": 2,
      "sealed": 3, "opened": 4, "auth_failed": 5, "passed_unknown": 6,
      "refusals": 7, "dropped_stale": 8, "returned": 9, "resets": 10,
      "capabilities": {"crypto_offload": true, "packet_offload": false, "inbound": true,
        "outbound": true, "transport": false, "tunnel": true, "beet": false, "ipv4": true, "ipv6": false,
        "esn": true, "udp_encap": false, "algorithms": ["rfc4106(gcm(aes))"],
        "key_bits": [128, 256], "icv_bits": [128], "max_replay_window": 4096}},
    "guard": {"frames_checked": 0, "clear_stopped": 0, "unsealed_stopped": 0,
              "engine_unsealed": 0, "changed_stopped": 0},
    "shadow": {"verify": 16, "caught": "", "evidence": "",
      "out": {"verified": 5, "wrong": 0, "unverified": 1},
      "in": {"verified": 6, "wrong": 2, "unverified": 0}},
    "fence": {"state": "none", "owned": false, "by_tc": false, "restored": 0, "explanation": ""},
    "held": [{"dst": "192.0.2.2", "spi": "0x00001000"}], "held_known_by": "device",
    "key_log": [{"time": 1700000000, "dst": "192.0.2.2", "spi": "0x00001000",
                 "direction": "out", "taken": true, "erased": false}],
    "host": {"rx_packets": 1, "rx_bytes": 2, "tx_packets": 3, "tx_bytes": 4, "rx_dropped": 5,
      "tx_copied": 0},
    "wire_stats": {"rx_packets": 6, "rx_bytes": 7, "tx_packets": 8, "tx_bytes": 9,
      "rx_dropped": 10, "tx_copied": 0},
    "self_test": {"ran": true, "not_tested": "", "packets": 900, "took_us": 2000,
       "evidence": "/var/lib/e.pcapng",
       "withdrawn": [{"capability": "esn", "text": "it does not seal"}]},
     "statistics": {"tx_ipsec": 7, "rx_ipsec": 8}})json");
  EXPECT_EQ(ToJson(test::SampleDeviceReport()).dump(1), expected.dump(1));
}

TEST(ReportJsonTest, DeviceWithoutOffloadHasNoCapabilities) {
  DeviceReport report = test::SampleDeviceReport();
  report.offload_capable = false;
  EXPECT_TRUE(ToJson(report)["offload"]["capabilities"].is_null());
}

TEST(ReportJsonTest, EngineHasTheDocumentedFields) {
  const Json expected = Json::parse(R"json({
    "name": "openssl", "help": "OpenSSL", "kind": "cpu", "version": "3.0",
    "module": "OpenSSL FIPS Provider 3.0.9", "denied": "", "failure": "", "priority": 10,
    "order": 1, "algorithms": ["rfc4106(gcm(aes))"], "sa_halves": 2, "jobs": 3, "refused": 4,
    "not_done": 5, "sessions": 6, "session_limit": 7, "in_flight": 8})json");
  EXPECT_EQ(ToJson(test::SampleEngineReport()).dump(1), expected.dump(1));
}

TEST(ReportJsonTest, FipsHasTheDocumentedFields) {
  const Json expected = Json::parse(R"json({
    "mode": "on", "enforced": true, "list_file": "/etc/cygnet/boundary.toml",
    "rows": [{"kind": "device", "name": "nic0", "inside": true,
              "identity": "Acme CX-9, serial A17, firmware 28.39", "certificate": "CMVP #1",
              "expires": "2027-01-31", "reason": "", "explanation": ""},
             {"kind": "algorithm", "name": "xcbc(aes)", "inside": false, "identity": "",
              "certificate": "", "expires": "", "reason": "fips-algorithm",
              "explanation": "FIPS mode: the algorithm is not approved: xcbc(aes)"}]})json");
  EXPECT_EQ(ToJson(test::SampleFipsReport()).dump(1), expected.dump(1));
  EXPECT_TRUE(ToJson(FipsReport{})["rows"].is_array());
}

TEST(ReportJsonTest, HistoryIsBounded) {
  SaReport report = test::SampleSaReport();
  report.placements[0].history.assign(20, test::SamplePlacementEntry());
  report.placements[0].history.back().time_ms = 5000;
  const Json history = ToJson(report, KeyVisibility::kHidden)["placements"][0]["history"];
  ASSERT_EQ(history.size(), 16u);
  EXPECT_EQ(history.back()["time"], 5);  // the newest stay
}

TEST(ReportJsonTest, LedgerHasTheDocumentedFields) {
  EXPECT_EQ(ToText(ToJson(test::SamplePlacementEntry())),
            R"({"kind":"placement","src":"192.0.2.1","dst":"192.0.2.2","spi":"0x00001000",)"
            R"("proto":"esp","reqid":7,"direction":"out","time":1699999000,)"
            R"("time_ms":1699999000000,"requested":"crypto",)"
            R"("requested_by":"client","effective":"software","where":"openssl",)"
            R"("reason":"device-reset","explanation":"the device lost its tables in a reset",)"
            R"("simulated":false})");
  EXPECT_EQ(
      ToText(ToJson(test::SampleKeyEntry())),
      R"({"kind":"key","src":"192.0.2.1","dst":"192.0.2.2","spi":"0x00001000",)"
      R"("proto":"esp","reqid":7,"direction":"out","holder":"nic0","holder_kind":"device",)"
      R"("identity":"Cygnet NIC, serial 42, firmware 1.0","from":1699999000,)"
      R"("from_ms":1699999000000,"until":1700000000,"until_ms":1700000000123,"erased":true,"note":""})");
  EXPECT_EQ(ToText(ToJson(test::SampleLedgerReport())),
            R"({"kind":"summary","since":1699998000,"since_ms":1699998000000,"dropped":2,)"
            R"("file":"/var/lib/cygnet/ledger","write_error":""})");
}

TEST(ReportJsonTest, ExplainAndMoveHaveTheDocumentedFields) {
  const Json explain = ToJson(test::SampleExplainReport());
  EXPECT_EQ(explain["device"], "nic0");
  EXPECT_EQ(ToText(explain["rows"][1]),
            R"({"direction":"out","requirement":"esn","ok":false,"reason":"no-capability:esn",)"
            R"("explanation":"the device does not support esn"})");
  EXPECT_EQ(ToText(explain["verdicts"][0]),
            R"({"direction":"out","offloaded":false,"effective":"software","where":"openssl",)"
            R"("reason":"no-capability:esn","explanation":"the device does not support esn"})");
  EXPECT_EQ(ToText(ToJson(MoveReport{.moved = 1, .stayed = 2, .blocked = 3, .took_us = 4})),
            R"({"moved":1,"stayed":2,"blocked":3,"took_us":4})");
}

TEST(ReportJsonTest, MtuHasTheDocumentedFields) {
  const Json expected = Json::parse(R"json({
    "src": "10.1.0.1", "dst": "10.2.0.1", "family": 4, "proto": 6, "dport": 80,
    "verdict": "protected", "explanation": "protected", "device": "nic0", "wire_mtu": 1500,
    "policy": {"selector": "src 0.0.0.0/0 dst 0.0.0.0/0", "priority": 100, "index": 9},
    "sas": [{"src": "192.0.2.1", "dst": "192.0.2.2", "spi": "0x00001000", "mode": "tunnel",
             "reqid": 7, "path_mtu": 1400, "outer_mtu": 1400,
             "overhead": [{"name": "outer IPv4 header", "bytes": 20}], "inner_mtu": 1380}],
    "inner_mtu": 1380, "tcp_mss": 1340})json");
  EXPECT_EQ(ToJson(test::SampleMtuReport()).dump(1), expected.dump(1));
}

TEST(ReportJsonTest, MtuOfWhatDoesNotPassNamesNoPolicyAndNoSa) {
  MtuReport report;
  report.flow.family = IpFamily::kV6;
  report.verdict = MtuVerdict::kNotOurs;
  const Json json = ToJson(report);
  EXPECT_EQ(json["verdict"], "not-ours");
  EXPECT_FALSE(json.contains("policy"));
  EXPECT_EQ(json["inner_mtu"], 0);
}

TEST(ReportJsonTest, StatHasTheDocumentedFields) {
  StatReport report;
  report.xfrm = {{"XfrmInError", 0}, {"XfrmInNoStates", 3}};
  report.drops = {{"in-no-state", 3}};
  report.acquires_refused = 5;
  report.uptime_seconds = 12;
  report.workers = 2;
  report.engine = "openssl";
  report.version = "1.0";
  EXPECT_EQ(ToText(ToJson(report)),
            R"({"xfrm":{"XfrmInError":0,"XfrmInNoStates":3},"drops":{"in-no-state":3},)"
            R"("acquires_refused":5,"uptime_seconds":12,"workers":2,"engine":"openssl",)"
            R"("version":"1.0"})");
}

TEST(ReportJsonTest, WhyHasTheDocumentedFields) {
  WhyReport report = test::SampleWhyReport();
  report.drop = DropReason::kOutSequence;
  report.answers = {.verdict = WhyAnswers::Verdict::kDropped, .drop = DropReason::kInNoPolicy};
  const Json json = ToJson(report);
  EXPECT_EQ(json["verdict"], "protected");
  EXPECT_EQ(json["drop"], "out-sequence");
  EXPECT_EQ(json["sas"][0]["spi"], "0x00001000");
  EXPECT_EQ(json["sas"][0]["effective"], "crypto");
  EXPECT_EQ(json["answers"]["verdict"], "dropped");
  EXPECT_EQ(json["answers"]["drop"], "in-no-policy");
  EXPECT_EQ(json["steps"][0]["step"], "way");
  EXPECT_EQ(json["policy"]["index"], 9);
  EXPECT_FALSE(json.contains("tunnel"));
  EXPECT_FALSE(json.contains("host_mtu"));
  report.mtu.host_mtu = 1400;
  report.mtu.host_mtu_of = "the host's route";
  report.mtu.open = {"dport"};
  report.verdict = WhyVerdict::kDepends;
  const Json depends = ToJson(report);
  EXPECT_EQ(depends["verdict"], "depends");
  EXPECT_EQ(depends["host_mtu"], 1400);
  EXPECT_EQ(depends["host_mtu_of"], "the host's route");
  EXPECT_EQ(depends["open"], Json::parse(R"(["dport"])"));
}

}  // namespace
}  // namespace cygnet
