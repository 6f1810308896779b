// FakeOperatorControl: returns the reports that a test sets to the operator server.
#pragma once

#include <fmt/format.h>

#include <array>
#include <map>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "control/report.h"
#include "net/ip_protocol.h"

namespace cygnet::test {

class FakeOperatorControl final : public OperatorControl {
 public:
  std::vector<SaReport> ReportSas() const override { return sas; }
  std::vector<PolicyReport> ReportPolicies() const override { return policies; }
  std::vector<DeviceReport> ReportDevices() const override { return devices; }
  std::vector<EngineReport> ReportEngines() const override { return engines; }
  std::vector<TunnelReport> ReportTunnels() const override { return tunnels; }
  StatReport ReportStats() const override { return stat; }
  Result<MtuReport> ExplainMtu(const MtuQuery& query) const override {
    last_mtu_query = query;
    return mtu;
  }
  Result<WhyReport> ExplainWhy(const WhyQuery& query) const override {
    last_why_query = query;
    return why;
  }
  LedgerReport ReportLedger(const LedgerQuery& query) const override {
    last_ledger_query = query;
    return ledger;
  }
  Result<ExplainReport> ExplainOffload(const ExplainQuery& query) const override {
    last_explain_query = query;
    return explain;
  }
  FipsReport ReportFips() const override { return fips; }
  Result<MoveReport> SetOffloadEnabled(const std::string& device, bool enabled,
                                       const OrderMark& mark) override {
    orders.push_back((enabled ? "enable " : "disable ") + device);
    last_mark = mark;
    return move;
  }
  std::vector<OperatorOrder> ReportOrders() const override { return orders_in_force; }
  Result<MoveReport> SetPlacement(const PlacementCommand& command) override {
    last_placement_command = command;
    return move;
  }
  Result<MoveReport> SetFips(std::optional<std::string> mode) override {
    fips_modes_set.push_back(std::move(mode));
    return fips_move;
  }
  Status InjectFault(const std::string& device, const std::string& fault) override {
    orders.push_back("fault " + device + ": " + fault);
    return fault == "unknown" ? Status(MakeError(Errc::kInvalid, "no such fault")) : Status();
  }
  std::string PlacementOf(Spi spi, const IpAddress& daddr, IpFamily family,
                          Half half) const override {
    const auto found = placements.find(
        fmt::format("{:x} {} {}", spi.value, ToString(daddr, family), IsInbound(half)));
    return found == placements.end() ? "" : found->second;
  }
  ConstSaPtr FindSa(Spi spi, const IpAddress& daddr, IpFamily family) const override {
    for (const SaReport& report : sas) {
      const SaSpec& spec = report.sa->spec();
      if (spec.spi == spi && spec.daddr == daddr && spec.family == family) return report.sa;
    }
    return nullptr;
  }
  CapturePoints* FindCapture(const std::string& device) override {
    const auto found = captures.find(device);
    return found == captures.end() ? nullptr : &found->second;
  }

  Result<ReloadReport> Reload() override {
    orders.push_back("reload");
    return reload;
  }
  std::vector<DoctorRow> ReportDoctor() const override { return doctor; }

  std::optional<ClusterReport> ReportCluster() const override { return cluster; }
  Status MoveGroup(const std::string& group, const std::string& node) override {
    orders.push_back("move " + group + " to " + node);
    return group == "vpn" ? Status() : Status(MakeError(Errc::kNoEntry, "no group " + group));
  }
  StoredReport ReportStored() const override { return stored; }
  Status AcceptStored() override {
    orders.push_back("accept");
    return stored.restart_damage.empty() ? Status(MakeError(Errc::kNoEntry, "nothing to accept"))
                                         : Status();
  }

  std::optional<ClusterReport> cluster{};
  StoredReport stored;
  std::vector<SaReport> sas;
  std::vector<PolicyReport> policies;
  std::vector<DeviceReport> devices;
  std::vector<EngineReport> engines;
  std::vector<TunnelReport> tunnels;
  StatReport stat;
  Result<MtuReport> mtu = MtuReport{};
  mutable MtuQuery last_mtu_query;
  Result<WhyReport> why = WhyReport{};
  mutable WhyQuery last_why_query;
  FipsReport fips;
  Result<MoveReport> fips_move = MoveReport{};
  std::vector<std::optional<std::string>> fips_modes_set;  // nullopt: the list was read again
  LedgerReport ledger;
  mutable LedgerQuery last_ledger_query;
  Result<ExplainReport> explain = ExplainReport{};
  mutable ExplainQuery last_explain_query;
  Result<MoveReport> move = MoveReport{};
  Result<ReloadReport> reload = ReloadReport{};
  std::vector<DoctorRow> doctor;
  PlacementCommand last_placement_command;
  OrderMark last_mark;
  std::vector<OperatorOrder> orders_in_force;
  std::vector<std::string> orders;                // requests for devices
  std::map<std::string, std::string> placements;  // "1000 192.0.2.2 true": result of PlacementOf
  std::map<std::string, CapturePoints> captures;
};

// 192.0.2.1 → 192.0.2.2, tunnel mode, AES-128-GCM with key 00 01 … 0f and salt 10 11 12 13.
inline SaSpec SampleSaSpec(uint32_t spi) {
  SaSpec spec;
  spec.saddr = ParseAddress("192.0.2.1")->address;
  spec.daddr = ParseAddress("192.0.2.2")->address;
  spec.family = IpFamily::kV4;
  spec.spi = Spi{spi};
  spec.proto = kProtoEsp;
  spec.mode = SaMode::kTunnel;
  spec.reqid = Reqid{7};
  spec.replay.window = 32;
  spec.flags = kSaFlagEsn;
  spec.selector.Change()->family = IpFamily::kV4;
  std::array<uint8_t, 20> key;
  std::iota(key.begin(), key.end(), uint8_t{0});
  spec.aead.descriptor = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  spec.aead.key = KeyMaterial(key);
  spec.aead.icv_bits = 128;
  return spec;
}

inline SaReport ReportOf(SaSpec spec) {
  SaReport report;
  report.sa = MakeSharedSa(std::move(spec), 1'700'000'000, uint64_t{0});
  report.state = SaState::kValid;
  return report;
}

inline PlacementEntry SamplePlacementEntry() {
  return {.time_ms = 1'699'999'000'000,
          .half = {.saddr = ParseAddress("192.0.2.1")->address,
                   .daddr = ParseAddress("192.0.2.2")->address,
                   .family = IpFamily::kV4,
                   .spi = Spi{0x1000},
                   .proto = kProtoEsp,
                   .reqid = Reqid{7},
                   .half = Half::kOutbound},
          .requested = "crypto",
          .requested_by = "client",
          .effective = "software",
          .where = "openssl",
          .reason = "device-reset",
          .explanation = "the device lost its tables in a reset"};
}

inline KeyEntry SampleKeyEntry() {
  return {.half = SamplePlacementEntry().half,
          .holder = "nic0",
          .holder_kind = "device",
          .identity = "Cygnet NIC, serial 42, firmware 1.0",
          .from_ms = 1'699'999'000'000,
          .until_ms = 1'700'000'000'123,
          .erased = true,
          .note = {}};
}

inline LedgerReport SampleLedgerReport() {
  return {.placements = {SamplePlacementEntry()},
          .keys = {SampleKeyEntry()},
          .since_ms = 1'699'998'000'000,
          .dropped = 2,
          .file = "/var/lib/cygnet/ledger",
          .write_error = {}};
}

inline ExplainReport SampleExplainReport() {
  return {.device = "nic0",
          .rows = {{.direction = "out",
                    .requirement = "trust",
                    .ok = true,
                    .reason = {},
                    .explanation = "the device is trusted with keys"},
                   {.direction = "out",
                    .requirement = "esn",
                    .ok = false,
                    .reason = "no-capability:esn",
                    .explanation = "the device does not support esn"}},
          .verdicts = {{.direction = "out",
                        .offloaded = false,
                        .effective = "software",
                        .where = "openssl",
                        .reason = "no-capability:esn",
                        .explanation = "the device does not support esn"}}};
}

inline SaReport SampleSaReport(uint32_t spi = 0x1000) {
  SaReport report = ReportOf(SampleSaSpec(spi));
  report.usage = {
      .bytes = 840, .packets = 10, .add_time = 1'700'000'000, .use_time = 1'700'000'001};
  report.stats = {.replay_window = 1, .replay = 2, .integrity_failed = 3};
  report.replay = {.oseq = 0x1'0000'000a, .seq = 5, .window = 32, .bitmap = {}};
  report.last_used = 1'700'000'005;
  report.path_mtu = 1400;
  report.lateness.emplace();
  report.lateness->accepted[LatenessBucket(1)] = 7;
  report.lateness->rejected[LatenessBucket(100)] = 2;
  report.placements = {{.half = Half::kOutbound,
                        .requested = "crypto",
                        .effective = "crypto",
                        .device = "nic0",
                        .engine = "openssl",
                        .reason = "requested",
                        .explanation = "runs where it was requested",
                        .since = 1'700'000'000,
                        .requested_by = "client",
                        .pinned = true,
                        .history = {SamplePlacementEntry()}}};
  report.drops = {{"in-auth-failed", 3}};
  return report;
}

inline EngineReport SampleEngineReport() {
  return {.name = "openssl",
          .help = "OpenSSL",
          .kind = "cpu",
          .version = "3.0",
          .priority = 10,
          .order = 1,
          .algorithms = {"rfc4106(gcm(aes))"},
          .sa_halves = 2,
          .module = "OpenSSL FIPS Provider 3.0.9",
          .denied = {},
          .stats = {.jobs = 3,
                    .refused = 4,
                    .not_done = 5,
                    .sessions = 6,
                    .session_limit = 7,
                    .in_flight = 8}};
}

inline MtuReport SampleMtuReport() {
  MtuReport report;
  report.flow = {.saddr = ParseAddress("10.1.0.1")->address,
                 .daddr = ParseAddress("10.2.0.1")->address,
                 .sport = 0,
                 .dport = 80,
                 .family = IpFamily::kV4,
                 .proto = kProtoTcp};
  report.verdict = MtuVerdict::kProtected;
  report.explanation = "protected";
  report.device = "nic0";
  report.wire_mtu = 1500;
  report.policy.emplace();
  report.policy->selector.family = IpFamily::kV4;
  report.policy->priority = 100;
  report.policy->index = 9;
  report.sas = {{.saddr = ParseAddress("192.0.2.1")->address,
                 .daddr = ParseAddress("192.0.2.2")->address,
                 .family = IpFamily::kV4,
                 .spi = Spi{0x1000},
                 .mode = SaMode::kTunnel,
                 .reqid = Reqid{7},
                 .path_mtu = 1400,
                 .outer_mtu = 1400,
                 .overhead = {{"outer IPv4 header", 20}},
                 .inner_mtu = 1380}};
  report.inner_mtu = 1380;
  report.tcp_mss = 1340;
  return report;
}

inline WhyReport SampleWhyReport() {
  WhyReport report;
  report.mtu = SampleMtuReport();
  report.verdict = WhyVerdict::kProtected;
  report.sas = {{.id = {.daddr = ParseAddress("192.0.2.2")->address,
                        .spi = Spi{0x1000},
                        .proto = kProtoEsp,
                        .family = IpFamily::kV4},
                 .saddr = ParseAddress("192.0.2.1")->address,
                 .reqid = Reqid{7},
                 .effective = "crypto",
                 .where = "nic0",
                 .reason = "requested"}};
  report.steps = {{.step = "way", .text = "A packet from 10.1.0.1 to 10.2.0.1 leaves by nic0."},
                  {.step = "policy", .text = "The policy src 10.1.0.0/16 protects it."}};
  return report;
}

inline FipsReport SampleFipsReport() {
  FipsReport report;
  report.mode = "on";
  report.enforced = true;
  report.list_file = "/etc/cygnet/boundary.toml";
  report.rows = {{.kind = "device",
                  .name = "nic0",
                  .inside = true,
                  .identity = "Acme CX-9, serial A17, firmware 28.39",
                  .certificate = "CMVP #1",
                  .expires = "2027-01-31",
                  .reason = "",
                  .explanation = ""},
                 {.kind = "algorithm",
                  .name = "xcbc(aes)",
                  .inside = false,
                  .identity = "",
                  .certificate = "",
                  .expires = "",
                  .reason = "fips-algorithm",
                  .explanation = "FIPS mode: the algorithm is not approved: xcbc(aes)"}};
  return report;
}

inline FipsRow DeniedFipsRow() {
  return {.kind = "engine",
          .name = "ipsec_mb",
          .inside = false,
          .identity = "Intel ipsec-mb 1.3.0",
          .certificate = "",
          .expires = "",
          .reason = "fips-unlisted",
          .explanation = "FIPS mode: not on the boundary list: Intel ipsec-mb 1.3.0"};
}

inline DeviceReport SampleDeviceReport() {
  DeviceReport report;
  report.name = "nic0";
  report.wire = "eth1";
  report.driver = "sim_nic";
  report.ifindex = 5;
  report.mtu = 1500;
  report.mac = {0x02, 0, 0, 0, 0, 0x0a};
  report.offload_capable = true;
  report.offload_up = true;
  report.offload_mode = "crypto";
  report.statistics = {{"tx_ipsec", 7}, {"rx_ipsec", 8}};
  report.identity = {.model = "Cygnet NIC", .serial = "42", .firmware = "1.0"};
  report.state = "up";
  report.link = "no-carrier";
  report.link_explanation = "wire eth1 has no carrier";
  report.allow_modes = {"crypto"};
  report.loss = "keep";
  report.rekey_reserve = 2;
  report.verify = 16;
  report.shadow = {.verified = {5, 6}, .wrong = {0, 2}, .unverified = {1, 0}};
  report.caps.crypto_offload = report.caps.inbound = report.caps.outbound = true;
  report.caps.tunnel = report.caps.ipv4 = report.caps.esn = true;
  report.caps.algorithms = {"rfc4106(gcm(aes))"};
  report.caps.key_bytes = {16, 32};
  report.caps.icv_bytes = {16};
  report.caps.max_replay_window = 4096;
  report.self_test.ran = true;
  report.self_test.packets = 900;
  report.self_test.took_us = 2000;
  report.self_test.evidence = "/var/lib/e.pcapng";
  report.self_test.withdrawn = {
      {.name = "esn",
       .text = "it does not seal",
       .proof = {.sent = {0x45, 0x00}, .expected = {0x01, 0xff}, .got = {}}}};
  report.offload = {.slots_used = 1,
                    .slots_high_water = 2,
                    .slots_limit = 16,
                    .outbound_used = 1,
                    .inbound_used = 0,
                    .direction_limit = 8,
                    .addresses_used = 1,
                    .addresses_high_water = 3,
                    .addresses_limit = 4,
                    .sealed = 3,
                    .opened = 4,
                    .auth_failed = 5,
                    .passed_unknown = 6,
                    .refusals = 7,
                    .dropped_stale = 8,
                    .returned = 9,
                    .resets = 10};
  report.key_log = {{.time = 1'700'000'000,
                     .id = {.daddr = ParseAddress("192.0.2.2")->address,
                            .spi = Spi{0x1000},
                            .proto = kProtoEsp,
                            .family = IpFamily::kV4},
                     .half = Half::kOutbound,
                     .taken = true,
                     .erased = false}};
  report.held = {{.daddr = ParseAddress("192.0.2.2")->address,
                  .spi = Spi{0x1000},
                  .proto = kProtoEsp,
                  .family = IpFamily::kV4}};
  report.host = {.rx_packets = 1, .rx_bytes = 2, .tx_packets = 3, .tx_bytes = 4, .rx_dropped = 5};
  report.wire_stats = {.rx_packets = 6,
                       .rx_bytes = 7,
                       .tx_packets = 8,
                       .tx_bytes = 9,
                       .rx_dropped = 10,
                       .link_changes = 3};
  return report;
}

}  // namespace cygnet::test
