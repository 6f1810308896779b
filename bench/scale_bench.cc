// The pipeline with many SAs, many policies and several workers. All rows run in one process, so
// that they compare; the targets are ratios of rows.
//   sas/out|in/N       each packet of a batch uses a different one of N SAs, scattered; 64 bytes;
//                      each SA has had a packet before, and the flow cache has room for all
//   policies/new/N     N prefix policies, each packet of a new flow
//   policies/cached/N  the same, flows that are in the flow cache
//   policies/lookup/N  the look-up alone, for a batch of flows, as for new flows
//   policies/lookup_one/N  one flow after the other
//   workers/out|in/N   one SA, many flows, N workers in their threads: workers_rows.h
//   inner_rss/packet|crypto|software/N  one tunnel behind a software NIC: inner_rss_rows.h
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <map>

#include "inner_rss_rows.h"
#include "scale_host.h"
#include "window_stats.h"
#include "workers_rows.h"

namespace cygnet::bench {
namespace {

using test::Bytes;

constexpr uint32_t kBatch = kMaxBatch;
constexpr uint32_t kSize = 64;
constexpr uint32_t kPeers = 0x0a020000;     // 10.2.0.0
constexpr uint32_t kNetworks = 0x0b000000;  // 11.0.0.0

PacketPools* Pools() {
  static PacketPools* const pools = new PacketPools(16384, 1);  // outlives every host
  return pools;
}

// Hosts are created once for all repetitions of a row.
template <typename Host>
Host* Cached(uint32_t n) {
  static std::map<uint32_t, std::unique_ptr<Host>> hosts;
  std::unique_ptr<Host>& host = hosts[n];
  if (host == nullptr) host = std::make_unique<Host>(n);
  return host.get();
}

void Drain(PacketFifo* fifo) {
  for (; !fifo->empty(); fifo->pop_front()) test::FreePacket(fifo->front());
}

// Outbound: one policy in transport mode, an SA for each peer.
struct SasOut {
  explicit SasOut(uint32_t n) : host(Pools(), 1, n), order(n) {
    test::SaOptions options{
        .src = "10.1.0.1", .mode = SaMode::kTransport, .flags = kSaFlagEsn, .window = 128};
    for (uint32_t i = 0; i < n; ++i) {
      options.spi = 0x1000 + i;
      SaSpec spec = test::MakeSpec(options);
      spec.daddr = V4(kPeers + i);
      host.AddSa(std::move(spec), CryptoDirection::kSeal);
    }
    host.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.0.0.0/8",
                                    {test::TemplateFor(options)}));
    host.Changed();
  }
  ScaleHost host;
  Scatter order;
  uint32_t warmed = 0;  // SAs that have carried a packet
};

void ArriveSasOut(SasOut* b) {
  for (uint32_t i = 0; i < kBatch; ++i) {
    b->host.host.queue[0].arriving.push_back(
        test::MakePacket(Pools(), UdpFrame(kPeers + b->order.Next(), 1, 2, kSize)));
  }
}

void RunSasOut(benchmark::State& state, uint32_t n) {
  SasOut& b = *Cached<SasOut>(n);
  for (; b.warmed < n; b.warmed += kBatch) {
    ArriveSasOut(&b);
    b.host.Turn();
    Drain(&b.host.wire.queue[0].sent);
  }
  WindowStats stats;
  for (auto _ : state) {
    ArriveSasOut(&b);
    stats.Time(&state, kBatch, [&] { b.host.Turn(); });
    if (b.host.wire.queue[0].sent.size() != kBatch) state.SkipWithError("packets lost");
    Drain(&b.host.wire.queue[0].sent);
  }
  stats.Report(&state, kSize);
}

// Inbound: tunnel mode, all SAs from one peer to this host, selected by SPI.
struct SasIn {
  explicit SasIn(uint32_t n) : host(Pools(), 1, n), order(n), next_seq(n, 1) {
    for (uint32_t i = 0; i < n; ++i) host.AddSa(SpecOf(i), CryptoDirection::kOpen);
    host.AddPolicy(test::MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16",
                                    {test::TemplateFor({})}));
    host.Changed();
  }
  static SaSpec SpecOf(uint32_t i) {
    return test::MakeSpec({.spi = 0x1000 + i, .flags = kSaFlagEsn, .window = 128});
  }
  ScaleHost host;
  Sealer sealer{Pools()};
  Scatter order;
  std::vector<uint32_t> next_seq;
  uint32_t warmed = 0;  // SAs that have carried a packet
};

void ArriveSasIn(SasIn* b) {
  static const Bytes* const frame = new Bytes(UdpFrame(0x0a020001, 1, 2, kSize));
  for (uint32_t i = 0; i < kBatch; ++i) {
    const uint32_t sa = b->order.Next();
    b->host.wire.queue[0].arriving.push_back(
        b->sealer.Seal(SasIn::SpecOf(sa), b->next_seq[sa]++, *frame));
  }
}

void RunSasIn(benchmark::State& state, uint32_t n) {
  SasIn& b = *Cached<SasIn>(n);
  for (; b.warmed < n; b.warmed += kBatch) {
    ArriveSasIn(&b);
    b.host.Turn();
    Drain(&b.host.host.queue[0].sent);
  }
  WindowStats stats;
  for (auto _ : state) {
    ArriveSasIn(&b);
    stats.Time(&state, kBatch, [&] { b.host.Turn(); });
    if (b.host.host.queue[0].sent.size() != kBatch) state.SkipWithError("packets lost");
    Drain(&b.host.host.queue[0].sent);
  }
  stats.Report(&state, kSize);
}

// Outbound policies of four kinds, all with the same SA: networks of three sizes, some with their
// own source network, protocol or port. Longer prefixes come first, as with IKE daemons.
struct Policies {
  explicit Policies(uint32_t n) : host(Pools()), count(n), order(n) {
    const test::SaOptions options{.flags = kSaFlagEsn, .window = 128};
    for (uint32_t i = 0; i < n; ++i) host.AddPolicy(PolicyOf(i, options));
    host.AddSa(test::MakeSpec(options), CryptoDirection::kSeal);
    host.Changed();
  }
  static PolicySpec PolicyOf(uint32_t i, const test::SaOptions& options) {
    PolicySpec spec = test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "11.0.0.0/24",
                                       {test::TemplateFor(options)});
    Selector& s = spec.selector;
    s.daddr = V4(kNetworks + i * 256);
    if (i % 4 == 1) {
      s.prefixlen_d = 25;
      s.prefixlen_s = 24;
    } else if (i % 4 == 2) {
      s.prefixlen_d = 28;
      s.proto = kProtoUdp;
    } else if (i % 4 == 3) {
      s.dport = 443;
      s.dport_mask = 0xffff;
    }
    spec.priority = 1000u - s.prefixlen_d - s.prefixlen_s;
    return spec;
  }
  static FlowKey FlowOf(uint32_t i, uint16_t sport) {
    FlowKey flow;
    flow.saddr = test::Ip("10.1.0.1");
    flow.daddr = V4(kNetworks + i * 256 + 5);
    flow.sport = sport;
    flow.dport = 443;
    flow.family = IpFamily::kV4;
    flow.proto = kProtoUdp;
    return flow;
  }
  ScaleHost host;
  const uint32_t count;
  Scatter order;
  uint16_t port = 1;
};

void RunPolicies(benchmark::State& state, uint32_t n, bool cached) {
  Policies& b = *Cached<Policies>(n);
  constexpr uint32_t kKnownFlows = 1024;
  WindowStats stats;
  uint32_t flow = 0;
  uint32_t warm = cached ? kKnownFlows / kBatch : 0;
  for (auto _ : state) {
    do {
      for (uint32_t i = 0; i < kBatch; ++i) {
        flow = (flow + 1) % kKnownFlows;
        const uint32_t policy = cached ? flow * (n / 10) % n : b.order.Next();
        const auto sport = static_cast<uint16_t>(cached ? flow : ++b.port);
        b.host.host.queue[0].arriving.push_back(
            test::MakePacket(Pools(), UdpFrame(kNetworks + policy * 256 + 5, sport, 443, kSize)));
      }
      if (warm == 0) break;
      b.host.Turn();
      Drain(&b.host.wire.queue[0].sent);
    } while (warm-- > 0);
    warm = 0;
    stats.Time(&state, kBatch, [&] { b.host.Turn(); });
    if (b.host.wire.queue[0].sent.size() != kBatch) state.SkipWithError("packets lost");
    Drain(&b.host.wire.queue[0].sent);
  }
  stats.Report(&state, kSize);
}

void RunLookup(benchmark::State& state, uint32_t n, bool batch) {
  Policies& b = *Cached<Policies>(n);
  std::array<FlowKey, kBatch> flows;
  std::array<const FlowKey*, kBatch> asked;
  std::array<PolicyMatch, kBatch> matches;
  for (uint32_t i = 0; i < kBatch; ++i) asked[i] = &flows[i];
  WindowStats stats;
  for (auto _ : state) {
    for (FlowKey& flow : flows) flow = Policies::FlowOf(b.order.Next(), ++b.port);
    stats.Time(&state, kBatch, [&] {
      if (batch) {
        b.host.spd().Lookup(PolicyDirection::kOut, asked, 1, matches);
        return;
      }
      for (uint32_t i = 0; i < kBatch; ++i) {
        matches[i] = b.host.spd().Lookup(PolicyDirection::kOut, flows[i], 1);
      }
    });
    const auto found = std::count_if(matches.begin(), matches.end(),
                                     [](const PolicyMatch& match) { return match.any(); });
    if (found != kBatch) state.SkipWithError("policies missed");
  }
  stats.Report(&state, kSize);
}

template <typename... Args>
void Register(const std::string& name, int iterations, Args... args) {
  benchmark::RegisterBenchmark(name.c_str(), args...)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(iterations);
}

void RegisterAll(bool smoke, uint32_t most_sas, std::optional<int> windows) {
  const int rounds = windows.value_or(smoke ? 3 : 1000);
  for (const uint32_t n : {1u, 256u, 4096u, 65536u, 1000000u}) {
    if (n > most_sas) continue;
    Register("sas/out/" + std::to_string(n), rounds, RunSasOut, n);
    Register("sas/in/" + std::to_string(n), rounds, RunSasIn, n);
  }
  for (const uint32_t n : {10u, 1000u, 100000u}) {
    if (smoke && n > 1000) continue;
    Register("policies/new/" + std::to_string(n), rounds, RunPolicies, n, false);
    Register("policies/cached/" + std::to_string(n), rounds, RunPolicies, n, true);
    Register("policies/lookup/" + std::to_string(n), rounds, RunLookup, n, true);
    Register("policies/lookup_one/" + std::to_string(n), rounds, RunLookup, n, false);
  }
  for (const uint32_t n : {1u, 2u}) {
    Register("workers/out/" + std::to_string(n), smoke ? 2 : 100, RunWorkers, n, true,
             Sharing::kSa);
    Register("workers/in/" + std::to_string(n), smoke ? 2 : 100, RunWorkers, n, false,
             Sharing::kSa);
  }
  Register("workers/apart/out/2", smoke ? 2 : 100, RunWorkers, 2u, true, Sharing::kNothing);
  Register("workers/apart/in/2", smoke ? 2 : 100, RunWorkers, 2u, false, Sharing::kNothing);
  for (const uint32_t n : {1u, 2u}) {
    for (const OpenedBy by : {OpenedBy::kPacketOffload, OpenedBy::kCryptoOffload, OpenedBy::kCpu}) {
      Register("inner_rss/" + std::string(Name(by)) + "/" + std::to_string(n), smoke ? 2 : 400,
               RunInnerRss, n, by);
    }
  }
}

// Removes the flag from the arguments.
bool TakeFlag(int* argc, char** argv, const char* flag) {
  for (int i = 1; i < *argc; ++i) {
    if (std::strcmp(argv[i], flag) != 0) continue;
    for (int k = i; k + 1 < *argc; ++k) argv[k] = argv[k + 1];
    --*argc;
    return true;
  }
  return false;
}

}  // namespace
}  // namespace cygnet::bench

// --full: adds the rows of 1,000,000 SAs, which need some gigabytes. --smoke: only small rows,
// briefly.
int main(int argc, char** argv) {
  const bool full = cygnet::bench::TakeFlag(&argc, argv, "--full");
  const bool smoke = cygnet::bench::TakeFlag(&argc, argv, "--smoke");
  const auto windows = cygnet::bench::TakeWindows(&argc, argv);
  cygnet::bench::RegisterAll(smoke, full ? 1000000 : smoke ? 4096 : 65536, windows);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::fprintf(stderr, "TSC: %.3f GHz; p5 and median in TSC cycles per packet\n",
               cygnet::bench::TscPerSecond() * 1e-9);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
