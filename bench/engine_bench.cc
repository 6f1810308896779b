// The CPU engines side by side, algorithm by algorithm: TSC cycles per packet of a batch, all
// packets of one SA, ESN, as the data path submits them.
//   NAME/ALGORITHM/(out|in)/BYTES/BATCH
#include <benchmark/benchmark.h>

#include <cstdio>
#include <cstring>

#include "crypto/crypto_engine.h"
#include "packet_sizes.h"
#include "window_stats.h"

namespace cygnet::bench {
namespace {

using Bytes = std::vector<uint8_t>;

struct Row {
  const char* label;
  const char* cipher;
  const char* auth;  // nullptr: AEAD
  uint32_t key_bytes;
};

constexpr Row kRows[] = {
    {"gcm128", "rfc4106(gcm(aes))", nullptr, 20},
    {"gcm256", "rfc4106(gcm(aes))", nullptr, 36},
    {"ccm128", "rfc4309(ccm(aes))", nullptr, 19},
    {"gmac128", "rfc4543(gcm(aes))", nullptr, 20},
    {"chacha", "rfc7539esp(chacha20,poly1305)", nullptr, 36},
    {"cbc128-sha1", "cbc(aes)", "hmac(sha1)", 16},
    {"cbc128-sha256", "cbc(aes)", "hmac(sha256)", 16},
    {"cbc256-sha384", "cbc(aes)", "hmac(sha384)", 32},
    {"cbc256-sha512", "cbc(aes)", "hmac(sha512)", 32},
    {"cbc128-cmac", "cbc(aes)", "cmac(aes)", 16},
    {"cbc128-xcbc", "cbc(aes)", "xcbc(aes)", 16},
    {"ctr128-sha256", "rfc3686(ctr(aes))", "hmac(sha256)", 20},
    {"null-sha1", "ecb(cipher_null)", "hmac(sha1)", 0},
    {"null-sha256", "ecb(cipher_null)", "hmac(sha256)", 0},
    {"null-sha512", "ecb(cipher_null)", "hmac(sha512)", 0},
    {"null-cmac", "ecb(cipher_null)", "cmac(aes)", 0},
    {"3des-sha1", "cbc(des3_ede)", "hmac(sha1)", 24},
};

// A CPU engine, with or without 512-bit registers.
struct Contestant {
  const EngineInfo* info;
  bool avx512;

  std::unique_ptr<CryptoEngine> Make() const { return info->create({.avx512 = avx512}); }
  std::string name() const { return std::string(info->name) + (avx512 ? "" : "_avx2"); }
};

std::vector<Contestant> Contestants() {
  std::vector<Contestant> all;
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->kind != EngineKind::kCpu || info->probe() == 0) continue;
    all.push_back({info, true});
    if (info->name != "openssl" && __builtin_cpu_supports("avx512bw")) all.push_back({info, false});
  }
  return all;
}

// A batch of packets of one SA: ESP header ‖ IV ‖ text ‖ ICV.
class Batch {
 public:
  Batch(const Contestant& contestant, const Row& row, uint32_t size, uint32_t count)
      : engine_(contestant.Make()),
        queue_(engine_->CreateQueue(0)),
        cipher_(FindAlgorithm(row.auth == nullptr ? AlgorithmKind::kAead : AlgorithmKind::kCipher,
                              row.cipher)),
        auth_(row.auth == nullptr ? nullptr : FindAlgorithm(AlgorithmKind::kAuth, row.auth)),
        icv_bytes_(auth_ == nullptr ? uint8_t{16} : auth_->default_icv_bytes()),
        jobs_(count) {
    const Bytes key(row.key_bytes, 0x42);
    const Bytes auth_key(auth_ == nullptr ? 0 : auth_->key_bytes[0], 0x24);
    SessionParams params{.cipher = cipher_,
                         .key = key,
                         .auth = auth_,
                         .auth_key = auth_key,
                         .icv_bytes = icv_bytes_};
    seal_ = *engine_->CreateSession(params);
    params.direction = CryptoDirection::kOpen;
    open_ = *engine_->CreateSession(params);
    const uint32_t align = std::max<uint32_t>(cipher_->block_bytes, 4);
    for (uint32_t i = 0; i < count; ++i) {
      texts_.push_back((SizeOf(size, i) + 2 + align - 1) / align * align);
      packets_.emplace_back(kHeader + cipher_->iv_bytes + texts_[i] + icv_bytes_, uint8_t{0x5a});
    }
  }

  void Prepare(CryptoDirection direction) {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      uint8_t* iv = packets_[i].data() + kHeader;
      CryptoJob& job = jobs_[i];
      job = CryptoJob{};
      job.session = direction == CryptoDirection::kSeal ? seal_.get() : open_.get();
      job.text = iv + cipher_->iv_bytes;
      job.text_length = texts_[i];
      job.icv = job.text + texts_[i];
      if (cipher_->iv_form == IvForm::kSealed && direction == CryptoDirection::kSeal) {
        job.text = iv;
        job.text_length += cipher_->iv_bytes;
      } else {
        std::memcpy(job.nonce.data() + cipher_->salt_bytes, iv, cipher_->iv_bytes);
      }
      job.aad_length = cipher_->iv_in_aad ? 20 : 12;
      job.auth_begin = packets_[i].data();
      job.append_esn_high = true;
    }
  }
  void Submit() { queue_->Submit(jobs_); }
  bool Done() const { return jobs_.back().status == CryptoStatus::kOk; }

 private:
  static constexpr uint32_t kHeader = 8;

  std::unique_ptr<CryptoEngine> engine_;
  std::unique_ptr<CryptoQueue> queue_;
  const AlgorithmDescriptor* cipher_;
  const AlgorithmDescriptor* auth_;
  const uint8_t icv_bytes_;
  std::unique_ptr<CryptoSession> seal_;
  std::unique_ptr<CryptoSession> open_;
  std::vector<uint32_t> texts_;  // lengths
  std::vector<Bytes> packets_;
  std::vector<CryptoJob> jobs_;
};

void Engine(benchmark::State& state, const Contestant& contestant, const Row* row,
            CryptoDirection direction, uint32_t size, uint32_t count) {
  Batch batch(contestant, *row, size, count);
  WindowStats stats;
  for (auto _ : state) {
    batch.Prepare(CryptoDirection::kSeal);
    if (direction == CryptoDirection::kSeal) {
      stats.Time(&state, count, [&] { batch.Submit(); });
    } else {
      batch.Submit();
      batch.Prepare(CryptoDirection::kOpen);
      stats.Time(&state, count, [&] { batch.Submit(); });
    }
    if (!batch.Done()) state.SkipWithError("crypto failed");
  }
  stats.Report(&state, MeanSize(size, count));
}

bool Does(const Contestant& contestant, const Row& row) {
  const auto kind = row.auth == nullptr ? AlgorithmKind::kAead : AlgorithmKind::kCipher;
  const auto* auth = row.auth == nullptr ? nullptr : FindAlgorithm(AlgorithmKind::kAuth, row.auth);
  return contestant.Make()->Supports(*FindAlgorithm(kind, row.cipher), auth);
}

void RegisterAll() {
  const std::vector<Contestant> contestants = Contestants();
  for (const Row& row : kRows) {
    for (const auto direction : {CryptoDirection::kSeal, CryptoDirection::kOpen}) {
      for (const uint32_t size : {64u, 256u, 590u, 1400u, kImix}) {
        for (const uint32_t count : {1u, 64u}) {
          if (size == kImix && count == 1) continue;
          for (const Contestant& contestant : contestants) {
            if (!Does(contestant, row)) continue;
            const std::string name = contestant.name() + "/" + row.label +
                                     (direction == CryptoDirection::kSeal ? "/out/" : "/in/") +
                                     NameOfSize(size) + "/" + std::to_string(count);
            benchmark::RegisterBenchmark(name.c_str(), Engine, contestant, &row, direction, size,
                                         count)
                ->UseManualTime()
                ->Unit(benchmark::kMicrosecond);
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace cygnet::bench

int main(int argc, char** argv) {
  cygnet::bench::RegisterAll();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  std::printf("TSC %.3f GHz; p5 and median are TSC cycles per packet\n",
              cygnet::bench::TscPerSecond() * 1e-9);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
