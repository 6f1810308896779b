#include "conformance/engine_bench.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "base/endian.h"

namespace cygnet::conformance {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::seconds kPatience{5};
constexpr std::size_t kHeader = 8;
constexpr std::size_t kFence = 64;
constexpr uint8_t kFenceByte = 0xfe;
constexpr uint8_t kSaltByte = 0x5c;

// Contents that differ by seed; not random, so that a failure can be repeated.
void Fill(std::span<uint8_t> bytes, uint32_t seed) {
  uint64_t state = seed * 2654435761u + 1;
  for (uint8_t& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<uint8_t>(state >> 56);
  }
}

std::unique_ptr<CryptoEngine> Reference() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return info->create({});
  }
  return nullptr;
}

void AddSuites(const AlgorithmDescriptor& cipher, const AlgorithmDescriptor* auth,
               std::vector<EngineSuite>* suites) {
  for (const uint16_t key : cipher.key_bytes) {
    if (key == 0 && cipher.key_bytes[0] != 0) continue;
    for (const uint8_t icv : (auth != nullptr ? auth : &cipher)->icv_bytes) {
      if (icv == 0) continue;
      suites->push_back({&cipher, auth, std::size_t{key} + cipher.salt_bytes, icv});
    }
    if (cipher.key_bytes[0] == 0) break;
  }
}

}  // namespace

std::string EngineSuite::Text() const {
  return std::string(cipher->name) + (auth == nullptr ? "" : " with " + std::string(auth->name)) +
         ", key " + std::to_string(key_bytes - cipher->salt_bytes) + ", ICV " +
         std::to_string(icv_bytes);
}

std::vector<EngineSuite> AllEngineSuites() {
  std::vector<EngineSuite> suites;
  for (const AlgorithmDescriptor& cipher : AllAlgorithms()) {
    if (cipher.kind == AlgorithmKind::kAead) AddSuites(cipher, nullptr, &suites);
    if (cipher.kind != AlgorithmKind::kCipher) continue;
    for (const AlgorithmDescriptor& auth : AllAlgorithms()) {
      if (auth.kind == AlgorithmKind::kAuth) AddSuites(cipher, &auth, &suites);
    }
  }
  return suites;
}

EngineKeys::EngineKeys(const EngineSuite& suite, uint32_t number)
    : key(suite.key_bytes), auth_key(suite.auth == nullptr ? 0 : suite.auth->key_bytes[0]) {
  Fill(key, number);
  Fill(auth_key, ~number);
  std::fill_n(key.end() - suite.cipher->salt_bytes, suite.cipher->salt_bytes, kSaltByte);
}

SessionParams ParamsOf(const EngineSuite& suite, const EngineKeys& keys,
                       CryptoDirection direction) {
  return {.cipher = suite.cipher,
          .key = keys.key,
          .auth = suite.auth,
          .auth_key = keys.auth_key,
          .icv_bytes = suite.icv_bytes,
          .direction = direction};
}

// --- Packets ---

EnginePacket::EnginePacket(const EngineSuite& suite, std::size_t text_bytes, std::size_t shift,
                           Esn esn, uint32_t seed)
    : suite_(suite), esn_(esn), esn_high_(seed | 1), front_(kFence + shift) {
  const std::size_t block = suite.cipher->block_bytes;
  text_bytes = (text_bytes + block - 1) / block * block;
  size_ = kHeader + suite.cipher->iv_bytes + text_bytes + suite.icv_bytes;
  bytes_.assign(front_ + size_ + kFence, kFenceByte);
  Fill(packet(), seed);
}

std::span<uint8_t> EnginePacket::text() {
  const std::size_t front = kHeader + suite_.cipher->iv_bytes;
  return packet().subspan(front, size_ - front - suite_.icv_bytes);
}

std::span<uint8_t> EnginePacket::icv() { return packet().last(suite_.icv_bytes); }

bool EnginePacket::FencesStand() const {
  const auto intact = [](uint8_t byte) { return byte == kFenceByte; };
  return std::all_of(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(front_),
                     intact) &&
         std::all_of(bytes_.end() - kFence, bytes_.end(), intact);
}

CryptoJob EnginePacket::Job(CryptoSession* session, CryptoDirection direction) {
  const AlgorithmDescriptor& cipher = *suite_.cipher;
  const uint8_t* iv = esp() + kHeader;
  CryptoJob job;
  job.session = session;
  job.text = text().data();
  job.text_length = static_cast<uint32_t>(text().size());
  if (cipher.iv_form == IvForm::kSealed && direction == CryptoDirection::kSeal) {
    job.text -= cipher.iv_bytes;
    job.text_length += cipher.iv_bytes;
  } else {
    std::fill_n(job.nonce.begin(), cipher.salt_bytes, kSaltByte);
    std::memcpy(job.nonce.data() + cipher.salt_bytes, iv, cipher.iv_bytes);
  }
  uint8_t* aad = job.aad.data();
  std::memcpy(aad, esp(), 4);
  aad += 4;
  if (esn_ == Esn::kYes) {
    StoreBe32(aad, esn_high_);
    aad += 4;
  }
  std::memcpy(aad, esp() + 4, 4);
  aad += 4;
  if (cipher.iv_in_aad) {
    std::memcpy(aad, iv, cipher.iv_bytes);
    aad += cipher.iv_bytes;
  }
  job.aad_length = static_cast<uint32_t>(aad - job.aad.data());
  job.icv = icv().data();
  job.auth_begin = esp();
  job.esn_high = esn_high_;
  job.append_esn_high = esn_ == Esn::kYes;
  return job;
}

// --- The bench ---

::cygnet::Result<std::unique_ptr<EngineBench>> EngineBench::Open(const Subject& subject) {
  if (subject.isolated() != nullptr) WatchIsolation();
  const auto plugin = LoadEngine(subject.path, PluginTrust::kAnyOwner, subject.isolated());
  if (!plugin) return plugin.error();
  auto opened = PluginEngine::Open(
      plugin->table, {.engine = {.queue_depth = kDepth}, .queues = 4, .options = subject.options});
  if (!opened) return opened.error();
  std::unique_ptr<EngineBench> bench(new EngineBench);
  bench->version_ = plugin->table->version == nullptr ? "" : plugin->table->version;
  bench->vendor_ = plugin->table->vendor == nullptr ? "" : plugin->table->vendor;
  bench->engine_ = *std::move(opened);
  bench->queue_ = bench->engine_->CreateQueue(0);
  bench->reference_ = Reference();
  bench->reference_queue_ = bench->reference_->CreateQueue(0);
  bench->FindSuites();
  return bench;
}

void EngineBench::FindSuites() {
  for (const EngineSuite& suite : AllEngineSuites()) {
    if (!engine_->Supports(*suite.cipher, suite.auth)) continue;
    const EngineKeys keys(suite, 1);
    const auto session = engine_->CreateSession(ParamsOf(suite, keys, CryptoDirection::kSeal));
    if (session.has_value()) suites_.push_back(suite);
  }
}

std::unique_ptr<CryptoSession> EngineBench::Session(const EngineSuite& suite, uint32_t number,
                                                    CryptoDirection direction, uint32_t queues) {
  const EngineKeys keys(suite, number);
  SessionParams params = ParamsOf(suite, keys, direction);
  params.queues = queues;
  auto session = engine_->CreateSession(params);
  return session.has_value() ? *std::move(session) : nullptr;
}

EngineSessions EngineBench::Sessions(const EngineSuite& suite, uint32_t number) {
  return {Session(suite, number, CryptoDirection::kSeal),
          Session(suite, number, CryptoDirection::kOpen)};
}

EngineSessions EngineBench::ReferenceSessions(const EngineSuite& suite, uint32_t number) {
  const EngineKeys keys(suite, number);
  const auto make = [&](CryptoDirection direction) {
    auto session = reference_->CreateSession(ParamsOf(suite, keys, direction));
    return session.has_value() ? *std::move(session) : nullptr;
  };
  return {make(CryptoDirection::kSeal), make(CryptoDirection::kOpen)};
}

void EngineBench::Run(CryptoQueue* queue, std::span<CryptoJob> jobs) {
  std::array<CryptoJob, kDepth> done;
  std::size_t submitted = 0, finished = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) jobs[i].tag = static_cast<uint32_t>(i);
  auto deadline = Clock::now() + kPatience;
  while (finished < jobs.size() && Clock::now() < deadline) {
    submitted += queue->Submit(jobs.subspan(submitted));
    const std::size_t n = queue->Poll(done);
    for (std::size_t i = 0; i < n; ++i) jobs[done[i].tag].status = done[i].status;
    finished += n;
    if (n != 0) deadline = Clock::now() + kPatience;
  }
}

void EngineBench::Finish(std::size_t wanted) {
  std::array<CryptoJob, kDepth> done;
  for (auto deadline = Clock::now() + kPatience; wanted > 0 && Clock::now() < deadline;) {
    const std::size_t n = queue_->Poll(done);
    wanted -= std::min(n, wanted);
    if (n != 0) deadline = Clock::now() + kPatience;
  }
}

CryptoStatus EngineBench::Run(CryptoJob job) {
  Run({&job, 1});
  return job.status;
}

CryptoStatus EngineBench::RunReference(CryptoJob job) {
  reference_queue_->Submit({&job, 1});
  return job.status;
}

}  // namespace cygnet::conformance
