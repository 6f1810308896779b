// An isolated engine that dies, as the data path sees it: through the adapter of engines.
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <chrono>
#include <fstream>
#include <thread>

#include "isolation/public_copy.h"
#include "plugin/engine_plugin.h"
#include "plugin/isolation/isolation.h"
#include "plugin/plugin_engine.h"

namespace cygnet {
namespace {

using namespace std::chrono_literals;

// The only child of this process.
pid_t ChildPid() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream children(task.path() / "children");
    pid_t pid = 0;
    if (children >> pid) return pid;
  }
  return 0;
}

// More jobs than one Poll returns: the engine is "down" until all are back, so that none is lost.
TEST(IsolatedEngineFailure, EveryJobComesBackToBeDoneByTheCpu) {
  const PublicCopy program(CYGNET_PLUGIN_HOST_BUILT);
  const PublicCopy file(CYGNET_XOR_ENGINE);
  const auto table = LoadIsolatedEngine(file.path(), {.program = program.path()});
  ASSERT_TRUE(table) << table.error().message;
  PluginEngineSettings settings;
  settings.options = {"behave=hold"};
  auto engine = PluginEngine::Open(*table, settings);
  ASSERT_TRUE(engine) << engine.error().message;
  const std::vector<uint8_t> key(20, 1);
  auto session =
      (*engine)->CreateSession({.cipher = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"),
                                .key = key,
                                .icv_bytes = 16});
  ASSERT_TRUE(session) << session.error().message;
  const auto queue = (*engine)->CreateQueue(0);

  std::array<std::array<uint8_t, 116>, 200> packets{};
  std::array<CryptoJob, 200> jobs{};
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    jobs[i].session = session->get();
    jobs[i].text = packets[i].data();
    jobs[i].text_length = 100;
    jobs[i].icv = packets[i].data() + 100;
    jobs[i].aad_length = 8;
    jobs[i].tag = static_cast<uint32_t>(i);
  }
  ASSERT_EQ(queue->Submit(jobs), jobs.size());
  kill(ChildPid(), SIGKILL);
  std::size_t back = 0;
  const auto end = std::chrono::steady_clock::now() + 5s;
  while (back < jobs.size() && std::chrono::steady_clock::now() < end) {
    std::array<CryptoJob, 64> done;
    const std::size_t n = queue->Poll(done);
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(done[i].status, CryptoStatus::kNotDone);
    back += n;
  }
  EXPECT_EQ(back, jobs.size());
  while ((*engine)->failure().empty() && std::chrono::steady_clock::now() < end) {
    (void)(*engine)->stats();
    std::this_thread::sleep_for(1ms);
  }
  EXPECT_NE((*engine)->failure(), "");
  EXPECT_EQ(queue->Submit({jobs.data(), 1}), 0u);
}

// It "encrypts" by XOR: a known answer shows that before it gets a key.
TEST(IsolatedEngineFailure, AnEngineThatSealsWronglyIsRefused) {
  const PublicCopy program(CYGNET_PLUGIN_HOST_BUILT);
  const PublicCopy file(CYGNET_XOR_ENGINE);
  const IsolationSettings isolation{.program = program.path()};
  const auto engine = OpenEngine(file.path(), PluginTrust::kAnyOwner, {}, &isolation);
  ASSERT_FALSE(engine);
  EXPECT_NE(engine.error().message.find("self-test of rfc4106(gcm(aes)) failed: its ciphertext is "
                                        "not the known one"),
            std::string::npos)
      << engine.error().message;
}

}  // namespace
}  // namespace cygnet
