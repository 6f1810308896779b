#include "conformance/esp_sample.h"

#include <algorithm>

#include "base/check.h"
#include "base/endian.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"

namespace cygnet::conformance {
namespace {

const AlgorithmDescriptor* Known(const char* name) {
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (name != nullptr && row.name == name) return &row;
  }
  return nullptr;
}

// The lengths of a row that the algorithm has; {0} if it has none of its own.
std::vector<uint16_t> LengthsOf(const uint16_t (&row)[8]) {
  std::vector<uint16_t> lengths;
  std::copy_if(std::begin(row), std::end(row), std::back_inserter(lengths),
               [](uint16_t n) { return n != 0; });
  if (lengths.empty()) lengths.push_back(0);
  return lengths;
}

void AddPairs(const cygnet_caps& caps, const AlgorithmDescriptor& cipher,
              const cygnet_algorithm_caps& row, std::vector<Choice>* out) {
  for (uint32_t i = 0; i < caps.algorithm_count; ++i) {
    const cygnet_algorithm_caps& auth_row = caps.algorithms[i];
    const AlgorithmDescriptor* auth = Known(auth_row.name);
    if (auth == nullptr || auth->kind != AlgorithmKind::kAuth) continue;
    for (const uint16_t key : LengthsOf(row.key_bytes)) {
      for (const uint16_t icv : LengthsOf(auth_row.icv_bytes)) {
        out->push_back(
            {&cipher, key, auth, LengthsOf(auth_row.key_bytes)[0], static_cast<uint8_t>(icv)});
      }
    }
  }
}

KeyMaterial MakeKey(std::size_t bytes, uint8_t first) {
  std::vector<uint8_t> key(bytes);
  for (std::size_t i = 0; i < bytes; ++i) key[i] = static_cast<uint8_t>(first + 7 * i);
  return KeyMaterial(key);
}

IpAddress Address(bool ipv6, uint8_t last) {
  constexpr std::array<uint8_t, 16> kV6 = {0x20, 0x01, 0x0d, 0xb8};
  constexpr std::array<uint8_t, 16> kV4 = {192, 0, 2};
  IpAddress address;
  address.bytes = ipv6 ? kV6 : kV4;
  address.bytes[ipv6 ? 15 : 3] = last;
  return address;
}

SaSpec MakeSpec(const Choice& choice, const SampleOptions& o) {
  SaSpec spec;
  spec.saddr = Address(o.ipv6, 1);
  spec.daddr = Address(o.ipv6, o.last_octet);
  spec.family = o.ipv6 ? IpFamily::kV6 : IpFamily::kV4;
  spec.spi = Spi(o.spi);
  spec.proto = kProtoEsp;
  spec.mode = o.mode;
  spec.flags = o.esn ? kSaFlagEsn : uint8_t{0};
  spec.replay.window = 64;
  spec.replay.extended_form = o.esn;
  if (o.udp_port != 0) {
    UdpEncap encap;
    encap.sport = encap.dport = o.udp_port;
    spec.encap = encap;
  }
  const bool aead = choice.auth == nullptr;
  SaAlgorithm& encryption = aead ? spec.aead : spec.pair.Change()->cipher;
  encryption.descriptor = choice.encryption;
  const auto first = static_cast<uint8_t>(o.spi * 31);
  encryption.key = MakeKey(std::size_t{choice.key_bytes} + choice.encryption->salt_bytes, first);
  (aead ? spec.aead : spec.pair.Change()->auth).icv_bits =
      static_cast<uint16_t>(choice.icv_bytes * 8);
  if (!aead) {
    spec.pair.Change()->auth.descriptor = choice.auth;
    spec.pair.Change()->auth.key = MakeKey(choice.auth_key_bytes, static_cast<uint8_t>(first + 1));
  }
  return spec;
}

void WriteIp(Bytes* frame, const SaSpec& spec, bool ipv6, uint8_t proto) {
  uint8_t* at = frame->data();
  const std::size_t total = frame->size() - kEthernetHeader;
  std::fill(at, at + 12, uint8_t{2});
  StoreBe16(at + 12, ipv6 ? kEtherTypeIpv6 : kEtherTypeIpv4);
  uint8_t* ip = at + kEthernetHeader;
  ip[0] = ipv6 ? 0x60 : 0x45;
  if (ipv6) {
    StoreBe16(ip + 4, static_cast<uint16_t>(total - 40));
    ip[6] = proto;
    ip[7] = 64;
    std::copy(spec.saddr.bytes.begin(), spec.saddr.bytes.end(), ip + 8);
    std::copy(spec.daddr.bytes.begin(), spec.daddr.bytes.end(), ip + 24);
    return;
  }
  StoreBe16(ip + 2, static_cast<uint16_t>(total));
  ip[8] = 64;
  ip[9] = proto;
  std::copy(spec.saddr.bytes.begin(), spec.saddr.bytes.begin() + 4, ip + 12);
  std::copy(spec.daddr.bytes.begin(), spec.daddr.bytes.begin() + 4, ip + 16);
  WriteIpv4HeaderChecksum(ip);
}

std::unique_ptr<CryptoEngine> Reference() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return info->create({});
  }
  return nullptr;
}

}  // namespace

std::string Choice::Text() const {
  std::string text = std::string(encryption->name) + ", key " + std::to_string(key_bytes);
  if (auth != nullptr) text += ", " + std::string(auth->name);
  return text + ", ICV " + std::to_string(icv_bytes);
}

std::vector<Choice> ChoicesOf(const cygnet_caps& caps) {
  std::vector<Choice> choices;
  for (uint32_t i = 0; i < caps.algorithm_count; ++i) {
    const cygnet_algorithm_caps& row = caps.algorithms[i];
    const AlgorithmDescriptor* known = Known(row.name);
    if (known == nullptr || known->kind == AlgorithmKind::kAuth) continue;
    if (known->kind == AlgorithmKind::kCipher) {
      AddPairs(caps, *known, row, &choices);
      continue;
    }
    for (const uint16_t key : LengthsOf(row.key_bytes)) {
      for (const uint16_t icv : LengthsOf(row.icv_bytes)) {
        choices.push_back({known, key, nullptr, 0, static_cast<uint8_t>(icv)});
      }
    }
  }
  return choices;
}

EspSample::EspSample(const Choice& choice, const SampleOptions& options)
    : spec_(MakeSpec(choice, options)),
      ipv6_(options.ipv6),
      layout_(LayoutOf(spec_)),
      engine_(Reference()) {
  const auto make = [this](CryptoDirection direction) {
    auto session = engine_->CreateSession(esp::SessionFor(spec_, direction, 1));
    CYGNET_CHECK(session.has_value());  // the reference has every algorithm of the table
    return *std::move(session);
  };
  seal_ = make(CryptoDirection::kSeal);
  open_ = make(CryptoDirection::kOpen);
  queue_ = engine_->CreateQueue(0);
}

std::size_t EspSample::Rounded(std::size_t text_bytes) const {
  const std::size_t align = layout_.align;
  return (std::max<std::size_t>(text_bytes, 2) + align - 1) / align * align;
}

Bytes EspSample::Readable(uint64_t seq, std::size_t text_bytes) const {
  const std::size_t text = Rounded(text_bytes);
  const std::size_t front = esp_offset() + kEspHeader + layout_.iv;
  Bytes frame(front + text + layout_.icv);
  WriteIp(&frame, spec_, ipv6_, kProtoEsp);
  uint8_t* esp = frame.data() + esp_offset();
  StoreBe32(esp, spec_.spi.value);
  StoreBe32(esp + 4, static_cast<uint32_t>(seq));
  for (uint32_t i = 0; i < layout_.iv; ++i) {
    esp[kEspHeader + i] = static_cast<uint8_t>(seq >> (8 * (i % 8))) ^ static_cast<uint8_t>(i);
  }
  for (std::size_t i = 0; i < text; ++i) frame[front + i] = static_cast<uint8_t>(seq + i);
  return frame;
}

CryptoStatus EspSample::RunJob(CryptoSession* session, CryptoDirection direction,
                               std::span<uint8_t> esp, uint32_t esn_high) const {
  const esp::JobParams params{.layout = layout_,
                              .salt = SaltOf(spec_),
                              .esn = spec_.esn(),
                              .direction = direction,
                              .session = session};
  CryptoJob job;
  esp::BuildJob(params, esp, esn_high, &job);
  (void)queue_->Submit({&job, 1});
  return job.status;
}

Bytes EspSample::Seal(Bytes frame, uint64_t seq) const {
  const auto esp = std::span(frame).subspan(esp_offset());
  const auto status =
      RunJob(seal_.get(), CryptoDirection::kSeal, esp, static_cast<uint32_t>(seq >> 32));
  CYGNET_CHECK(status == CryptoStatus::kOk);
  return frame;
}

Bytes EspSample::Sealed(uint64_t seq, std::size_t text_bytes) const {
  return Seal(Readable(seq, text_bytes), seq);
}

Bytes EspSample::SealedTunnel(uint64_t seq, const Bytes& inner) const {
  constexpr std::size_t kTrailer = 2;
  Bytes frame = Readable(seq, inner.size() + kTrailer);
  uint8_t* text = frame.data() + esp_offset() + kEspHeader + layout_.iv;
  const std::size_t padding = Rounded(inner.size() + kTrailer) - inner.size() - kTrailer;
  uint8_t* at = std::copy(inner.begin(), inner.end(), text);
  for (std::size_t i = 0; i < padding; ++i) *at++ = static_cast<uint8_t>(i + 1);
  *at++ = static_cast<uint8_t>(padding);
  *at = kProtoIpip;
  return Seal(std::move(frame), seq);
}

std::optional<EspSample::Opened> EspSample::OpenTunnel(const Bytes& frame) const {
  const std::size_t offset = esp_offset() + std::size_t{layout_.udp};
  const std::size_t front = offset + kEspHeader + layout_.iv;
  if (frame.size() < front + 2u + layout_.icv) return std::nullopt;
  Bytes copy = frame;
  Opened opened{.spi = LoadBe32(&copy[offset]), .seq = LoadBe32(&copy[offset + 4])};
  if (layout_.iv >= 8) {
    const uint8_t* iv = &copy[offset + kEspHeader];
    opened.iv = uint64_t{LoadBe32(iv)} << 32 | LoadBe32(iv + 4);
  }
  const auto status =
      RunJob(open_.get(), CryptoDirection::kOpen, std::span(copy).subspan(offset), 0);
  if (opened.spi != spec_.spi.value || status != CryptoStatus::kOk) return std::nullopt;
  const auto end = copy.end() - layout_.icv;
  const std::size_t padding = end[-2];
  if (end[-1] != kProtoIpip || copy.size() < front + layout_.icv + 2u + padding)
    return std::nullopt;
  opened.inner.assign(copy.begin() + static_cast<std::ptrdiff_t>(front),
                      end - 2 - static_cast<std::ptrdiff_t>(padding));
  return opened;
}

Bytes EspSample::TextOf(const Bytes& frame) const {
  const std::size_t front = esp_offset() + kEspHeader + layout_.iv;
  if (frame.size() < front + layout_.icv) return {};
  return {frame.begin() + static_cast<std::ptrdiff_t>(front), frame.end() - layout_.icv};
}

Bytes ClearFrame(std::size_t payload) {
  const SaSpec spec = [] {
    SaSpec s;
    s.saddr = Address(false, 1);
    s.daddr = Address(false, 9);
    return s;
  }();
  Bytes frame(kEthernetHeader + 28 + payload, 0x5a);
  WriteIp(&frame, spec, false, kProtoUdp);
  return frame;
}

}  // namespace cygnet::conformance
