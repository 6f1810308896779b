#include "datapath/self_test_bench.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/endian.h"
#include "base/random.h"
#include "esp/decapsulate.h"
#include "esp/encapsulate.h"
#include "esp/finish.h"
#include "esp/size.h"
#include "net/checksum.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kHeadroom = 128;
constexpr uint32_t kTailroom = 128;
constexpr uint8_t kProtoExperiment = 253;  // RFC 3692: no layer above IP that anything knows
constexpr uint16_t kNatT = 4500;
constexpr uint16_t kWord = 8;

// 198.18.0.0/15 (RFC 2544) and 2001:db8::/32 (RFC 3849): addresses of no real host.
IpAddress HostOf(IpFamily family, uint8_t net, uint8_t host) {
  IpAddress address{};
  if (family == IpFamily::kV4) {
    const std::array<uint8_t, 4> v4 = {198, 18, net, host};
    std::copy(v4.begin(), v4.end(), address.bytes.begin());
  } else {
    const std::array<uint8_t, 4> v6 = {0x20, 0x01, 0x0d, 0xb8};
    std::copy(v6.begin(), v6.end(), address.bytes.begin());
    address.bytes[6] = net;
    address.bytes[15] = host;
  }
  return address;
}

KeyMaterial RandomKey(std::size_t bytes) {
  std::vector<uint8_t> key(bytes + kWord);
  for (std::size_t at = 0; at < bytes; at += kWord) {
    const uint64_t word = RandomWord();
    std::memcpy(key.data() + at, &word, kWord);
  }
  KeyMaterial material(std::span<const uint8_t>(key).first(bytes));
  SecureWipe(key.data(), key.size());
  return material;
}

void SetAlgorithms(const SelfTestCase& test, SaSpec* spec) {
  SaAlgorithm& encryption = test.auth == nullptr ? spec->aead : spec->pair.Change()->cipher;
  encryption.descriptor = test.encryption;
  const std::size_t key = test.key_bytes == 0 ? 0u : test.key_bytes + test.encryption->salt_bytes;
  encryption.key = RandomKey(key);
  SaAlgorithm& integrity = test.auth == nullptr ? spec->aead : spec->pair.Change()->auth;
  integrity.icv_bits = static_cast<uint16_t>(test.icv_bytes * 8);
  if (test.auth == nullptr) return;
  spec->pair.Change()->auth.descriptor = test.auth;
  spec->pair.Change()->auth.key = RandomKey(test.auth->key_bytes[0]);
}

SaSpec SpecOf(const SelfTestCase& test) {
  SaSpec spec;
  spec.saddr = HostOf(test.outer, 0, 1);
  spec.daddr = HostOf(test.outer, 0, 2);
  spec.family = test.outer;
  spec.proto = kProtoEsp;
  spec.spi = Spi(0x100u + (static_cast<uint32_t>(RandomWord()) & 0x7fffffff));
  spec.reqid = Reqid(1);
  spec.mode = test.sa_mode;
  spec.flags = test.esn ? kSaFlagEsn : uint8_t{0};
  Selector& selector = *spec.selector.Change();
  selector.family = test.inner;
  if (test.sa_mode == SaMode::kBeet) {
    selector.saddr = HostOf(test.inner, 1, 1);
    selector.daddr = HostOf(test.inner, 1, 2);
    selector.prefixlen_s = static_cast<uint8_t>(AddressBits(test.inner));
    selector.prefixlen_d = selector.prefixlen_s;
  }
  spec.replay.window = test.window;
  spec.replay.extended_form = true;
  spec.replay.bitmap.assign((test.window + 31) / 32, 0);
  if (test.encap) {
    UdpEncap encap;
    encap.sport = kNatT;
    encap.dport = kNatT;
    spec.encap = encap;
  }
  SetAlgorithms(test, &spec);
  return spec;
}

}  // namespace

SelfTestFrame::SelfTestFrame(uint32_t length) : memory_(kHeadroom + length + kTailroom) {
  packet.buffer = memory_.data();
  packet.SetCapacity(static_cast<uint32_t>(memory_.size()));
  packet.head = kHeadroom;
  packet.length = length;
  packet.l3_offset = kEthernetHeader;
}

SelfTestBench::SelfTestBench(const SelfTestCase& test, SaSpec spec, uint64_t iv_mask)
    : test_(test),
      spec_(std::move(spec)),
      out_(spec_, nullptr, iv_mask),
      in_(spec_, nullptr),
      random_(RandomWord() | 1) {}

std::unique_ptr<SelfTestBench> SelfTestBench::Make(const SelfTestCase& test,
                                                   const EngineSet& engines) {
  // Made by hand: the constructor is private.
  std::unique_ptr<SelfTestBench> bench(new SelfTestBench(test, SpecOf(test), RandomWord()));
  return bench->MakeSessions(engines) ? std::move(bench) : nullptr;
}

bool SelfTestBench::MakeSessions(const EngineSet& engines) {
  const auto number = engines.Find(EngineKind::kCpu, *test_.encryption, test_.auth);
  if (!number.has_value()) return false;
  CryptoEngine* engine = engines.engine(*number);
  auto seal = engine->CreateSession(esp::SessionFor(spec_, CryptoDirection::kSeal, 1));
  auto open = engine->CreateSession(esp::SessionFor(spec_, CryptoDirection::kOpen, 1));
  if (!seal || !open) return false;
  seal_ = *std::move(seal);
  open_ = *std::move(open);
  queue_ = engine->CreateQueue(0);
  return queue_ != nullptr;
}

// Payloads need not be secret.
uint64_t SelfTestBench::NextRandom() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return random_;
}

std::vector<uint32_t> SelfTestBench::Sizes() const {
  const uint32_t header = esp::IpHeaderOf(test_.inner);
  std::vector<uint32_t> sizes;
  if (test_.sizes == SelfTestSizes::kProbe) {
    sizes = {0, 17, 64};
  } else if (test_.sizes == SelfTestSizes::kShort) {
    sizes = {0, 1, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 255, 256};
  } else {
    for (uint32_t size = 0; size <= 64; ++size) sizes.push_back(size);
    for (const uint32_t block : {128u, 256u, 512u, 1024u}) {
      for (const uint32_t size : {block - 1, block, block + 1}) sizes.push_back(size);
    }
  }
  const uint32_t fits = esp::InnerMtu(out_, test_.mtu, header);
  std::erase_if(sizes, [&](uint32_t size) { return size + header + 2 >= fits; });
  if (test_.sizes == SelfTestSizes::kProbe || fits < header + 2) return sizes;
  for (const uint32_t less : {2u, 1u, 0u}) sizes.push_back(fits - header - less);
  return sizes;
}

SelfTestFrame SelfTestBench::Inner(uint32_t payload) {
  const uint32_t header = esp::IpHeaderOf(test_.inner);
  SelfTestFrame frame(kEthernetHeader + header + payload);
  uint8_t* ip = frame.packet.data() + kEthernetHeader;
  const bool v4 = test_.inner == IpFamily::kV4;
  StoreBe16(ip - 2, v4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  const bool ends = test_.sa_mode == SaMode::kTransport;  // of the SA itself
  const IpAddress saddr = ends ? spec_.saddr : HostOf(test_.inner, 1, 1);
  const IpAddress daddr = ends ? spec_.daddr : HostOf(test_.inner, 1, 2);
  if (v4) {
    ip[0] = 0x45;
    StoreBe16(ip + 2, static_cast<uint16_t>(header + payload));
    StoreBe16(ip + 4, static_cast<uint16_t>(NextRandom()));
    StoreBe16(ip + 6, 0x4000);
    ip[8] = 64;
    ip[9] = kProtoExperiment;
    std::memcpy(ip + 12, saddr.bytes.data(), 4);
    std::memcpy(ip + 16, daddr.bytes.data(), 4);
    WriteIpv4HeaderChecksum(ip);
  } else {
    ip[0] = 0x60;
    StoreBe16(ip + 4, static_cast<uint16_t>(payload));
    ip[6] = kProtoExperiment;
    ip[7] = 64;
    std::memcpy(ip + 8, saddr.bytes.data(), 16);
    std::memcpy(ip + 24, daddr.bytes.data(), 16);
  }
  for (uint32_t at = 0; at < payload; ++at) {
    ip[header + at] = static_cast<uint8_t>(NextRandom() >> 24);
  }
  return frame;
}

SelfTestFrame SelfTestBench::Built(const SelfTestFrame& inner, uint64_t seq) const {
  SelfTestFrame frame = inner;
  const auto ip = ParseIpPacket(frame.packet.l3());
  CYGNET_CHECK(ip.has_value());
  CYGNET_CHECK(esp::Encapsulate(out_, *ip, seq, test_.mtu, &frame.packet) == DropReason::kNone);
  return frame;
}

void SelfTestBench::Run(const esp::JobParams& params, SelfTestFrame* frame) const {
  Packet& packet = frame->packet;
  CryptoJob job;
  esp::BuildJob(params, packet.bytes().subspan(packet.offload.esp_offset), packet.offload.esn_high,
                &job);
  (void)queue_->Submit({&job, 1});  // a CPU engine accepts all jobs
  sound_ = sound_ && job.status == CryptoStatus::kOk;
}

SelfTestFrame SelfTestBench::Sealed(const SelfTestFrame& built) const {
  SelfTestFrame frame = built;
  Run(esp::ParamsOf(out_, seal_.get()), &frame);
  return frame;
}

void SelfTestBench::FinishOuter(SelfTestFrame* sealed) const {
  if (esp::NeedsUdpChecksum(out_)) esp::FinishUdpChecksum(out_, &sealed->packet);
}

SelfTestFrame SelfTestBench::Opened(const SelfTestFrame& sealed) const {
  SelfTestFrame frame = sealed;
  Run(esp::ParamsOf(in_, open_.get()), &frame);
  return frame;
}

SelfTestFrame SelfTestBench::Carried(const SelfTestFrame& opened) const {
  SelfTestFrame frame = opened;
  const auto outer = ParseIpPacket(frame.packet.l3());
  CYGNET_CHECK(outer.has_value());
  const uint32_t esp_offset = uint32_t{frame.packet.offload.esp_offset} - frame.packet.l3_offset;
  esp::Trailer trailer;
  DropReason reason = esp::ReadTrailer(in_, frame.packet, esp_offset, &trailer);
  if (reason == DropReason::kNone) {
    reason = esp::Decapsulate(in_, *outer, esp_offset, trailer, &frame.packet);
  }
  sound_ = sound_ && reason == DropReason::kNone;
  return frame;
}

}  // namespace cygnet
