// Checks of engines: sessions, queues, order, threads, and what stays behind.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <map>
#include <thread>

#include "base/unique_fd.h"
#include "conformance/engine_checks.h"

namespace cygnet::conformance {
namespace {

using Esn = EnginePacket::Esn;
using Clock = std::chrono::steady_clock;

// Packets of one size or of many, and their jobs.
struct Load {
  std::vector<EnginePacket> packets;
  std::vector<CryptoJob> jobs;
  void Add(const EngineSuite& suite, std::size_t bytes, CryptoSession* session) {
    packets.emplace_back(suite, bytes, 0, Esn::kNo, static_cast<uint32_t>(packets.size()));
    sessions_.push_back(session);
  }
  // After the last Add: the packets do not move any more.
  std::span<CryptoJob> MakeJobs(CryptoDirection direction) {
    jobs.clear();
    for (std::size_t i = 0; i < packets.size(); ++i) {
      jobs.push_back(packets[i].Job(sessions_[i], direction));
      jobs.back().tag = static_cast<uint32_t>(i);
    }
    return jobs;
  }

 private:
  std::vector<CryptoSession*> sessions_;
};

Outcome HasIdentity(EngineBench* b) {
  const ModuleIdentity identity = b->engine().identity();
  CONFORMANCE_REQUIRE(!identity.model.empty() && !identity.version.empty(),
                      "model or version is empty: a boundary list cannot name it");
  return Kept();
}

// The suites of the bench are those that it makes; here it must make each that it claims.
Outcome SupportsHolds(EngineBench* b) {
  for (const EngineSuite& suite : AllEngineSuites()) {
    if (!b->engine().Supports(*suite.cipher, suite.auth)) continue;
    const EngineKeys keys(suite, 3);
    const auto session = b->engine().CreateSession(ParamsOf(suite, keys, CryptoDirection::kOpen));
    CONFORMANCE_REQUIRE(session.has_value() || session.error().code == Errc::kNotSupported,
                        suite.Text() + ": neither made nor -EOPNOTSUPP: " +
                            (session.has_value() ? "" : session.error().message));
  }
  return Kept();
}

// Several SAs in one batch, each with its own key.
Outcome SessionsDistinct(EngineBench* b) {
  constexpr uint32_t kSas = 8;
  std::vector<EngineSessions> mine, reference;
  for (uint32_t i = 0; i < kSas; ++i) {
    mine.push_back(b->Sessions(b->suite(), 10 + i));
    reference.push_back(b->ReferenceSessions(b->suite(), 10 + i));
    CONFORMANCE_REQUIRE(
        mine[i].seal != nullptr && mine[i].open != nullptr,
        "it refuses a session while it has few" + (b->breach().empty() ? "" : ": " + b->breach()));
  }
  Load load;
  for (uint32_t i = 0; i < 48; ++i) load.Add(b->suite(), 100 + i, mine[i % kSas].seal.get());
  std::vector<EnginePacket> expected = load.packets;
  b->Run(load.MakeJobs(CryptoDirection::kSeal));
  for (uint32_t i = 0; i < 48; ++i) {
    (void)b->RunReference(expected[i].Job(reference[i % kSas].seal.get(), CryptoDirection::kSeal));
    CONFORMANCE_REQUIRE(
        load.jobs[i].status != CryptoStatus::kOk || load.packets[i].all() == expected[i].all(),
        "in a batch of several SAs, one is sealed with the key of another");
  }
  return Kept();
}

// A session makes room when it goes.
Outcome SessionsReturn(EngineBench* b) {
  constexpr uint32_t kRounds = 3000;
  for (uint32_t i = 0; i < kRounds; ++i) {
    CONFORMANCE_REQUIRE(
        b->Session(b->suite(), i, CryptoDirection::kSeal) != nullptr,
        "after " + std::to_string(i) + " sessions, one at a time, it makes no other");
  }
  return Kept();
}

// Submits as much as it takes, in bursts of 16, and returns how many.
std::size_t SubmitAll(CryptoQueue* queue, std::span<CryptoJob> jobs) {
  std::size_t taken = 0;
  while (taken < jobs.size()) {
    const auto burst = jobs.subspan(taken, std::min<std::size_t>(16, jobs.size() - taken));
    const std::size_t n = queue->Submit(burst);
    taken += n;
    if (n < burst.size()) break;
  }
  return taken;
}

// Tags in the order of completion, until `wanted` came or none comes for `patience`.
std::vector<uint32_t> Collect(CryptoQueue* queue, std::size_t wanted,
                              std::chrono::milliseconds patience) {
  std::vector<uint32_t> tags;
  std::array<CryptoJob, 16> done;
  auto deadline = Clock::now() + patience;
  while (tags.size() < wanted && Clock::now() < deadline) {
    const std::size_t n = queue->Poll(done);
    for (std::size_t i = 0; i < n; ++i) tags.push_back(done[i].tag);
    if (n != 0) deadline = Clock::now() + patience;
  }
  return tags;
}

constexpr std::chrono::milliseconds kLong{2 * CYGNET_PATIENCE_MS};

Outcome OrderHolds(EngineBench* b) {
  const auto first = b->Session(b->suite(), 1, CryptoDirection::kSeal);
  const auto second = b->Session(b->suite(), 2, CryptoDirection::kSeal);
  CONFORMANCE_REQUIRE(first != nullptr && second != nullptr, "it refuses a second session");
  Load load;
  for (uint32_t i = 0; i < EngineBench::kDepth; ++i) {
    load.Add(b->suite(), i % 3 == 0 ? 8000 : 40, i % 2 == 0 ? first.get() : second.get());
  }
  for (int round = 0; round < 20; ++round) {
    const std::size_t taken = SubmitAll(b->queue(), load.MakeJobs(CryptoDirection::kSeal));
    std::map<bool, uint32_t> last;
    for (const uint32_t tag : Collect(b->queue(), taken, kLong)) {
      uint32_t& before = last[tag % 2 == 0];
      CONFORMANCE_REQUIRE(tag + 1 > before, "jobs of one session complete in another order");
      before = tag + 1;
    }
  }
  return Kept();
}

Outcome CompletesOnce(EngineBench* b) {
  const auto session = b->Session(b->suite(), 1, CryptoDirection::kSeal);
  Load load;
  for (uint32_t i = 0; i < EngineBench::kDepth; ++i) load.Add(b->suite(), 200, session.get());
  for (int round = 0; round < 20; ++round) {
    const std::size_t taken = SubmitAll(b->queue(), load.MakeJobs(CryptoDirection::kSeal));
    const std::size_t done = Collect(b->queue(), taken, kLong).size();
    if (!b->breach().empty()) return Broken(b->breach());
    CONFORMANCE_REQUIRE(done == taken, "of " + std::to_string(taken) + " jobs " +
                                           std::to_string(done) + " completed");
    (void)Collect(b->queue(), 1, std::chrono::milliseconds(5));  // nothing is left
    if (!b->breach().empty()) return Broken(b->breach());
  }
  return Kept();
}

Outcome BackPressure(EngineBench* b) {
  const auto session = b->Session(b->suite(), 1, CryptoDirection::kSeal);
  Load load;
  for (uint32_t i = 0; i < 4 * EngineBench::kDepth; ++i) load.Add(b->suite(), 60, session.get());
  const std::vector<EnginePacket> before = load.packets;
  const auto jobs = load.MakeJobs(CryptoDirection::kSeal);
  const std::size_t taken = SubmitAll(b->queue(), jobs);
  CONFORMANCE_REQUIRE(taken > 0, "an empty queue accepts nothing");
  const std::vector<uint32_t> tags = Collect(b->queue(), taken, kLong);
  if (!b->breach().empty()) return Broken(b->breach());
  CONFORMANCE_REQUIRE(tags.size() == taken, "jobs that it accepted do not complete");
  for (std::size_t i = taken; i < jobs.size(); ++i) {
    CONFORMANCE_REQUIRE(load.packets[i].all() == before[i].all(),
                        "it changed a job that it did not accept");
  }
  CONFORMANCE_REQUIRE(SubmitAll(b->queue(), jobs.subspan(taken, 1)) == 1,
                      "a queue that was full accepts nothing after it was emptied");
  (void)Collect(b->queue(), 1, kLong);
  return Kept();
}

// Two threads with queues of their own use one session.
Outcome Threads(EngineBench* b) {
  const auto seal = b->Session(b->suite(), 1, CryptoDirection::kSeal, 3);
  const auto open = b->Session(b->suite(), 1, CryptoDirection::kOpen, 3);
  CONFORMANCE_REQUIRE(seal != nullptr && open != nullptr, "it makes no session for three queues");
  std::atomic<int> wrong{0};
  const auto work = [&](uint32_t number) {
    const auto queue = b->engine().CreateQueue(number);
    for (uint32_t round = 0; round < 300; ++round) {
      Load load;
      for (uint32_t i = 0; i < 32; ++i) load.Add(b->suite(), 30 + 40 * i, seal.get());
      const std::vector<EnginePacket> plain = load.packets;
      EngineBench::Run(queue.get(), load.MakeJobs(CryptoDirection::kSeal));
      for (CryptoJob& job : load.jobs) wrong += job.status == CryptoStatus::kOk ? 0 : 1;
      for (std::size_t i = 0; i < load.jobs.size(); ++i) {
        load.jobs[i] = load.packets[i].Job(open.get(), CryptoDirection::kOpen);
      }
      EngineBench::Run(queue.get(), load.jobs);
      for (std::size_t i = 0; i < load.jobs.size(); ++i) {
        EnginePacket expected = plain[i];
        const bool same = std::ranges::equal(load.packets[i].text(), expected.text());
        wrong += load.jobs[i].status == CryptoStatus::kOk && same ? 0 : 1;
      }
    }
  };
  std::thread other(work, 1u);
  work(2u);
  other.join();
  CONFORMANCE_REQUIRE(wrong == 0, "two queues that use one session disturb each other: " +
                                      std::to_string(wrong) + " packets are wrong");
  return Kept();
}

// A queue ends with jobs in flight; then their memory belongs to the host again.
Outcome QueueEnds(EngineBench* b) {
  const auto session = b->Session(b->suite(), 1, CryptoDirection::kSeal, 2);
  for (int round = 0; round < 10; ++round) {
    Load load;
    for (uint32_t i = 0; i < 32; ++i) load.Add(b->suite(), 4000, session.get());
    auto queue = b->engine().CreateQueue(1);
    (void)SubmitAll(queue.get(), load.MakeJobs(CryptoDirection::kSeal));
    queue.reset();
    const std::vector<EnginePacket> at_the_end = load.packets;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    for (std::size_t i = 0; i < at_the_end.size(); ++i) {
      CONFORMANCE_REQUIRE(load.packets[i].all() == at_the_end[i].all(),
                          "a packet changes after its queue was destroyed");
    }
  }
  Load load;
  load.Add(b->suite(), 100, session.get());
  b->Run(load.MakeJobs(CryptoDirection::kSeal));
  CONFORMANCE_REQUIRE(load.jobs[0].status == CryptoStatus::kOk,
                      "another queue does not work after one was destroyed");
  return Kept();
}

Outcome Wakes(EngineBench* b) {
  CryptoQueue* queue = b->queue();
  if (queue->wait_fd() < 0) return Kept();  // then the host polls
  const auto session = b->Session(b->suite(), 1, CryptoDirection::kSeal);
  Load load;
  load.Add(b->suite(), 1000, session.get());
  for (int round = 0; round < 20; ++round) {
    CONFORMANCE_REQUIRE(queue->Submit(load.MakeJobs(CryptoDirection::kSeal)) == 1,
                        "an empty queue accepts nothing");
    std::size_t done = 0;
    while (done == 0) {
      bool woken = true;
      if (queue->PrepareWait()) {
        pollfd fd = {queue->wait_fd(), POLLIN, 0};
        woken = ::poll(&fd, 1, static_cast<int>(CYGNET_PATIENCE_MS)) > 0;
      }
      queue->FinishWait();
      done = Collect(queue, 1, std::chrono::milliseconds(0)).size();
      std::array<CryptoJob, 1> job;
      if (done == 0) done = queue->Poll(job);
      CONFORMANCE_REQUIRE(woken, "a thread that sleeps on wait_fd is not woken by a completion");
    }
  }
  return Kept();
}

// --- Keys ---

// True if the writable memory of this process has bytes b with b ^ kMask = masked: so the search
// does not find itself.
constexpr uint8_t kMask = 0xa7;
bool ProcessHolds(std::span<const uint8_t> masked) {
  const std::unique_ptr<FILE, int (*)(FILE*)> maps(std::fopen("/proc/self/maps", "re"),
                                                   std::fclose);
  std::array<char, 512> line;
  while (maps != nullptr && std::fgets(line.data(), line.size(), maps.get()) != nullptr) {
    unsigned long from = 0, to = 0;
    std::array<char, 5> mode{};
    if (std::sscanf(line.data(), "%lx-%lx %4s", &from, &to, mode.data()) != 3) continue;
    constexpr unsigned long kLargest = 1ul << 30;  // sanitizers reserve more
    if (mode[0] != 'r' || mode[1] != 'w' || to - from > kLargest) continue;
    const UniqueFd memory(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
    EngineBytes bytes(to - from);
    const ssize_t n = pread(memory.get(), bytes.data(), bytes.size(), static_cast<off_t>(from));
    if (n <= 0) continue;
    bytes.resize(static_cast<std::size_t>(n));
    const auto same = [](uint8_t a, uint8_t b) { return (a ^ kMask) == b; };
    const bool found =
        std::search(bytes.begin(), bytes.end(), masked.begin(), masked.end(), same) != bytes.end();
    std::ranges::fill(bytes, uint8_t{0});
    if (found) return true;
  }
  return false;
}

// Makes a session of a key that this program does not keep.
std::unique_ptr<CryptoSession> SecretSession(EngineBench* b, EngineBytes* masked) {
  EngineKeys keys(b->suite(), 77);
  masked->assign(keys.key.begin(), keys.key.begin() + 16);
  for (uint8_t& byte : *masked) byte ^= kMask;
  auto session = b->engine().CreateSession(ParamsOf(b->suite(), keys, CryptoDirection::kSeal));
  std::ranges::fill(keys.key, uint8_t{0});
  std::ranges::fill(keys.auth_key, uint8_t{0});
  return session.has_value() ? *std::move(session) : nullptr;
}

Outcome KeyErased(EngineBench* b) {
  EngineBytes masked;
  auto session = SecretSession(b, &masked);
  CONFORMANCE_REQUIRE(session != nullptr, "it refuses a session");
  session.reset();
  CONFORMANCE_REQUIRE(!ProcessHolds(masked),
                      "the key is in the memory of the process after session_destroy");
  return Kept();
}

// --- The engine itself ---

Outcome OpensAgain(const Subject& subject) {
  for (int round = 0; round < 3; ++round) {
    auto bench = EngineBench::Open(subject);
    CONFORMANCE_REQUIRE(bench.has_value(), "it opens once, and not again after it was closed: " +
                                               (bench ? "" : bench.error().message));
    CONFORMANCE_REQUIRE(!(*bench)->suites().empty(), "it makes no session of any algorithm");
    Load load;
    const auto session = (*bench)->Session((*bench)->suite(), 1, CryptoDirection::kSeal);
    load.Add((*bench)->suite(), 100, session.get());
    (*bench)->Run(load.MakeJobs(CryptoDirection::kSeal));
    CONFORMANCE_REQUIRE(load.jobs[0].status == CryptoStatus::kOk,
                        "after it was closed and opened again it does not seal");
  }
  return Kept();
}

constexpr Check kChecks[] = {
    {"has-identity", "It says which module does the cryptography, and its version.",
     WithEngine<HasIdentity>},
    {"supports-holds", "It makes each session that `supports` promised, or never promised it.",
     WithEngine<SupportsHolds>},
    {"sessions-distinct", "SAs do not share keys, also in one batch.",
     WithEngine<SessionsDistinct>},
    {"sessions-return", "A session that is destroyed makes room for another.",
     WithEngine<SessionsReturn>},
    {"order", "Jobs of one session complete in the order of submission.", WithEngine<OrderHolds>},
    {"completes-once", "Each accepted job completes once, in time, and nothing else completes.",
     WithEngine<CompletesOnce>},
    {"back-pressure", "What it has no room for it does not accept, and does not touch.",
     WithEngine<BackPressure>},
    {"threads", "Two queues use one session at the same time.", WithEngine<Threads>},
    {"queue-ends", "After queue_destroy it touches no packet of the queue.", WithEngine<QueueEnds>},
    {"wakes", "A completion wakes the thread that sleeps on wait_fd.", WithEngine<Wakes>},
    {"key-erased", "No copy of a key stays after session_destroy.", WithEngine<KeyErased>},
    {"opens-again", "It can be closed and opened again.", OpensAgain},
};

}  // namespace

std::span<const Check> EngineLifeChecks() { return kChecks; }

}  // namespace cygnet::conformance
