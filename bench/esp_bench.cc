// The cycles of an ESP packet, one row per stage, all in one run so that they compare:
//   engine      AES-128-GCM of the CPU engine alone
//   transform   encapsulate, trailer, jobs, decapsulate: with the engine (software) or without
//               (offload: the device would do it)
//   pipeline    the worker's whole turn between two ports in memory: parse, policy, SA, lifetime,
//               sequence or replay, transform, deliver
// Each × out/in × 64, 590, 1400 bytes of inner packet and IMIX, in batches of 64, tunnel mode IPv4
// in IPv4.
#include <benchmark/benchmark.h>

#include <cstdio>

#include "crypto/crypto_engine.h"
#include "datapath/bind_half.h"
#include "datapath/wire_seal_guard.h"
#include "datapath/worker.h"
#include "esp/crypto_jobs.h"
#include "esp/decapsulate.h"
#include "esp/encapsulate.h"
#include "esp/plain_inside.h"
#include "null_nic.h"
#include "packet_sizes.h"
#include "support/fake_clock.h"
#include "support/test_sa.h"
#include "window_stats.h"

namespace cygnet::bench {
namespace {

using test::Bytes;

constexpr uint32_t kBatch = kMaxBatch;
constexpr uint32_t kEspOffset = 20;  // from the outer IP header
enum class Direction { kOut, kIn };
enum class Crypto { kSoftware, kOffload };

const test::SaOptions kOptions{.flags = kSaFlagEsn, .window = 1024};

Bytes InnerFrame(uint32_t size) {
  return test::Frame(
      test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, test::Pattern(size - 28)));
}

std::unique_ptr<CryptoSession> Session(CryptoEngine* engine, const SaSpec& spec,
                                       CryptoDirection direction) {
  return *engine->CreateSession({.cipher = spec.aead.descriptor,
                                 .key = spec.aead.key.bytes(),
                                 .icv_bytes = 16,
                                 .direction = direction});
}

void Engine(benchmark::State& state, const EngineInfo* info, Direction direction, uint32_t size) {
  const auto engine = info->create({});
  const auto queue = engine->CreateQueue(0);
  const SaSpec spec = test::MakeSpec(kOptions);
  const auto seal = Session(engine.get(), spec, CryptoDirection::kSeal);
  const auto open = Session(engine.get(), spec, CryptoDirection::kOpen);
  std::vector<Bytes> buffers;
  for (uint32_t i = 0; i < kBatch; ++i)
    buffers.emplace_back((SizeOf(size, i) + 2 + 3) / 4 * 4 + 16);
  std::array<CryptoJob, kBatch> jobs;
  const auto prepare = [&](CryptoSession* session, uint64_t first) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      CryptoJob& job = jobs[i];
      job = CryptoJob{};
      job.session = session;
      const auto text = static_cast<uint32_t>(buffers[i].size()) - 16;
      job.text = buffers[i].data();
      job.text_length = text;
      job.icv = buffers[i].data() + text;
      job.aad_length = 12;
      const uint64_t iv = first + i;
      std::memcpy(job.nonce.data() + 4, &iv, 8);
    }
  };
  WindowStats stats;
  uint64_t first = 1;
  for (auto _ : state) {
    prepare(seal.get(), first);
    if (direction == Direction::kOut) {
      stats.Time(&state, kBatch, [&] { queue->Submit(jobs); });
    } else {
      queue->Submit(jobs);
      prepare(open.get(), first);
      stats.Time(&state, kBatch, [&] { queue->Submit(jobs); });
    }
    if (jobs[kBatch - 1].status != CryptoStatus::kOk) state.SkipWithError("crypto failed");
    first += kBatch;
  }
  stats.Report(&state, MeanSize(size, kBatch));
}

// Runs one batch through the transforms of one SA, without the pipeline.
class TransformBench {
 public:
  TransformBench(const EngineInfo* info, const EngineOptions& options, Crypto crypto, uint32_t size)
      : crypto_(crypto),
        engine_(info->create(options)),
        queue_(engine_->CreateQueue(0)),
        seal_(Session(engine_.get(), sa_->spec(), CryptoDirection::kSeal)),
        open_(Session(engine_.get(), sa_->spec(), CryptoDirection::kOpen)) {
    for (uint32_t i = 0; i < kBatch; ++i) {
      frames_.push_back(InnerFrame(SizeOf(size, i)));
      packets_[i] = test::MakePacket(&pools_, frames_[i]);
      views_[i] = *ParseIpPacket(packets_[i]->l3());
    }
  }
  ~TransformBench() {
    for (Packet* packet : packets_) test::FreePacket(packet);
  }

  void Reset() {
    for (uint32_t i = 0; i < kBatch; ++i) {
      packets_[i]->head = kPacketHeadroom;
      packets_[i]->length = static_cast<uint32_t>(frames_[i].size());
      std::memcpy(packets_[i]->data(), frames_[i].data(), frames_[i].size());
    }
  }
  void Out() {
    const esp::Encapsulator esp_packet(*sa_->outbound(), 1500);
    const esp::JobParams params = esp::ParamsOf(*sa_->outbound(), seal_.get());
    for (uint32_t i = 0; i < kBatch; ++i) {
      (void)esp_packet.Build(views_[i], next_seq_ + i, packets_[i]);
      if (crypto_ == Crypto::kOffload) {
        packets_[i]->offload.status = OffloadStatus::kSealRequested;
      } else {
        esp::BuildJob(params, packets_[i]->bytes().subspan(packets_[i]->offload.esp_offset),
                      packets_[i]->offload.esn_high, &jobs_[i]);
      }
    }
    if (crypto_ == Crypto::kSoftware) queue_->Submit(jobs_);
    next_seq_ += kBatch;
  }
  void ParseOuter() {
    for (uint32_t i = 0; i < kBatch; ++i) {
      outer_[i] = *ParseIpPacket(packets_[i]->l3());
      low_[i] = LoadBe32(packets_[i]->l3().data() + kEspOffset + 4);
    }
  }
  void In() {
    std::array<DropReason, kBatch> verdict{};
    sa_->inbound()->replay.CheckRun(low_, seq_, verdict);
    if (crypto_ == Crypto::kSoftware) {
      const esp::JobParams params = esp::ParamsOf(*sa_->inbound(), open_.get());
      for (uint32_t i = 0; i < kBatch; ++i) {
        esp::BuildJob(params, packets_[i]->l3().subspan(kEspOffset),
                      static_cast<uint32_t>(seq_[i] >> 32), &jobs_[i]);
      }
      queue_->Submit(jobs_);
    }
    sa_->inbound()->replay.CommitRun(seq_, verdict);
    for (uint32_t i = 0; i < kBatch; ++i) {
      if (verdict[i] != DropReason::kNone) continue;
      const InboundSa& sa = *sa_->inbound();
      const esp::PlainInside inside = esp::ReadPlainInside(sa, *packets_[i], kEspOffset);
      if (inside.length == 0) continue;
      esp::StripTunnel(sa, outer_[i].tos, inside.at, inside.length, IpFamily::kV4, packets_[i]);
    }
  }
  bool CameBack() const {
    for (uint32_t i = 0; i < kBatch; ++i) {
      if (packets_[i]->length != frames_[i].size() ||
          std::memcmp(packets_[i]->data(), frames_[i].data(), frames_[i].size()) != 0) {
        return false;
      }
    }
    return true;
  }

 private:
  const Crypto crypto_;
  PacketPools pools_{256, 1};
  const SaPtr sa_ = test::MakeSa(kOptions);
  const std::unique_ptr<CryptoEngine> engine_;
  const std::unique_ptr<CryptoQueue> queue_;
  const std::unique_ptr<CryptoSession> seal_;
  const std::unique_ptr<CryptoSession> open_;
  std::vector<Bytes> frames_;
  std::array<Packet*, kBatch> packets_;
  std::array<CryptoJob, kBatch> jobs_;
  std::array<IpPacketView, kBatch> views_;
  std::array<IpPacketView, kBatch> outer_;
  std::array<uint32_t, kBatch> low_;
  std::array<uint64_t, kBatch> seq_;
  uint64_t next_seq_ = 1;
};

void Transform(benchmark::State& state, const EngineInfo* info, EngineOptions options,
               Crypto crypto, Direction direction, uint32_t size) {
  TransformBench bench(info, options, crypto, size);
  WindowStats stats;
  for (auto _ : state) {
    bench.Reset();
    if (direction == Direction::kOut) {
      stats.Time(&state, kBatch, [&] { bench.Out(); });
      bench.ParseOuter();
      bench.In();
    } else {
      bench.Out();
      bench.ParseOuter();
      stats.Time(&state, kBatch, [&] { bench.In(); });
    }
    if (!bench.CameBack()) state.SkipWithError("packet damaged");
  }
  stats.Report(&state, MeanSize(size, kBatch));
}

// One machine: a worker between a port in memory and a device.
class BenchHost {
 public:
  BenchHost(PacketPools* pools, const EngineInfo* info, const EngineOptions& options)
      : engines_(*EngineSet::ForCpu(info->name, options)) {
    path_.interfaces.push_back(
        {.host = &host, .wire = &nic, .offload = &nic, .ifindex = 1, .guard = &guard_});
    nic.guard = &guard_;
    path_.SetHostAddresses({test::Addr("10.2.0.1"), test::Addr("192.0.2.2")});
    worker_ = std::make_unique<Worker>(&path_, 0, pools, &engines_, &clock_);
  }
  void Add(CryptoDirection direction, Crypto crypto) {
    const bool seal = direction == CryptoDirection::kSeal;
    test::SaOptions options = kOptions;
    options.direction = seal ? SaDirection::kOut : SaDirection::kIn;
    const PlacementDevice device{&nic, PlacementMode::kAuto, 1};
    auto sa = test::MakeSa(options);
    auto bound = *BindHalf(
        sa->spec(), seal ? Half::kOutbound : Half::kInbound,
        {.request = crypto == Crypto::kOffload
                        ? PlacementRequest{.mode = PlacementMode::kAuto, .by = RequestedBy::kDevice}
                        : PlacementRequest{},
         .devices = {&device, 1u},
         .engines = &engines_});
    binding_ = bound.ReleaseNext();
    (seal ? sa->outbound()->binding : sa->inbound()->binding) = binding_.get();
    path_.sad.Insert(std::move(sa));
    path_.spd.Insert(test::MakePolicy(seal ? PolicyDirection::kOut : PolicyDirection::kIn,
                                      "10.1.0.0/16", "10.2.0.0/16", {test::TemplateFor(options)}),
                     1);
    path_.BumpGeneration();
  }
  void Turn() { worker_->RunOnce(); }

  MemoryPort host{"host"};
  NullNic nic;

 private:
  DataPath path_{1};
  CapturePoints capture_;
  WireSealGuard guard_{&path_, 0, 1, &capture_.guard};
  test::FakeClock clock_;
  EngineSet engines_;
  std::unique_ptr<SaBinding> binding_;
  std::unique_ptr<Worker> worker_;
};

void Pipeline(benchmark::State& state, const EngineInfo* info, EngineOptions options, Crypto crypto,
              Direction direction, uint32_t size) {
  PacketPools pools(1024, 1);
  BenchHost a(&pools, info, options);
  BenchHost b(&pools, info, options);
  a.Add(CryptoDirection::kSeal, crypto);
  b.Add(CryptoDirection::kOpen, crypto);
  std::vector<Bytes> frames;
  for (uint32_t i = 0; i < kBatch; ++i) frames.push_back(InnerFrame(SizeOf(size, i)));
  WindowStats stats;
  for (auto _ : state) {
    for (const Bytes& frame : frames) {
      a.host.arriving.push_back(test::MakePacket(&pools, frame));
    }
    if (direction == Direction::kOut) {
      stats.Time(&state, kBatch, [&] { a.Turn(); });
    } else {
      a.Turn();
    }
    for (; !a.nic.wire.sent.empty(); a.nic.wire.sent.pop_front()) {
      b.nic.wire.arriving.push_back(a.nic.wire.sent.front());
    }
    if (direction == Direction::kIn) {
      stats.Time(&state, kBatch, [&] { b.Turn(); });
    } else {
      b.Turn();
    }
    if (b.host.sent.size() != kBatch) state.SkipWithError("packets lost");
    for (; !b.host.sent.empty(); b.host.sent.pop_front()) test::FreePacket(b.host.sent.front());
  }
  stats.Report(&state, MeanSize(size, kBatch));
}

template <typename... Args>
void Register(std::optional<int> windows, const std::string& stage, Direction direction,
              uint32_t size, Args... args) {
  const std::string name =
      stage + (direction == Direction::kOut ? "/out/" : "/in/") + NameOfSize(size);
  auto* row = benchmark::RegisterBenchmark(name.c_str(), args...)
                  ->UseManualTime()
                  ->Unit(benchmark::kMicrosecond);
  if (windows) row->Iterations(*windows);
}

void RegisterAll(std::optional<int> windows) {
  for (const uint32_t size : {64u, 590u, 1400u, kImix}) {
    for (const Direction d : {Direction::kOut, Direction::kIn}) {
      const EngineInfo* best = nullptr;
      for (const EngineInfo* info : BuiltinEngines()) {
        if (info->kind != EngineKind::kCpu || info->probe() == 0) continue;
        if (best == nullptr || info->probe() > best->probe()) best = info;
        Register(windows, "engine/" + std::string(info->name), d, size, Engine, info, d, size);
      }
      if (best == nullptr) continue;
      // The engine as on a CPU without AVX-512.
      constexpr EngineOptions kAvx2 = {.avx512 = false};
      Register(windows, "transform/software_avx2", d, size, Transform, best, kAvx2,
               Crypto::kSoftware, d, size);
      Register(windows, "pipeline/software_avx2", d, size, Pipeline, best, kAvx2, Crypto::kSoftware,
               d, size);
      for (const Crypto c : {Crypto::kSoftware, Crypto::kOffload}) {
        const std::string where = c == Crypto::kSoftware ? "software" : "offload";
        Register(windows, "transform/" + where, d, size, Transform, best, EngineOptions{}, c, d,
                 size);
        Register(windows, "pipeline/" + where, d, size, Pipeline, best, EngineOptions{}, c, d,
                 size);
      }
    }
  }
}

}  // namespace
}  // namespace cygnet::bench

int main(int argc, char** argv) {
  cygnet::bench::RegisterAll(cygnet::bench::TakeWindows(&argc, argv));
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("TSC %.3f GHz; p5 and median are TSC cycles per packet\n",
              cygnet::bench::TscPerSecond() * 1e-9);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
