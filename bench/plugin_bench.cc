// What the plug-in boundary costs: the same engine built in and as a plug-in
// (libcygnet_builtin_engine.so), in windows that alternate. AES-128-GCM in batches of 32, one
// thread. Prints nanoseconds per packet: 5th percentile and median of the windows.
//   plugin_bench libcygnet_builtin_engine.so
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "plugin/engine_plugin.h"

namespace cygnet {
namespace {

constexpr std::size_t kBatch = 32;
constexpr int kBatches = 16;  // in a window
constexpr int kWindows = 2000;
constexpr std::size_t kIcvBytes = 16;

// One engine with packets of one size.
class Runner {
 public:
  Runner(std::unique_ptr<CryptoEngine> engine, std::size_t bytes)
      : engine_(std::move(engine)), queue_(engine_->CreateQueue(0)) {
    const std::vector<uint8_t> key(20, 0x42);
    session_ =
        *engine_->CreateSession({.cipher = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"),
                                 .key = key,
                                 .icv_bytes = kIcvBytes});
    packets_.assign(kBatch, std::vector<uint8_t>(bytes + kIcvBytes));
    for (auto& packet : packets_) {
      CryptoJob job;
      job.session = session_.get();
      job.text = packet.data();
      job.text_length = static_cast<uint32_t>(bytes);
      job.icv = packet.data() + bytes;
      job.aad_length = 8;
      jobs_.push_back(job);
    }
  }

  // Nanoseconds per packet of one window.
  double Window() {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < kBatches; ++i) Batch();
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begin;
    return took.count() / (kBatch * kBatches);
  }

 private:
  void Batch() {
    std::size_t done = queue_->Submit(jobs_);
    if (jobs_[0].status == CryptoStatus::kOk) return;  // an engine of the CPU: finished
    for (std::size_t polled = 0; polled < done;) polled += queue_->Poll(done_);
  }

  std::unique_ptr<CryptoEngine> engine_;
  std::unique_ptr<CryptoQueue> queue_;
  std::unique_ptr<CryptoSession> session_;
  std::vector<std::vector<uint8_t>> packets_;
  std::vector<CryptoJob> jobs_;
  std::array<CryptoJob, kBatch> done_;
};

struct Figures {
  double p5, median;
};
Figures Of(std::vector<double> windows) {
  std::sort(windows.begin(), windows.end());
  return {windows[windows.size() / 20], windows[windows.size() / 2]};
}

std::unique_ptr<CryptoEngine> BuiltIn(std::string_view name) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == name && info->probe() != 0) return info->create({});
  }
  return nullptr;
}

std::unique_ptr<CryptoEngine> AsPlugin(const char* file, const std::string& name) {
  auto engine = OpenEngine(file, PluginTrust::kAnyOwner, {.options = {"engine=" + name}});
  if (engine.has_value()) return *std::move(engine);
  std::fprintf(stderr, "%s\n", engine.error().message.c_str());
  return nullptr;
}

int Measure(const char* file) {
  std::printf("%-10s %6s %18s %18s %18s\n", "engine", "bytes", "built in p5/med", "plug-in p5/med",
              "difference p5/med");
  for (const char* name : {"openssl", "ipsec_mb", "vaes_gcm"}) {
    for (const std::size_t bytes : {std::size_t{64}, std::size_t{1400}}) {
      auto inside = BuiltIn(name);
      if (inside == nullptr) continue;
      auto outside = AsPlugin(file, name);
      if (outside == nullptr) return 1;
      Runner built_in(std::move(inside), bytes);
      Runner plugin(std::move(outside), bytes);
      std::vector<double> a, b;
      for (int i = 0; i < kWindows; ++i) {
        a.push_back(built_in.Window());
        b.push_back(plugin.Window());
      }
      const Figures x = Of(a), y = Of(b);
      std::printf("%-10s %6zu %9.1f/%8.1f %9.1f/%8.1f %9.1f/%8.1f\n", name, bytes, x.p5, x.median,
                  y.p5, y.median, y.p5 - x.p5, y.median - x.median);
    }
  }
  return 0;
}

}  // namespace
}  // namespace cygnet

int main(int argc, char** argv) {
  if (argc == 2) return cygnet::Measure(argv[1]);
  std::fputs("usage: plugin_bench FILE: the built-in engines as a plug-in\n", stderr);
  return 64;
}
