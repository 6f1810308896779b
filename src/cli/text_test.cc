// Reports for people: the expected text of given JSON.
#include "cli/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>

namespace cygnet {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class TextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
  }
};

constexpr char kSa[] = R"json({
  "src": "192.0.2.1", "dst": "192.0.2.2", "spi": "0x00001000", "proto": "esp", "family": 4,
  "mode": "tunnel", "reqid": 7, "replay_window": 32, "esn": true, "flags": ["align4", "esn"],
  "direction": "out", "pcpu_num": 3,
  "aead": {"name": "rfc4106(gcm(aes))", "icv_bits": 128, "key_bits": 128},
  "encap": {"sport": 4500, "dport": 4501}, "state": "valid",
  "usage": {"bytes": 840, "packets": 10, "add_time": 1700000000, "use_time": 0},
  "last_used": 1700000005, "stats": {"replay_window": 1, "replay": 2, "integrity_failed": 3},
  "replay": {"oseq": 10, "seq": 5}, "path_mtu": 1400,
  "lateness": [{"from": 1, "accepted": 7, "rejected": 0},
               {"from": 64, "accepted": 1, "rejected": 2}], "window_for_all": 128, "limits": {"soft_packets": 100, "hard_add_seconds": 3600},
  "selector": "src 0.0.0.0/0 dst 0.0.0.0/0",
  "offload_requested": {"ifindex": 2000000000, "mode": "crypto", "dir": "out"},
  "placements": [
    {"direction": "out", "requested": "crypto", "effective": "crypto", "device": "nic0",
     "engine": "openssl", "reason": "requested", "explanation": "runs where it was requested",
     "since": 1700000000},
    {"direction": "in", "requested": "crypto", "effective": "software", "device": "",
     "engine": "openssl", "reason": "table-full",
     "explanation": "the device's SA table is full (1 of 1 SA slots in use)",
     "since": 1700000000},
    {"direction": "in", "requested": "no", "effective": "software", "device": "",
     "engine": "openssl", "reason": "not-requested", "explanation": "no offload was requested",
     "since": 1700000000}],
  "drops": {"in-auth-failed": 3, "in-replay-old": 1}})json";

TEST_F(TextTest, SaShowsEverything) {
  EXPECT_EQ(SaText(Json::parse(kSa)),
            "src 192.0.2.1 dst 192.0.2.2\n"
            "\tproto esp spi 0x00001000 reqid 7 mode tunnel\n"
            "\treplay-window 32 flag align4 esn\n"
            "\taead rfc4106(gcm(aes)) (128 bit key) icv 128 bits\n"
            "\tdir out pcpu-num 3 encap espinudp sport 4500 dport 4501\n"
            "\tsel src 0.0.0.0/0 dst 0.0.0.0/0\n"
            "\tlimits soft_packets 100 hard_add_seconds 3600\n"
            "\tstate valid, 10 packets, 840 bytes, added 2023-11-14 22:13:20, first used never, "
            "last used 2023-11-14 22:13:25\n"
            "\tsequence sent 10, received 5\n"
            "\tlate by 1-1 7, 64-127 3 (2 rejected); a replay window of 128 accepts all\n"
            "\terrors replay-window 1 replay 2 failed 3\n"
            "\tdrops in-auth-failed 3 in-replay-old 1\n"
            "\tpath mtu 1400, learnt from ICMP\n"
            "\toffload requested: crypto dev if2000000000 dir out\n"
            "\tplacement out: crypto offload, device nic0, since 2023-11-14 22:13:20 (requested)\n"
            "\tplacement in: software, engine openssl, since 2023-11-14 22:13:20 — requested "
            "crypto: table-full (the device's SA table is full (1 of 1 SA slots in use))\n"
            "\tplacement in: software, engine openssl, since 2023-11-14 22:13:20 "
            "(not-requested)\n");
}

TEST_F(TextTest, SaLeavesOutWhatIsNotThere) {
  Json sa = Json::parse(kSa);
  for (const char* field :
       {"direction", "encap", "aead", "limits", "drops", "path_mtu", "lateness", "pcpu_num"}) {
    sa.erase(field);
  }
  sa["flags"] = Json::array();
  sa["stats"] = {{"replay_window", 0}, {"replay", 0}, {"integrity_failed", 0}};
  sa["offload_requested"] = nullptr;
  sa["placements"] = Json::array();
  sa["state"] = "larval";
  EXPECT_EQ(SaText(sa),
            "src 192.0.2.1 dst 192.0.2.2\n"
            "\tproto esp spi 0x00001000 reqid 7 mode tunnel\n"
            "\treplay-window 32\n"
            "\tsel src 0.0.0.0/0 dst 0.0.0.0/0\n"
            "\tstate larval, 10 packets, 840 bytes, added 2023-11-14 22:13:20, first used never, "
            "last used 2023-11-14 22:13:25\n"
            "\tsequence sent 10, received 5\n");
}

TEST_F(TextTest, SaShowsKeysThatAreThere) {
  Json sa = Json::parse(kSa);
  EXPECT_THAT(SaText(sa), Not(HasSubstr(" key 0x")));
  sa["aead"]["key"] = "0x0011";
  EXPECT_THAT(SaText(sa), HasSubstr("\taead rfc4106(gcm(aes)) key 0x0011 (128 bit key) icv"));
}

TEST_F(TextTest, SaNamesTheLookAsideEngine) {
  Json sa = Json::parse(kSa);
  sa["placements"][2]["effective"] = "look-aside";
  sa["placements"][2]["engine"] = "thread_offload";
  EXPECT_THAT(SaText(sa), HasSubstr("\tplacement in: look-aside, engine thread_offload, since"));
}

TEST_F(TextTest, SaDropsShowsOneReasonALine) {
  Json sa = Json::parse(kSa);
  EXPECT_EQ(SaDropsText(sa),
            "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x00001000\n"
            "\tin-auth-failed                  3\n"
            "\tin-replay-old                   1\n"
            "\tlate by 1-1 7, 64-127 3 (2 rejected); a replay window of 128 accepts all\n");
  sa.erase("drops");
  sa.erase("lateness");
  EXPECT_EQ(SaDropsText(sa),
            "src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x00001000\n\tnothing went wrong\n");
}

TEST_F(TextTest, AFailedEngineIsNotInUse) {
  const Json engine = Json::parse(R"json({"name": "card", "help": "plug-in", "kind": "look-aside",
    "version": "", "priority": 1, "order": 2, "failure": "it holds a job", "denied": "device-failed",
    "algorithms": []})json");
  EXPECT_THAT(EngineText(engine),
              testing::StartsWith("card: look-aside engine, FAILED: the CPU does its jobs\n"
                                  "\tplug-in\n\tfailed: it holds a job\n"));
}

TEST_F(TextTest, EngineSaysWhatItDoes) {
  Json engine =
      Json::parse(R"json({"name": "thread_offload", "help": "threads", "kind": "look-aside",
    "version": "1", "priority": 5, "order": 3, "algorithms": ["rfc4106(gcm(aes))", "cbc(aes)"],
    "sa_halves": 2, "jobs": 10, "refused": 1, "not_done": 2, "sessions": 4, "session_limit": 8,
    "in_flight": 3})json");
  EXPECT_EQ(
      EngineText(engine),
      "thread_offload: look-aside engine, priority 5, in use, number 3, version 1\n"
      "\tthreads\n"
      "\tcan do rfc4106(gcm(aes)) cbc(aes)\n"
      "\tserves 2 halves of SAs; jobs 10 refused 1 not done 2 in flight 3, sessions 4 of 8\n");
  engine["order"] = 0;
  EXPECT_EQ(EngineText(engine),
            "thread_offload: look-aside engine, priority 5, not in use, version 1\n\tthreads\n");
  engine["priority"] = 0;
  engine["version"] = "";
  EXPECT_EQ(EngineText(engine), "thread_offload: look-aside engine, cannot run here\n\tthreads\n");
}

TEST_F(TextTest, FipsListsEachDecision) {
  const Json fips = Json::parse(R"json({
    "mode": "auto", "enforced": true, "list_file": "/etc/cygnet/boundary.toml",
    "rows": [{"kind": "device", "name": "nic0", "inside": true, "identity": "Acme CX-9",
              "certificate": "CMVP #1", "expires": "2027-01-31", "reason": "", "explanation": ""},
             {"kind": "engine", "name": "ipsec_mb", "inside": false, "identity": "Intel ipsec-mb",
              "reason": "fips-unlisted", "explanation": "not on the list"},
             {"kind": "algorithm", "name": "cbc(aes)", "inside": true},
             {"kind": "algorithm", "name": "xcbc(aes)", "inside": false}]})json");
  EXPECT_EQ(FipsText(fips),
            "FIPS mode auto, in force; boundary list /etc/cygnet/boundary.toml\n"
            "\tdevice nic0: inside, Acme CX-9, certificate CMVP #1, expires 2027-01-31\n"
            "\tengine ipsec_mb: outside (fips-unlisted), Intel ipsec-mb\n"
            "\t\tnot on the list\n"
            "\talgorithm cbc(aes): approved\n"
            "\talgorithm xcbc(aes): not approved\n");
  EXPECT_TRUE(FipsDenies(fips));
  EXPECT_EQ(FipsText(Json::parse(R"({"mode": "off", "enforced": false, "rows": []})")),
            "FIPS mode off, not in force; no boundary list\n");
  EXPECT_FALSE(FipsDenies(Json::object()));
}

TEST_F(TextTest, MtuAccountsForEachByte) {
  const Json mtu = Json::parse(R"({"src": "10.1.0.1", "dst": "10.2.0.1", "family": 4, "proto": 0,
    "dport": 0, "verdict": "protected", "explanation": "protected", "device": "nic0",
    "wire_mtu": 1500,
    "policy": {"selector": "src 10.1.0.0/16 dst 10.2.0.0/16", "priority": 100, "index": 9},
    "sas": [{"src": "192.0.2.1", "dst": "192.0.2.2", "spi": "0x00001000", "mode": "beet",
      "reqid": 7, "path_mtu": 1400, "outer_mtu": 1400,
      "overhead": [{"name": "outer IP header", "bytes": 20},
                   {"name": "IV", "bytes": 8}], "inner_mtu": 1412}],
    "inner_mtu": 1412, "tcp_mss": 1372})");
  EXPECT_EQ(MtuText(mtu),
            "10.2.0.1 from 10.1.0.1: protected\n"
            "\tdevice nic0, wire mtu 1500\n"
            "\tpolicy src 10.1.0.0/16 dst 10.2.0.0/16 priority 100 index 9\n"
            "\tSA src 192.0.2.1 dst 192.0.2.2 spi 0x00001000 reqid 7 mode beet: carries 1412 of "
            "1400 bytes, the learnt path MTU\n"
            "\t\t  20 outer IP header\n"
            "\t\t   8 IV\n"
            "\tmtu 1412, TCP MSS 1372\n");
}

TEST_F(TextTest, MtuOfWhatDoesNotPassSaysOnlyWhy) {
  EXPECT_EQ(MtuText(Json::parse(R"({"src": "10.1.0.1", "dst": "10.2.0.1", "device": "",
              "explanation": "the policy blocks it", "inner_mtu": 0})")),
            "10.2.0.1 from 10.1.0.1: the policy blocks it\n");
}

TEST_F(TextTest, PolicyShowsTemplates) {
  const Json policy = Json::parse(R"({
    "selector": "src 10.1.0.0/16 dst 10.2.0.0/16", "dir": "out", "action": "allow",
    "priority": 100, "index": 9,
    "templates": [{"src": "192.0.2.1", "dst": "192.0.2.2", "proto": "esp", "mode": "tunnel",
                   "reqid": 7, "spi": "0x00000000", "level": "required"}],
    "usage": {"bytes": 0, "packets": 0, "add_time": 1700000000, "use_time": 1700000001}})");
  EXPECT_EQ(PolicyText(policy),
            "src 10.1.0.0/16 dst 10.2.0.0/16\n"
            "\tdir out action allow priority 100 index 9\n"
            "\ttmpl src 192.0.2.1 dst 192.0.2.2 proto esp spi 0x00000000 reqid 7 mode tunnel "
            "level required\n"
            "\t0 packets, 0 bytes, added 2023-11-14 22:13:20, first used 2023-11-14 22:13:21\n");
}

TEST_F(TextTest, PolicyShowsTheOffloadThatItsClientRequested) {
  const Json policy = Json::parse(R"({
    "selector": "src 0.0.0.0/0 dst 10.2.0.0/16", "dir": "in", "action": "allow",
    "priority": 0, "index": 1, "templates": [],
    "offload_requested": {"ifindex": 2000000000, "mode": "packet", "dir": "in"},
    "usage": {"bytes": 0, "packets": 0, "add_time": 1700000000, "use_time": 0}})");
  EXPECT_THAT(PolicyText(policy),
              HasSubstr("\toffload requested: packet dev if2000000000 dir in\n"));
}

TEST_F(TextTest, AnOffloadIsRequestedOnADeviceAsCygnetCallsIt) {
  Json sa = Json::parse(kSa);
  sa["offload_requested"]["device"] = "nic0";
  EXPECT_THAT(SaText(sa), HasSubstr("\toffload requested: crypto dev nic0 dir out\n"));
}

TEST_F(TextTest, PolicyThatBlocksShowsWhatItWasGiven) {
  const Json policy = Json::parse(R"({
    "selector": "src 0.0.0.0/0 dst 10.2.0.0/16", "dir": "out", "action": "block",
    "priority": 0, "index": 1, "templates": [],
    "mark": {"value": "0x00000007", "mask": "0xffffffff"}, "if_id": 9, "unmet": true,
    "usage": {"bytes": 0, "packets": 0, "add_time": 1700000000, "use_time": 0}})");
  EXPECT_EQ(PolicyText(policy),
            "src 0.0.0.0/0 dst 10.2.0.0/16\n"
            "\tdir out action block priority 0 index 1\n"
            "\tmark 0x00000007/0xffffffff if_id 0x9 (no tunnel has it: the policy blocks all of "
            "its selector)\n"
            "\t0 packets, 0 bytes, added 2023-11-14 22:13:20, first used never\n");
}

constexpr char kDevice[] = R"json({
  "name": "nic0", "wire": "eth1", "driver": "sim_nic", "ifindex": 5, "mtu": 1500,
  "mac": "02:00:00:00:00:0a",
  "offload": {"capable": true, "up": true, "mode": "crypto", "slots_used": 1, "slots_limit": 16,
    "slots_high_water": 2, "outbound_used": 1, "inbound_used": 0, "direction_limit": 8, "sealed": 3, "opened": 4, "auth_failed": 5, "passed_unknown": 6,
    "refusals": 7, "dropped_stale": 8,
    "capabilities": {"crypto_offload": true, "packet_offload": false, "inbound": true,
      "outbound": true, "transport": false, "tunnel": true, "ipv4": true, "ipv6": false,
      "esn": true, "udp_encap": false, "algorithms": ["rfc4106(gcm(aes))"],
      "key_bits": [128, 256], "icv_bits": [128], "max_replay_window": 4096}},
  "held": [{"dst": "192.0.2.2", "spi": "0x00001000"}],
  "host": {"rx_packets": 1, "rx_bytes": 2, "tx_packets": 3, "tx_bytes": 4, "rx_dropped": 5},
  "wire_stats": {"rx_packets": 6, "rx_bytes": 7, "tx_packets": 8, "tx_bytes": 9,
    "rx_dropped": 10}})json";

TEST_F(TextTest, DeviceShowsEverything) {
  EXPECT_EQ(
      DeviceText(Json::parse(kDevice)),
      "nic0: wire eth1 driver sim_nic ifindex 5 mtu 1500 mac 02:00:00:00:00:0a\n"
      "\toffload crypto, device up: SA slots out 1 of 8, in 0 of 8, at most 2 so far, 7 SAs "
      "refused\n"
      "\tpackets sealed 3 opened 4 auth-failed 5 passed-unknown 6 dropped-stale 8 returned 0, "
      "resets 0\n"
      "\tcan do crypto-offload inbound outbound tunnel ipv4 esn rfc4106(gcm(aes)) key 128 "
      "256 icv 128 replay-window 4096\n"
      "\tseal guard: 0 frames checked, stopped 0 in clear, 0 not sealed by the device, 0 not "
      "sealed "
      "by an engine\n"
      "\tholds the keys of 1 SA:\n"
      "\t\tdst 192.0.2.2 spi 0x00001000\n"
      "\thost rx 1 packets 2 bytes 5 lost, tx 3 packets 4 bytes\n"
      "\twire rx 6 packets 7 bytes 10 lost, tx 8 packets 9 bytes\n");
}

TEST_F(TextTest, DeviceShowsItsLink) {
  Json device = Json::parse(kDevice);
  device["link"] = {{"state", "up"}, {"explanation", "wire eth1 is up"}, {"changes", 2}};
  EXPECT_THAT(DeviceText(device), HasSubstr("\n\tlink up, 2 changes\n"));
  device["link"] = {
      {"state", "no-carrier"}, {"explanation", "wire eth1 has no carrier"}, {"changes", 3}};
  EXPECT_THAT(DeviceText(device),
              HasSubstr("\n\tlink no-carrier: wire eth1 has no carrier, 3 changes\n"));
}

TEST_F(TextTest, DeviceShowsThatItsHostSideIsGone) {
  Json device = Json::parse(kDevice);
  device["host_side"] = {{"state", "present"}, {"explanation", "interface nic0 is there"}};
  EXPECT_THAT(DeviceText(device), Not(HasSubstr("host side")));
  device["host_side"] = {{"state", "removed"}, {"explanation", "interface nic0 was removed"}};
  EXPECT_THAT(DeviceText(device), HasSubstr("\n\thost side removed: interface nic0 was removed\n"));
}

TEST_F(TextTest, DeviceWithoutOffloadSaysSo) {
  Json device = Json::parse(kDevice);
  device["offload"] = {{"capable", false}, {"capabilities", nullptr}};
  device["held"] = Json::array();
  EXPECT_THAT(DeviceText(device), HasSubstr("\toffload: not supported by the device\n"));
}

TEST_F(TextTest, DeviceThatFailedSaysWhyAndWhoseListOfKeysItIs) {
  Json device = Json::parse(kDevice);
  device["state"] = "failed";
  device["failure"] = "its process was killed by signal 9 (Killed)";
  device["held"] = Json::array();
  device["held_known_by"] = "ledger";
  EXPECT_THAT(DeviceText(device),
              HasSubstr("\tfailed: its process was killed by signal 9 (Killed)\n"));
  EXPECT_THAT(DeviceText(device),
              HasSubstr("\tholds no keys, as the ledger has it (no records of its own)\n"));
}

TEST_F(TextTest, DeviceShowsItsFence) {
  Json device = Json::parse(kDevice);
  device["fence"] = {{"state", "in-force"},
                     {"owned", true},
                     {"by_tc", true},
                     {"restored", 0},
                     {"explanation", ""}};
  EXPECT_THAT(DeviceText(device), HasSubstr("\tfence in-force: nftables (owned) and tc\n"));
  device["fence"] = {{"state", "broken"},
                     {"owned", false},
                     {"by_tc", false},
                     {"restored", 2},
                     {"explanation", "its link is down"}};
  EXPECT_THAT(DeviceText(device), HasSubstr("\tfence BROKEN: nftables, removed and restored 2 "
                                            "times; its link is down\n"));
  device["fence"] = {{"state", "none"}};
  EXPECT_THAT(DeviceText(device),
              HasSubstr("\tfence NONE: the host's own stack may use the wire\n"));
}

TEST_F(TextTest, StatHidesZerosUnlessAskedNot) {
  const Json stat = Json::parse(R"({"xfrm": {"XfrmInError": 0, "XfrmInNoStates": 3},
    "drops": {"in-no-state": 3, "nested": 0}, "uptime_seconds": 12, "workers": 1,
    "engine": "openssl"})");
  EXPECT_EQ(StatText(stat, Counters::kNonZero),
            "up 12 s, 1 worker, engine openssl\n"
            "XfrmInNoStates                  3\n"
            "in-no-state                     3\n");
  EXPECT_EQ(StatText(stat, Counters::kAll),
            "up 12 s, 1 worker, engine openssl\n"
            "XfrmInError                     0\n"
            "XfrmInNoStates                  3\n"
            "in-no-state                     3\n"
            "nested                          0\n");
}

TEST_F(TextTest, StatWithoutFaultsSaysSo) {
  const Json stat = Json::parse(R"({"xfrm": {"XfrmInError": 0}, "workers": 2})");
  EXPECT_THAT(StatText(stat, Counters::kNonZero), HasSubstr("nothing went wrong"));
}

TEST_F(TextTest, ToleratesMissingFields) {
  const Json empty = Json::object();
  EXPECT_THAT(SaText(empty), HasSubstr("src "));
  EXPECT_THAT(SaDropsText(empty), HasSubstr("src "));
  EXPECT_THAT(EngineText(empty), HasSubstr("cannot run here"));
  EXPECT_THAT(MtuText(empty), HasSubstr(" from "));
  EXPECT_THAT(PolicyText(empty), HasSubstr("dir "));
  EXPECT_THAT(DeviceText(empty), HasSubstr("wire "));
  EXPECT_THAT(StatText(empty, Counters::kAll), HasSubstr("up 0 s"));
}

}  // namespace
}  // namespace cygnet
