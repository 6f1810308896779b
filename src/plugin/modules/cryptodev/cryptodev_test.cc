// libcygnet_cryptodev.so beyond the conformance suite: options, what DPDK does to the process, keys
// in its memory, and a scheduler with a member that does not work.
#include <dlfcn.h>
#include <pthread.h>
#include <rte_cryptodev.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>
#include <sched.h>

#include <cstring>

#include "crypto/known_answer.h"
#include "plugin/plugin_engine.h"
#include "support/engine_conformance.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::EspBytes;
using test::Keys;
using test::Suite;

const cygnet_engine* Table() {
  void* library = dlopen(CYGNET_CRYPTODEV_ENGINE, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return nullptr;
  const auto entry =
      reinterpret_cast<decltype(&cygnet_engine_entry)>(dlsym(library, CYGNET_ENGINE_ENTRY));
  return entry(CYGNET_ABI);
}

Result<std::unique_ptr<PluginEngine>> Open(std::vector<std::string> options,
                                           const EngineOptions& engine = {}) {
  PluginEngineSettings settings;
  settings.engine = engine;
  settings.options = std::move(options);
  return PluginEngine::Open(Table(), settings);
}

std::string Refusal(std::vector<std::string> options, const EngineOptions& engine = {}) {
  const auto opened = Open(std::move(options), engine);
  return opened.has_value() ? "" : opened.error().message;
}

const Suite kGcm{FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"), nullptr, 20, 16};

// --- Options ---

TEST(CryptodevTest, RefusesWhatItDoesNotUnderstandAndSaysWhatToDo) {
  EXPECT_NE(Refusal({}).find("name the device"), std::string::npos);
  EXPECT_NE(Refusal({"speed=1"}).find("unknown option speed"), std::string::npos);
  EXPECT_NE(Refusal({"crypto=crypto_aesni_mb0", "memory_mib=lots"}).find("from 64"),
            std::string::npos);
  EXPECT_NE(Refusal({"crypto=no_such_driver0"}).find("cannot make the device no_such_driver0"),
            std::string::npos);
  EXPECT_NE(Refusal({"crypto=0000:ff:1f.7"}).find("0000:ff:1f.7"), std::string::npos);
}

TEST(CryptodevTest, FipsModeExcludesADeviceThatChangesTheProcesssProviders) {
  EXPECT_NE(Refusal({"crypto=crypto_openssl0"}, {.fips = true}).find("FIPS"), std::string::npos);
}

// --- The process ---

TEST(CryptodevTest, TouchesNothingThatIsNotNamedAndKeepsTheThreadsProcessors) {
  cpu_set_t before, after;
  pthread_getaffinity_np(pthread_self(), sizeof(before), &before);
  const auto engine = Open({"crypto=crypto_aesni_mb0"});
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  pthread_getaffinity_np(pthread_self(), sizeof(after), &after);
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
  EXPECT_EQ(rte_cryptodev_count(), 1);
  EXPECT_EQ(rte_eth_dev_count_avail(), 0);
  EXPECT_EQ(rte_eal_has_pci(), 0);
  EXPECT_EQ(rte_eal_has_hugepages(), 0);
}

TEST(CryptodevTest, ARemovedDeviceLeavesOpensslToTheOthers) {
  ASSERT_TRUE(Open({"crypto=crypto_openssl0"}).has_value());  // and gone
  EXPECT_EQ(rte_cryptodev_count(), 0);
  const auto reference = test::ReferenceHarness();
  EXPECT_TRUE(RunSelfTest(reference->engine()).has_value());
}

TEST(CryptodevTest, DevicesPassTheSelfTestAndHaveAnIdentity) {
  const auto engine = Open({"crypto=crypto_aesni_mb0"});
  ASSERT_TRUE(engine.has_value());
  const Status passed = RunSelfTest(engine->get());
  EXPECT_TRUE(passed.has_value()) << passed.error().message;
  const ModuleIdentity identity = (*engine)->identity();
  EXPECT_EQ(identity.model, "crypto_aesni_mb");
  EXPECT_TRUE(identity.version.starts_with("DPDK ")) << identity.version;
}

// --- Keys ---

// True if a pool of DPDK holds the bytes.
bool DpdkHolds(const Bytes& wanted) {
  struct Search {
    const Bytes& bytes;
    bool found;
  } search{wanted, false};
  rte_mempool_walk(
      [](rte_mempool* pool, void* context) {
        rte_mempool_obj_iter(
            pool,
            [](rte_mempool* of, void* inner, void* object, unsigned) {
              auto* s = static_cast<Search*>(inner);
              s->found = s->found ||
                         memmem(object, of->elt_size, s->bytes.data(), s->bytes.size()) != nullptr;
            },
            context);
      },
      &search);
  return search.found;
}

class KeyTest : public testing::TestWithParam<std::vector<std::string>> {};

TEST_P(KeyTest, LeavesDpdksMemoryWithTheSession) {
  const auto engine = Open(GetParam());
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  std::mt19937 random{3};
  const Keys keys(kGcm, &random);
  const Bytes raw(keys.key.begin(), keys.key.begin() + 16);
  auto session =
      (*engine)->CreateSession({.cipher = kGcm.cipher, .key = keys.key, .icv_bytes = 16});
  ASSERT_TRUE(session.has_value());
  EXPECT_TRUE(DpdkHolds(raw)) << "the test does not find what it looks for";
  session = std::unique_ptr<CryptoSession>();
  EXPECT_FALSE(DpdkHolds(raw));
}

const std::vector<std::string> kFailover = {
    "member=crypto_aesni_mb1", "member=crypto_aesni_mb2",
    "crypto=crypto_scheduler0,worker=crypto_aesni_mb1,worker=crypto_aesni_mb2,mode=fail-over"};
INSTANTIATE_TEST_SUITE_P(Devices, KeyTest,
                         testing::Values(std::vector<std::string>{"crypto=crypto_aesni_gcm0"},
                                         std::vector<std::string>{"crypto=crypto_aesni_mb0"},
                                         kFailover));

// --- A scheduler with a faulty member ---

// Seals `count` packets and checks them with OpenSSL's engine.
void ExpectWorks(test::Harness* harness, int count) {
  const auto reference = test::ReferenceHarness();
  std::mt19937 random{5};
  const Keys keys(kGcm, &random);
  const test::Sessions mine = harness->MakeSessions(kGcm, keys);
  const test::Sessions theirs = reference->MakeSessions(kGcm, keys);
  for (int i = 0; i < count; ++i) {
    EspBytes packet(kGcm, 200, 0, EspBytes::Esn::kYes, &random);
    const Bytes plain(packet.text().begin(), packet.text().end());
    ASSERT_EQ(harness->Run(packet.Job(mine.seal.get(), CryptoDirection::kSeal)), CryptoStatus::kOk);
    ASSERT_EQ(reference->Run(packet.Job(theirs.open.get(), CryptoDirection::kOpen)),
              CryptoStatus::kOk);
    ASSERT_TRUE(std::ranges::equal(packet.text(), plain));
  }
}

uint64_t Enqueued(const char* device) {
  rte_cryptodev_stats stats{};
  rte_cryptodev_stats_get(static_cast<uint8_t>(rte_cryptodev_get_dev_id(device)), &stats);
  return stats.enqueued_count;
}

TEST(CryptodevTest, AFaultyMemberOfASchedulerIsReplacedByTheOther) {
  auto engine = Open(kFailover);
  ASSERT_TRUE(engine.has_value()) << engine.error().message;
  EXPECT_EQ((*engine)->identity().model, "crypto_scheduler of crypto_aesni_mb, crypto_aesni_mb");
  test::Harness harness(engine->get(), 0);
  ExpectWorks(&harness, 10);
  const char* primary = "crypto_aesni_mb1";
  const char* secondary = "crypto_aesni_mb2";
  if (Enqueued(primary) == 0) std::swap(primary, secondary);
  EXPECT_EQ(Enqueued(primary), 10u);
  EXPECT_EQ(Enqueued(secondary), 0u);
  // From now on the primary accepts nothing, as a card that hangs.
  auto& functions = rte_crypto_fp_ops[rte_cryptodev_get_dev_id(primary)];
  const auto accepts = functions.enqueue_burst;
  functions.enqueue_burst = [](void*, rte_crypto_op**, uint16_t) { return uint16_t{0}; };
  ExpectWorks(&harness, 20);
  EXPECT_EQ(Enqueued(secondary), 20u);
  functions.enqueue_burst = accepts;
  ExpectWorks(&harness, 5);
  EXPECT_EQ(Enqueued(primary), 15u);
  EXPECT_EQ((*engine)->failure(), "");
}

// A device that takes jobs and never returns them.
TEST(CryptodevTest, ADeviceThatLosesJobsFailsTheEngine) {
  PluginEngineSettings settings;
  settings.options = {"crypto=crypto_aesni_mb0"};
  settings.patience = std::chrono::milliseconds(100);
  auto opened = PluginEngine::Open(Table(), settings);
  ASSERT_TRUE(opened.has_value());
  const std::unique_ptr<PluginEngine> engine = *std::move(opened);
  auto& device = rte_crypto_fp_ops[rte_cryptodev_get_dev_id("crypto_aesni_mb0")];
  device.dequeue_burst = [](void*, rte_crypto_op**, uint16_t) { return uint16_t{0}; };
  test::Harness harness(engine.get(), 0);
  std::mt19937 random{9};
  const Keys keys(kGcm, &random);
  const test::Sessions sessions = harness.MakeSessions(kGcm, keys);
  EspBytes packet(kGcm, 200, 0, EspBytes::Esn::kYes, &random);
  EXPECT_EQ(harness.Run(packet.Job(sessions.seal.get(), CryptoDirection::kSeal)),
            CryptoStatus::kError);
  EXPECT_NE(engine->failure().find("holds a job"), std::string::npos);
}

}  // namespace
}  // namespace cygnet
