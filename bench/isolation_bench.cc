// What the plug-in interface costs, and what isolation costs: the same engine built in, as a
// plug-in in this process, and as a plug-in in a process of its own, in turns. AES-GCM-128, seal.
//   isolation_bench [ENGINE] [SECONDS]
// "stream": ns of wall-clock time per packet, bursts of 32, up to 128 packets in flight.
// "burst": ns per packet if each burst is finished before the next one begins; "one": of one
// packet. Each number is the fastest of the windows (a millisecond each), because other
// programs only make them slower.
#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "isolation/public_copy.h"
#include "plugin/isolation/isolation.h"
#include "plugin/plugin_engine.h"

namespace cygnet::bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr uint32_t kBurst = 32;
constexpr uint32_t kInFlight = 128;
constexpr std::chrono::milliseconds kWindow{1};
constexpr uint8_t kIcv = 16;

[[noreturn]] void Stop(const std::string& why) {
  std::fprintf(stderr, "isolation_bench: %s\n", why.c_str());
  std::exit(1);
}

std::string CpuName() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
  }
  return "unknown CPU";
}

std::unique_ptr<CryptoEngine> Behind(const cygnet_engine* table, const std::string& name) {
  PluginEngineSettings settings;
  settings.options = {"engine=" + name};
  auto engine = PluginEngine::Open(table, settings);
  if (!engine) Stop(engine.error().message);
  return *std::move(engine);
}

std::unique_ptr<CryptoEngine> BuiltIn(const std::string& name) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == name) return info->create({});
  }
  Stop("there is no engine " + name);
}

std::unique_ptr<CryptoEngine> InProcess(const std::string& name) {
  void* library = dlopen(CYGNET_BUILTIN_ENGINE, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) Stop(dlerror());
  const auto entry =
      reinterpret_cast<decltype(&cygnet_engine_entry)>(dlsym(library, CYGNET_ENGINE_ENTRY));
  return Behind(entry(CYGNET_ABI), name);
}

std::unique_ptr<CryptoEngine> Isolated(const std::string& name) {
  // Where the user of the child can read them.
  static const PublicCopy program(CYGNET_PLUGIN_HOST_BUILT);
  static const PublicCopy file(CYGNET_BUILTIN_ENGINE);
  const auto table = LoadIsolatedEngine(file.path(), {.program = program.path()});
  if (!table) Stop(table.error().message);
  return Behind(*table, name);
}

// Packets of one SA at one engine.
class Load {
 public:
  Load(std::unique_ptr<CryptoEngine> engine, uint32_t bytes)
      : engine_(std::move(engine)), queue_(engine_->CreateQueue(0)), bytes_(bytes) {
    const std::vector<uint8_t> key(20, 0x42);
    auto session =
        engine_->CreateSession({.cipher = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"),
                                .key = key,
                                .icv_bytes = kIcv});
    if (!session) Stop(session.error().message);
    session_ = *std::move(session);
    packets_.assign(kInFlight, std::vector<uint8_t>(bytes + kIcv, 0x5a));
  }

  // Runs for a window; ns per packet. `burst` packets at once, up to `limit` in flight.
  double Run(uint32_t burst, uint32_t limit) {
    const auto begin = Clock::now();
    auto now = begin;
    uint64_t finished = 0;
    uint32_t in_flight = 0;
    while (now - begin < kWindow) {
      if (in_flight + burst <= limit) in_flight += Submit(burst, &finished);
      const uint32_t done = Poll();
      finished += done;
      in_flight -= done;
      now = Clock::now();
    }
    for (; in_flight > 0; now = Clock::now()) {
      const uint32_t done = Poll();
      finished += done;
      in_flight -= done;
    }
    const std::chrono::duration<double, std::nano> took = now - begin;
    return took.count() / static_cast<double>(finished);
  }

 private:
  // How many are in flight afterwards; those that finished at once are counted.
  uint32_t Submit(uint32_t burst, uint64_t* finished) {
    std::array<CryptoJob, kBurst> jobs;
    for (uint32_t i = 0; i < burst; ++i) {
      std::vector<uint8_t>& packet = packets_[next_++ % kInFlight];
      CryptoJob& job = jobs[i];
      job.session = session_.get();
      job.text = packet.data();
      job.text_length = bytes_;
      job.icv = packet.data() + bytes_;
      job.aad_length = 12;
      std::memcpy(job.nonce.data() + 4, &next_, sizeof(next_));
    }
    const std::size_t taken = queue_->Submit({jobs.data(), burst});
    uint32_t pending = 0;
    for (std::size_t i = 0; i < taken; ++i) {
      pending += jobs[i].status == CryptoStatus::kPending ? 1 : 0;
    }
    *finished += taken - pending;
    return pending;
  }
  uint32_t Poll() {
    std::array<CryptoJob, 64> done;
    const std::size_t n = queue_->Poll(done);
    for (std::size_t i = 0; i < n; ++i) {
      if (done[i].status != CryptoStatus::kOk) Stop("a packet was not sealed");
    }
    return static_cast<uint32_t>(n);
  }

  std::unique_ptr<CryptoEngine> engine_;
  std::unique_ptr<CryptoSession> session_;
  std::unique_ptr<CryptoQueue> queue_;
  const uint32_t bytes_;
  std::vector<std::vector<uint8_t>> packets_;
  uint64_t next_ = 0;
};

struct Row {
  const char* name;
  std::unique_ptr<CryptoEngine> (*make)(const std::string& engine);
  double stream = 1e9, burst = 1e9, one = 1e9;
};

void Measure(const std::string& engine, uint32_t bytes, double seconds) {
  std::array<Row, 3> rows = {
      {{"built in", BuiltIn}, {"plug-in", InProcess}, {"isolated plug-in", Isolated}}};
  std::vector<std::unique_ptr<Load>> loads;
  for (const Row& row : rows) loads.push_back(std::make_unique<Load>(row.make(engine), bytes));
  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  while (Clock::now() < end) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].stream = std::min(rows[i].stream, loads[i]->Run(kBurst, kInFlight));
      rows[i].burst = std::min(rows[i].burst, loads[i]->Run(kBurst, kBurst));
      rows[i].one = std::min(rows[i].one, loads[i]->Run(1, 1));
    }
  }
  for (const Row& row : rows) {
    std::printf("%-5u %-17s %8.0f %8.0f %8.0f\n", bytes, row.name, row.stream, row.burst, row.one);
  }
}

}  // namespace
}  // namespace cygnet::bench

int main(int argc, char** argv) {
  const std::string engine = argc > 1 ? argv[1] : "openssl";
  const double seconds = argc > 2 ? std::atof(argv[2]) : 2;
  std::printf("%s, %ld CPUs; engine %s, AES-GCM-128 seal, ns per packet\n",
              cygnet::bench::CpuName().c_str(), sysconf(_SC_NPROCESSORS_ONLN), engine.c_str());
  std::printf("%-5s %-17s %8s %8s %8s\n", "bytes", "", "stream", "burst", "one");
  for (const uint32_t bytes : {64u, 1400u}) cygnet::bench::Measure(engine, bytes, seconds);
}
