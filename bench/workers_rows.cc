#include "workers_rows.h"

#include <atomic>
#include <memory>
#include <thread>

#include "overlap.h"
#include "scale_host.h"
#include "window_stats.h"

namespace cygnet::bench {
namespace {

constexpr uint32_t kBatch = kMaxBatch;
constexpr uint32_t kBatches = 24;  // of each worker in a round
constexpr uint32_t kFlows = 64;    // of each worker
constexpr uint32_t kSize = 64;
constexpr uint32_t kNumberAt = 14 + 20 + 8;  // of the packet number, in the payload

// Where a worker takes its packets from: a queue of a host.
struct Place {
  ScaleHost* host = nullptr;
  uint32_t queue = 0;
};

// Lets all workers process their batches at the same time.
void RunRound(const std::vector<Place>& places, std::vector<Windows>* windows) {
  const auto workers = static_cast<uint32_t>(windows->size());
  std::atomic<uint32_t> ready{0};
  std::vector<std::thread> threads;
  for (uint32_t w = 0; w < workers; ++w) {
    threads.emplace_back([&, w] {
      ready.fetch_add(1);
      while (ready.load(std::memory_order_relaxed) < workers) std::this_thread::yield();
      for (uint32_t i = 0; i < kBatches; ++i) {
        const uint64_t begin = Tsc();
        places[w].host->Turn(places[w].queue);
        (*windows)[w].push_back({begin, Tsc()});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

class TwoHosts {
 public:
  explicit TwoHosts(uint32_t workers)
      : workers_(workers), a_(&pools_, workers), b_(&pools_, workers) {
    const test::SaOptions options{.flags = kSaFlagEsn, .window = 4096};
    a_.AddSa(test::MakeSpec(options), CryptoDirection::kSeal);
    b_.AddSa(test::MakeSpec(options), CryptoDirection::kOpen);
    for (ScaleHost* host : {&a_, &b_}) {
      host->AddPolicy(test::MakePolicy(host == &a_ ? PolicyDirection::kOut : PolicyDirection::kIn,
                                       "10.1.0.0/16", "10.2.0.0/16", {test::TemplateFor(options)}));
      host->Changed();
    }
    for (uint32_t f = 0; f < kFlows * workers; ++f) {
      frames_.push_back(UdpFrame(0x0a020001, static_cast<uint16_t>(f + 1), 2, kSize));
    }
    number_.assign(frames_.size(), 0);
    seen_.assign(frames_.size(), 0);
  }

  void Feed() {
    for (uint32_t w = 0; w < workers_; ++w) {
      for (uint32_t i = 0; i < kBatch * kBatches; ++i) {
        const uint32_t f = w * kFlows + i % kFlows;
        ++number_[f];
        std::memcpy(frames_[f].data() + kNumberAt, &number_[f], sizeof(number_[f]));
        a_.host.queue[w].arriving.push_back(test::MakePacket(&pools_, frames_[f]));
      }
    }
  }
  void CarryOver() {
    for (uint32_t w = 0; w < workers_; ++w) {
      PacketFifo& sent = a_.wire.queue[w].sent;
      for (; !sent.empty(); sent.pop_front()) b_.wire.queue[w].arriving.push_back(sent.front());
    }
  }
  ScaleHost* sealing() { return &a_; }
  ScaleHost* opening() { return &b_; }
  // nullptr, or the error.
  const char* Check() {
    const char* wrong = nullptr;
    for (uint32_t w = 0; w < workers_; ++w) {
      PacketFifo& sent = b_.host.queue[w].sent;
      if (sent.size() != kBatch * kBatches) wrong = "packets lost";
      for (; !sent.empty(); sent.pop_front()) {
        const uint8_t* data = sent.front()->data();
        const uint32_t f = (uint32_t{data[34]} << 8 | data[35]) - 1;
        uint32_t number;
        std::memcpy(&number, data + kNumberAt, sizeof(number));
        if (f >= seen_.size() || number != seen_[f] + 1) {
          wrong = "a flow out of order";
        } else {
          seen_[f] = number;
        }
        test::FreePacket(sent.front());
      }
    }
    return wrong;
  }

 private:
  const uint32_t workers_;
  PacketPools pools_{8192, 1};
  ScaleHost a_;
  ScaleHost b_;
  std::vector<test::Bytes> frames_;
  std::vector<uint32_t> number_;  // last sent, by flow
  std::vector<uint32_t> seen_;
};

}  // namespace

void RunWorkers(benchmark::State& state, uint32_t workers, bool out, Sharing sharing) {
  const bool apart = sharing == Sharing::kNothing;
  std::vector<std::unique_ptr<TwoHosts>> hosts;
  std::vector<Place> seal;
  std::vector<Place> open;
  for (uint32_t w = 0; w < workers; ++w) {
    if (w == 0 || apart) hosts.push_back(std::make_unique<TwoHosts>(apart ? 1 : workers));
    seal.push_back({hosts.back()->sealing(), apart ? 0 : w});
    open.push_back({hosts.back()->opening(), apart ? 0 : w});
  }
  std::vector<std::vector<double>> per_packet(workers);
  std::vector<std::vector<double>> whenever(workers);
  for (auto _ : state) {
    std::vector<Windows> sealing(workers);
    std::vector<Windows> opening(workers);
    for (const auto& host : hosts) host->Feed();
    RunRound(seal, &sealing);
    for (const auto& host : hosts) host->CarryOver();
    RunRound(open, &opening);
    for (const auto& host : hosts) {
      if (const char* wrong = host->Check()) state.SkipWithError(wrong);
    }
    const std::vector<Windows>& windows = out ? sealing : opening;
    state.SetIterationTime(static_cast<double>(windows[0].back().end - windows[0].front().begin) /
                           TscPerSecond());
    for (uint32_t w = 0; w < workers; ++w) {
      const Windows& other = windows[workers - 1 - w];
      const uint64_t longest = MedianLength(other) * 3;
      for (const Window& window : windows[w]) {
        const double each = static_cast<double>(window.end - window.begin) / kBatch;
        whenever[w].push_back(each);
        if (Overlapped(window, other, longest)) per_packet[w].push_back(each);
      }
    }
  }
  // If the machine never ran both, the figures mean nothing, and `windows` is 0.
  const bool measured = std::none_of(per_packet.begin(), per_packet.end(),
                                     [](const auto& samples) { return samples.empty(); });
  ReportTogether(&state, measured ? &per_packet : &whenever, kSize);
  state.counters["windows"] = measured ? static_cast<double>(per_packet[0].size()) : 0;
}

}  // namespace cygnet::bench
