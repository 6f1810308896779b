#include "inner_rss_rows.h"

#include <pthread.h>
#include <sched.h>

#include <atomic>
#include <random>
#include <thread>

#include "device/sim_nic/sim_nic.h"
#include "overlap.h"
#include "scale_host.h"
#include "window_stats.h"

namespace cygnet::bench {
namespace {

constexpr uint32_t kBatch = kMaxBatch;
constexpr uint32_t kShare = 18 * kBatch;  // of a busy worker in a round; fits in a queue's ring
constexpr uint32_t kWarming = 6;          // first batches of a worker, which are not counted
constexpr uint32_t kFlows = 384;          // of a busy worker: many, so that they divide evenly
constexpr uint32_t kPool = 8192;
constexpr uint32_t kSize = 64;
constexpr uint32_t kNumberAt = 14 + 20 + 8;  // of the packet number, in the payload
constexpr int32_t kIfindex = 1;
constexpr NumberBlock kNumbers{1, uint64_t{1} << 40};

test::SaOptions Options(OpenedBy by) {
  test::SaOptions options{.flags = kSaFlagEsn, .window = 4096};
  if (by == OpenedBy::kPacketOffload) {
    options.offload = OffloadRequest{OffloadMode::kPacket, kIfindex, true};
  }
  return options;
}

PlacementRequest RequestFor(const SaSpec& spec, OpenedBy by) {
  if (by == OpenedBy::kPacketOffload) return ClientRequest(spec);
  if (by == OpenedBy::kCpu) return {};
  return {.mode = PlacementMode::kAuto, .by = RequestedBy::kDevice};
}

// One machine: workers behind a software NIC. It opens one SA.
class Receiver {
 public:
  Receiver(PacketPools* pools, uint32_t workers, OpenedBy by) : path_(workers) {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<SimNic>("nic0", std::move(wire), workers, pools, nullptr,
                                    SimNicOptions{.sa_limit = 4}, FaultScript(), &clock_);
    path_.interfaces.push_back(
        {.host = &host, .wire = nic_.get(), .offload = nic_.get(), .ifindex = kIfindex});
    path_.SetHostAddresses({test::Addr("10.2.0.1"), test::Addr("192.0.2.2")});
    for (uint32_t i = 0; i < workers; ++i) {
      workers_.push_back(std::make_unique<Worker>(&path_, i, pools, &engines_, &clock_, i + 1));
    }
    AddSa(by);
    path_.spd.Insert(test::MakePolicy(PolicyDirection::kIn, "10.1.0.0/16", "10.2.0.0/16",
                                      {test::TemplateFor(Options(by))}),
                     1);
    path_.BumpGeneration();
    path_.quiescence.Collect();
  }
  ~Receiver() {
    if (binding_->device() != nullptr) binding_->device()->ReleaseSa(binding_->handle);
  }

  // The NIC works on everything that came by the wire. Returns its cycles.
  uint64_t RunNic() {
    const uint64_t begin = Tsc();
    while (nic_->RunOnce() != 0) {
    }
    return Tsc() - begin;
  }
  uint32_t Turn(uint32_t worker) { return workers_[worker]->RunOnce(); }
  PacketFifo& arriving() { return wire_->arriving; }

  QueuePort host;

 private:
  void AddSa(OpenedBy by) {
    SaSpec spec = test::MakeSpec(Options(by));
    spec.direction = SaDirection::kIn;
    const auto sa = MakeSharedSa(std::move(spec), uint64_t{1000}, test::kTestIvMask);
    sa->number = path_.sad.NextNumber();
    const PlacementDevice device{nic_.get(), PlacementMode::kAuto, kIfindex};
    auto bound = BindHalf(sa->spec(), Half::kInbound,
                          {.request = RequestFor(sa->spec(), by),
                           .devices = {&device, 1u},
                           .engines = &engines_,
                           .queues = path_.workers(),
                           .number = static_cast<uint32_t>(sa->number),
                           .numbers = [](const OffloadDevice&) { return kNumbers; }});
    binding_ = bound->ReleaseNext();
    sa->inbound()->binding = binding_.get();
    path_.sad.Insert(sa);
    path_.sad.IndexByNumber(sa);
    if (binding_->device() != nullptr) binding_->device()->StartSa(binding_->handle);
  }

  DataPath path_;
  test::FakeClock clock_;
  EngineSet engines_{*EngineSet::ForCpu(BestEngine()->name)};
  MemoryPort* wire_ = nullptr;
  std::unique_ptr<SimNic> nic_;
  std::unique_ptr<SaBinding> binding_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

// Brings what the worker will touch of a packet into the cache of its core.
void Touch(Packet* packet) {
  volatile uint32_t* const length = &packet->length;
  *length = *length;
  for (uint32_t at = 0; at < packet->length; at += 64) {
    volatile uint8_t* const byte = packet->data() + at;
    *byte = *byte;
  }
}

// A worker of the daemon runs on and on, and keeps its core. The thread of a round gets it here.
void StayAt(uint32_t worker) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(worker % std::thread::hardware_concurrency(), &cores);
  (void)pthread_setaffinity_np(pthread_self(), sizeof(cores), &cores);
}

// A worker's part of a round.
struct Part {
  Windows full;  // of whole batches
  uint32_t packets = 0;
};

class Tunnel {
 public:
  Tunnel(uint32_t workers, OpenedBy by)
      : workers_(workers),
        // Without packet offload the NIC sees one flow.
        busy_(by == OpenedBy::kPacketOffload ? workers : 1),
        sender_(&pools_),
        receiver_(&pools_, workers, by) {
    sender_.AddSa(test::MakeSpec(Options(OpenedBy::kCpu)), CryptoDirection::kSeal);
    sender_.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                       {test::TemplateFor(Options(OpenedBy::kCpu))}));
    sender_.Changed();
    for (uint32_t f = 0; f < flows(); ++f) {
      frames_.push_back(UdpFrame(0x0a020001, static_cast<uint16_t>(f + 1), 2, kSize));
    }
    for (uint32_t i = 0; i < kPool; ++i) done_.push_back(test::MakePacket(&pools_, frames_[0]));
    FreeShuffled();
    number_.assign(flows(), 0);
    seen_.assign(flows(), 0);
    worker_.assign(flows(), 0);
    on_the_way_.assign(packets(), nullptr);
  }

  uint32_t packets() const { return kShare * busy_; }  // of a burst
  // Sends a burst and returns the NIC's cycles for it.
  uint64_t Send() {
    for (uint32_t i = 0; i < packets(); ++i) {
      const uint32_t f = i % flows();
      ++number_[f];
      std::memcpy(frames_[f].data() + kNumberAt, &number_[f], sizeof(number_[f]));
      on_the_way_[i] = test::MakePacket(&pools_, frames_[f]);
      sender_.host.queue[0].arriving.push_back(on_the_way_[i]);
      if (i % kBatch == kBatch - 1) sender_.Turn();
    }
    PacketFifo& sent = sender_.wire.queue[0].sent;
    for (; !sent.empty(); sent.pop_front()) receiver_.arriving().push_back(sent.front());
    return receiver_.RunNic();
  }

  // Lets all workers empty their queues at the same time.
  std::vector<Part> Receive() {
    std::vector<Part> parts(workers_);
    std::atomic<uint32_t> ready{0};
    std::vector<std::thread> threads;
    for (uint32_t w = 0; w < workers_; ++w) {
      threads.emplace_back([&, w] {
        StayAt(w);
        for (uint32_t i = 0; i < packets(); ++i) {
          if (worker_[i % flows()] == w) Touch(on_the_way_[i]);
        }
        ready.fetch_add(1);
        while (ready.load(std::memory_order_relaxed) < workers_) std::this_thread::yield();
        for (;;) {
          const uint64_t begin = Tsc();
          const uint32_t n = receiver_.Turn(w);
          const uint64_t end = Tsc();
          if (n == 0) break;
          parts[w].packets += n;
          if (n == kBatch && parts[w].packets > kWarming * kBatch)
            parts[w].full.push_back({begin, end});
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    return parts;
  }

  // nullptr, or the error.
  const char* Check() {
    const char* wrong = nullptr;
    uint32_t arrived = 0;
    for (uint32_t w = 0; w < workers_; ++w) {
      for (PacketFifo& sent = receiver_.host.queue[w].sent; !sent.empty(); sent.pop_front()) {
        const uint8_t* data = sent.front()->data();
        const uint32_t f = (uint32_t{data[34]} << 8 | data[35]) - 1;
        uint32_t number;
        std::memcpy(&number, data + kNumberAt, sizeof(number));
        if (f >= flows() || number != seen_[f] + 1) {
          wrong = "a flow out of order";
        } else {
          seen_[f] = number;
          worker_[f] = w;
        }
        ++arrived;
        done_.push_back(sent.front());
      }
    }
    FreeShuffled();
    return arrived == packets() ? wrong : "packets lost";
  }

 private:
  void FreeShuffled() {
    std::shuffle(done_.begin(), done_.end(), random_);
    for (Packet* packet : done_) test::FreePacket(packet);
    done_.clear();
  }
  uint32_t flows() const { return kFlows * busy_; }

  const uint32_t workers_;
  const uint32_t busy_;  // workers that get packets
  PacketPools pools_{kPool, 1};
  ScaleHost sender_;
  Receiver receiver_;
  std::vector<test::Bytes> frames_;
  std::vector<uint32_t> number_;  // last sent, by flow
  std::vector<uint32_t> seen_;
  std::vector<uint32_t> worker_;  // of each flow, in the last round
  std::vector<Packet*> on_the_way_;
  // Packets go back to the pool in any order, as into one that was used for long: the caches of a
  // core are faster if buffers come in the order of their addresses, which two workers do not see.
  std::vector<Packet*> done_;
  std::mt19937 random_{1};
};

// One worker's samples over all rounds.
struct Samples {
  std::vector<double> per_packet;  // cycles, of windows in which the other one ran, too
  uint64_t packets = 0;

  double At(double q) {
    if (per_packet.empty()) return 0;
    std::sort(per_packet.begin(), per_packet.end());
    return per_packet[static_cast<std::size_t>(q * static_cast<double>(per_packet.size() - 1))];
  }
};

void AddRound(const std::vector<Part>& parts, std::vector<Samples>* samples) {
  for (std::size_t w = 0; w < parts.size(); ++w) {
    (*samples)[w].packets += parts[w].packets;
    const Windows& other = parts[parts.size() - 1 - w].full;
    const uint64_t longest = other.empty() ? 0 : MedianLength(other) * 3;
    for (const Window& window : parts[w].full) {
      // A worker without packets sleeps: the other one runs alone.
      if (!other.empty() && !Overlapped(window, other, longest)) continue;
      (*samples)[w].per_packet.push_back(static_cast<double>(window.end - window.begin) / kBatch);
    }
  }
}

void Report(benchmark::State* state, std::vector<Samples>* samples, std::vector<double> device) {
  uint64_t all = 0;
  for (const Samples& s : *samples) all += s.packets;
  const auto burst = [&](double q) {
    double slowest = 0;
    for (Samples& s : *samples) {
      slowest =
          std::max(slowest, s.At(q) * static_cast<double>(s.packets) / static_cast<double>(all));
    }
    return slowest;
  };
  uint64_t largest = 0;
  std::size_t windows = ~std::size_t{0};
  for (const Samples& s : *samples) {
    largest = std::max(largest, s.packets);
    if (s.packets != 0) windows = std::min(windows, s.per_packet.size());
  }
  std::sort(device.begin(), device.end());
  state->counters["p5"] = burst(0.05);
  state->counters["median"] = burst(0.5);
  state->counters["share"] = static_cast<double>(largest) / static_cast<double>(all);
  state->counters["device"] = device[device.size() / 2];
  state->counters["windows"] = static_cast<double>(windows);
}

}  // namespace

std::string_view Name(OpenedBy by) {
  switch (by) {
    case OpenedBy::kPacketOffload:
      return "packet";
    case OpenedBy::kCryptoOffload:
      return "crypto";
    case OpenedBy::kCpu:
      return "software";
  }
  return "";
}

void RunInnerRss(benchmark::State& state, uint32_t workers, OpenedBy by) {
  Tunnel tunnel(workers, by);
  std::vector<Samples> samples(workers);
  std::vector<double> device;
  for (auto _ : state) {
    device.push_back(static_cast<double>(tunnel.Send()) / tunnel.packets());
    const uint64_t begin = Tsc();
    AddRound(tunnel.Receive(), &samples);
    state.SetIterationTime(static_cast<double>(Tsc() - begin) / TscPerSecond());
    if (const char* wrong = tunnel.Check()) state.SkipWithError(wrong);
  }
  Report(&state, &samples, std::move(device));
}

}  // namespace cygnet::bench
