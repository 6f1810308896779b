// Cygnet's own AES-GCM against OpenSSL's. Both kernels of the CPU seal and open batches of packets
// of several SAs, some with damaged ICVs. Bytes and verdicts must agree.
//
// The input determines keys, lengths, alignments and damage. A generator seeded by it makes the
// packet bytes, so that inputs stay short.
#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "base/check.h"
#include "crypto/crypto_engine.h"

namespace cygnet {
namespace {

using Bytes = std::vector<uint8_t>;

constexpr std::size_t kMaxSas = 4;
constexpr std::size_t kMaxPackets = 64;

// Bytes of the input, then zeros.
class Input {
 public:
  explicit Input(std::span<const uint8_t> data) : data_(data) {}
  bool empty() const { return data_.empty(); }
  uint8_t Byte() {
    if (data_.empty()) return 0;
    const uint8_t byte = data_[0];
    data_ = data_.subspan(1);
    return byte;
  }
  uint32_t Pair() {
    const uint32_t low = Byte();
    return low | uint32_t{Byte()} << 8;
  }

 private:
  std::span<const uint8_t> data_;
};

const EngineInfo* Info(std::string_view name) {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == name) return info;
  }
  return nullptr;
}

// An engine with its queue; null if this CPU cannot run it.
struct Side {
  std::unique_ptr<CryptoEngine> engine;
  std::unique_ptr<CryptoQueue> queue;

  Side(std::string_view name, bool avx512) {
    const EngineInfo* info = Info(name);
    if (info->probe() == 0) return;
    engine = info->create({.avx512 = avx512});
    queue = engine->CreateQueue(0);
  }
};

struct Sa {
  Bytes key;
  uint8_t icv_bytes;
  CryptoDirection direction;
};

struct Packet {
  std::size_t sa;
  Bytes bytes;  // text ‖ ICV, of exact size: a sanitizer sees an overrun
  uint32_t text_length;
  CryptoJob job;
};

std::unique_ptr<CryptoSession> Session(CryptoEngine* engine, const Sa& sa) {
  static const AlgorithmDescriptor* gcm = FindAlgorithm(AlgorithmKind::kAead, "rfc4106(gcm(aes))");
  auto session = engine->CreateSession(
      {.cipher = gcm, .key = sa.key, .icv_bytes = sa.icv_bytes, .direction = sa.direction});
  CYGNET_CHECK(session.has_value());
  return *std::move(session);
}

// The statuses end up in the packets' jobs.
void RunBatch(Side* side, const std::vector<Sa>& sas, std::vector<Packet>* packets) {
  std::vector<std::unique_ptr<CryptoSession>> sessions;
  for (const Sa& sa : sas) sessions.push_back(Session(side->engine.get(), sa));
  std::vector<CryptoJob> jobs;
  for (Packet& packet : *packets) {
    packet.job.session = sessions[packet.sa].get();
    packet.job.text = packet.bytes.data();
    packet.job.text_length = packet.text_length;
    packet.job.icv = packet.bytes.data() + packet.text_length;
    packet.job.status = CryptoStatus::kPending;
    jobs.push_back(packet.job);
  }
  CYGNET_CHECK(side->queue->Submit(jobs) == jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) (*packets)[i].job.status = jobs[i].status;
}

class Batch {
 public:
  explicit Batch(Input* input) : random_(1 + input->Pair()) {
    const std::size_t sas = 1 + input->Byte() % kMaxSas;
    for (std::size_t i = 0; i < sas; ++i) {
      const uint8_t choice = input->Byte();
      const std::size_t key_bytes = 16 + 8 * (choice % 3u);
      sas_.push_back({Random(key_bytes + 4), static_cast<uint8_t>(8 + 4 * (choice / 3 % 3)),
                      choice / 9 % 2 == 0 ? CryptoDirection::kSeal : CryptoDirection::kOpen});
    }
    while (!input->empty() && packets_.size() < kMaxPackets) AddPacket(input);
  }

  void Compare(Side* reference, Side* tested) {
    if (tested->engine == nullptr || packets_.empty()) return;
    // Packets to open are first sealed by the reference.
    std::vector<Sa> sealing = sas_;
    for (Sa& sa : sealing) sa.direction = CryptoDirection::kSeal;
    std::vector<Packet> sealed = packets_;
    RunBatch(reference, sealing, &sealed);
    std::vector<Packet> theirs = packets_;
    for (std::size_t i = 0; i < theirs.size(); ++i) {
      if (sas_[theirs[i].sa].direction == CryptoDirection::kSeal) continue;
      theirs[i].bytes = sealed[i].bytes;
      Damage(i, &theirs[i].bytes);
    }
    std::vector<Packet> ours = theirs;
    RunBatch(reference, sas_, &theirs);
    RunBatch(tested, sas_, &ours);
    for (std::size_t i = 0; i < ours.size(); ++i) Agree(i, ours[i], theirs[i], sealed[i]);
  }

 private:
  Bytes Random(std::size_t n) {
    Bytes out(n);
    for (uint8_t& b : out) b = static_cast<uint8_t>(random_());
    return out;
  }

  void AddPacket(Input* input) {
    const uint8_t kind = input->Byte();
    Packet packet;
    packet.sa = kind % sas_.size();
    const uint32_t length = input->Pair();
    packet.text_length = (kind & 0x80) != 0 ? length % 9100 : length % 128;
    if ((kind & 0x40) != 0) packet.text_length &= ~3u;
    packet.bytes = Random(packet.text_length + sas_[packet.sa].icv_bytes);
    for (uint8_t& b : packet.job.nonce) b = static_cast<uint8_t>(random_());
    for (uint8_t& b : packet.job.aad) b = static_cast<uint8_t>(random_());
    packet.job.aad_length = (kind & 0x20) != 0 ? 12 : length % 25;
    damage_.push_back((kind & 0x10) != 0 ? input->Byte() : uint8_t{0});
    packets_.push_back(std::move(packet));
  }

  // 0: no damage; otherwise flips one bit, counted from the end of the ICV.
  void Damage(std::size_t i, Bytes* bytes) const {
    if (damage_[i] == 0) return;
    const std::size_t bit = (damage_[i] - 1u) % (bytes->size() * 8);
    uint8_t& byte = (*bytes)[bytes->size() - 1 - bit / 8];
    byte = static_cast<uint8_t>(byte ^ (1u << (bit % 8)));
  }

  void Agree(std::size_t i, const Packet& ours, const Packet& theirs, const Packet& sealed) const {
    CYGNET_CHECK(ours.job.status == theirs.job.status);
    const Sa& sa = sas_[ours.sa];
    if (sa.direction == CryptoDirection::kSeal) {
      CYGNET_CHECK(ours.job.status == CryptoStatus::kOk);
      CYGNET_CHECK(ours.bytes == sealed.bytes);
      return;
    }
    const bool good = damage_[i] == 0;
    CYGNET_CHECK(ours.job.status == (good ? CryptoStatus::kOk : CryptoStatus::kAuthFailed));
    const auto end = ours.bytes.begin() + ours.text_length;
    CYGNET_CHECK(good ? std::equal(ours.bytes.begin(), end, packets_[i].bytes.begin())
                      : std::all_of(ours.bytes.begin(), end, [](uint8_t b) { return b == 0; }));
    CYGNET_CHECK(std::equal(end, ours.bytes.end(), theirs.bytes.begin() + theirs.text_length));
  }

  std::minstd_rand random_;
  std::vector<Sa> sas_;
  std::vector<Packet> packets_;
  std::vector<uint8_t> damage_;
};

void RunOne(std::span<const uint8_t> data) {
  static Side reference("openssl", true);
  static Side wide("vaes_gcm", true);
  static Side narrow("vaes_gcm", false);
  Input input(data);
  Batch batch(&input);
  batch.Compare(&reference, &wide);
  batch.Compare(&reference, &narrow);
}

}  // namespace
}  // namespace cygnet

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cygnet::RunOne({data, size});
  return 0;
}
