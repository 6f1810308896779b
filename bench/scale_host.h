// Support for scale_bench: hosts with many SAs and policies between ports in memory, and a sealer
// outside the measurement.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "crypto/crypto_engine.h"
#include "datapath/bind_half.h"
#include "datapath/wire_seal_guard.h"
#include "datapath/worker.h"
#include "esp/crypto_jobs.h"
#include "esp/encapsulate.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet::bench {

inline const EngineInfo* BestEngine() {
  const EngineInfo* best = nullptr;
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->kind != EngineKind::kCpu || info->probe() == 0) continue;
    if (best == nullptr || info->probe() > best->probe()) best = info;
  }
  return best;
}

inline IpAddress V4(uint32_t host_order) {
  const uint32_t wire = __builtin_bswap32(host_order);
  return IpAddress::V4(&wire);
}

// Repeats a permutation of 0 … n-1 whose consecutive values are far apart.
class Scatter {
 public:
  explicit Scatter(uint32_t n) : n_(n), stride_(static_cast<uint32_t>(n * 0.618)) {
    while (stride_ > 1 && std::gcd(stride_, n_) != 1) --stride_;
    if (stride_ == 0) stride_ = 1;
  }
  uint32_t Next() {
    at_ = (at_ + stride_) % n_;
    return at_;
  }

 private:
  const uint32_t n_;
  uint32_t stride_;
  uint32_t at_ = 0;
};

// A port in memory with a pair of queues for each worker. A wire port calls its seal guard.
class QueuePort final : public Port {
 public:
  static constexpr uint32_t kMaxQueues = 2;
  struct alignas(128) Queue {
    PacketFifo arriving{8192};
    PacketFifo sent{8192};
  };
  std::array<Queue, kMaxQueues> queue;
  SealGuard* guard = nullptr;

  std::string_view name() const override { return "memory"; }
  MacAddress mac() const override { return {2, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return 1500; }
  uint32_t queues() const override { return kMaxQueues; }
  PortStats stats() const override { return {}; }
  uint32_t Receive(uint32_t q, PacketBatch* out, DropSink*) override {
    uint32_t n = 0;
    PacketFifo& from = queue[q].arriving;
    for (; !from.empty() && out->room() > 0; from.pop_front(), ++n) {
      from.front()->offload = OffloadMeta{};
      out->Push(from.front());
    }
    return n;
  }
  void Transmit(uint32_t q, PacketBatch* batch, DropSink* sink) override {
    if (guard != nullptr) guard->Check(q, batch, sink);
    for (Packet* packet : batch->packets()) queue[q].sent.push_back(packet);
    batch->ReleaseAll();
  }
  int wait_fd(uint32_t) const override { return -1; }
  bool PrepareWait(uint32_t) override { return true; }
  void FinishWait(uint32_t) override {}
};

// One machine: workers between two ports, with SAs and policies inserted directly.
class ScaleHost {
 public:
  // `flows`: so many are cached, as daemon.flow_cache says; 0: as many as a daemon caches that is
  // not told.
  explicit ScaleHost(PacketPools* pools, uint32_t workers = 1, uint32_t flows = 0)
      : path_(workers),
        guard_(&path_, 0, workers, &capture_.guard),
        engines_(*EngineSet::ForCpu(BestEngine()->name)) {
    if (flows != 0) path_.flow_entries = std::max(std::bit_ceil(flows), path_.flow_entries);
    wire.guard = &guard_;
    path_.interfaces.push_back(
        {.host = &host, .wire = &wire, .offload = nullptr, .ifindex = 1, .guard = &guard_});
    path_.SetHostAddresses({test::Addr("10.2.0.1"), test::Addr("192.0.2.2")});
    for (uint32_t i = 0; i < workers; ++i) {
      workers_.push_back(std::make_unique<Worker>(&path_, i, pools, &engines_, &clock_, i + 1));
    }
  }

  void AddSa(SaSpec spec, CryptoDirection direction) {
    const bool seal = direction == CryptoDirection::kSeal;
    spec.direction = seal ? SaDirection::kOut : SaDirection::kIn;
    auto sa = MakeSharedSa(std::move(spec), uint64_t{1000}, test::kTestIvMask);
    auto bound = *BindHalf(sa->spec(), seal ? Half::kOutbound : Half::kInbound,
                           {.engines = &engines_, .queues = path_.workers()});
    std::unique_ptr<SaBinding> binding = bound.ReleaseNext();
    (seal ? sa->outbound()->binding : sa->inbound()->binding) = binding.get();
    bindings_.push_back(std::move(binding));
    path_.sad.Insert(std::move(sa));
  }
  void AddPolicy(PolicySpec spec) { path_.spd.Insert(std::move(spec), 1); }
  // Call after the last one.
  void Changed() {
    path_.BumpGeneration();
    path_.quiescence.Collect();
  }
  void Turn(uint32_t worker = 0) { workers_[worker]->RunOnce(); }
  const Spd& spd() const { return path_.spd; }

  QueuePort host;
  QueuePort wire;

 private:
  DataPath path_;
  CapturePoints capture_;
  WireSealGuard guard_;
  test::FakeClock clock_;
  EngineSet engines_;
  std::vector<std::unique_ptr<SaBinding>> bindings_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Makes the ESP packet of any SA outside the timed windows, without keeping a peer for each SA.
class Sealer {
 public:
  explicit Sealer(PacketPools* pools)
      : pools_(pools), engine_(BestEngine()->create({})), queue_(engine_->CreateQueue(0)) {}

  Packet* Seal(SaSpec spec, uint64_t seq, const test::Bytes& frame) {
    const auto session = *engine_->CreateSession({.cipher = spec.aead.descriptor,
                                                  .key = spec.aead.key.bytes(),
                                                  .icv_bytes = 16,
                                                  .direction = CryptoDirection::kSeal});
    spec.direction = SaDirection::kOut;
    const Sa sa(std::move(spec), 1000, test::kTestIvMask);
    Packet* packet = test::MakePacket(pools_, frame);
    (void)esp::Encapsulate(*sa.outbound(), *ParseIpPacket(packet->l3()), seq, 1500, packet);
    CryptoJob job;
    esp::BuildJob(esp::ParamsOf(*sa.outbound(), session.get()),
                  packet->bytes().subspan(packet->offload.esp_offset), packet->offload.esn_high,
                  &job);
    queue_->Submit({&job, 1});
    packet->offload = OffloadMeta{};
    return packet;
  }

 private:
  PacketPools* const pools_;
  const std::unique_ptr<CryptoEngine> engine_;
  const std::unique_ptr<CryptoQueue> queue_;
};

inline test::Bytes UdpFrame(uint32_t daddr, uint16_t sport, uint16_t dport, uint32_t size) {
  test::Bytes frame = test::Frame(
      test::Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, sport, dport, test::Pattern(size - 28)));
  const IpAddress to = V4(daddr);
  std::memcpy(frame.data() + 14 + 16, to.bytes.data(), 4);  // checksums are not checked here
  return frame;
}

}  // namespace cygnet::bench
