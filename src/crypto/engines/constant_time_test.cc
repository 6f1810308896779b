// The execution of vaes_gcm must not depend on secrets. A child process is single-stepped through
// sealing and opening the same lengths under different keys and texts, and the addresses of all
// instructions must be equal. tools/check_constant_time.py checks the same code for data addresses.
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "support/engine_conformance.h"
#include "support/sanitized.h"

namespace cygnet {
namespace {

using test::Bytes;

using Trace = std::vector<uint64_t>;
constexpr std::size_t kMaxInstructions = 1 << 20;

// Everything that the child touches exists before the fork, so two children differ only in secrets.
struct Scene {
  Scene(const EngineInfo* info, std::size_t key_bytes)
      : harness(info), keys{Bytes(key_bytes + 4), Bytes(key_bytes + 4)} {
    for (const uint32_t length :
         {0u, 4u, 20u, 68u, 68u, 68u, 68u, 67u, 96u, 112u, 240u, 595u, 1424u, 84u, 84u, 84u, 84u}) {
      packets.emplace_back(length + 16, uint8_t{0});
      jobs.emplace_back();
      jobs.back().text = packets.back().data();
      jobs.back().text_length = length;
      jobs.back().icv = packets.back().data() + length;
      jobs.back().aad_length = 12;
    }
  }
  void Fill(uint32_t seed) {
    std::mt19937 random(seed);
    for (Bytes& key : keys) std::ranges::generate(key, random);
    for (Bytes& packet : packets) std::ranges::generate(packet, random);
  }
  std::unique_ptr<CryptoSession> Session(std::size_t i, CryptoDirection direction) {
    return *harness.engine()->CreateSession(
        {.cipher = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))"),
         .key = keys[i],
         .icv_bytes = 16,
         .direction = direction});
  }
  // Makes the keys of two SAs, seals all packets, opens them.
  void Play() {
    for (const CryptoDirection direction : {CryptoDirection::kSeal, CryptoDirection::kOpen}) {
      const auto first = Session(0, direction);
      const auto second = Session(1, direction);
      for (std::size_t i = 0; i < jobs.size(); ++i) {
        // The last ones have one key and one length.
        jobs[i].session = i % 3 == 0 && jobs[i].text_length != 84 ? first.get() : second.get();
      }
      harness.Run(jobs);
    }
  }

  test::Harness harness;
  std::array<Bytes, 2> keys;
  std::vector<Bytes> packets;
  std::vector<CryptoJob> jobs;
};

// Trace of a child that plays the scene with that secret; nearly empty if this process may not
// trace. `trace` is preallocated, so that every child begins with the same heap.
void TraceChild(Scene* scene, uint32_t seed, Trace* trace) {
  trace->clear();
  const pid_t child = fork();
  if (child == 0) {
    scene->Fill(seed);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    raise(SIGSTOP);
    scene->Play();
    raise(SIGSTOP);
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  while (WIFSTOPPED(status) && trace->size() < trace->capacity()) {
    user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, child, nullptr, &registers) != 0) break;
    trace->push_back(registers.rip);
    if (trace->size() > 1 && WSTOPSIG(status) == SIGSTOP) break;
    if (ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr) != 0) break;
    waitpid(child, &status, 0);
  }
  kill(child, SIGKILL);
  waitpid(child, &status, 0);
}

class ConstantTimeTest : public testing::TestWithParam<const EngineInfo*> {};

TEST_P(ConstantTimeTest, TheSameInstructionsWhateverTheSecret) {
  if (test::kSanitized) GTEST_SKIP() << "a sanitizer's checks depend on the data";
  if (GetParam()->probe() == 0) GTEST_SKIP() << "engine cannot run on this machine";
  for (const std::size_t key_bytes : {16u, 32u}) {
    Trace one;
    Trace other;
    one.reserve(kMaxInstructions);
    other.reserve(kMaxInstructions);
    Scene scene(GetParam(), key_bytes);
    scene.Fill(1);
    scene.Play();  // resolves lazy bindings before the trace
    TraceChild(&scene, 2, &one);
    if (one.size() < 1000) GTEST_SKIP() << "this process may not trace its child";
    for (const uint32_t seed : {3u, 4u, 5u}) {
      TraceChild(&scene, seed, &other);
      const auto differs = std::ranges::mismatch(one, other);
      ASSERT_TRUE(differs.in1 == one.end() && differs.in2 == other.end())
          << "after " << differs.in1 - one.begin() << " of " << one.size() << " instructions, at "
          << std::hex << *differs.in1 << " and " << *differs.in2;
    }
  }
}

const EngineInfo* BuiltinVaesGcm() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "vaes_gcm") return info;
  }
  return nullptr;
}

INSTANTIATE_TEST_SUITE_P(Widths, ConstantTimeTest,
                         testing::Values(BuiltinVaesGcm(), &test::kNarrow<test::kVaesGcmAvx2>),
                         [](const auto& width) { return width.index == 0 ? "Widest" : "Avx2"; });

}  // namespace
}  // namespace cygnet
