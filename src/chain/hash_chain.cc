#include "chain/hash_chain.h"

#include <openssl/evp.h>

#include <charconv>

#include "base/check.h"
#include "base/crc32c.h"

namespace cygnet {
namespace {

constexpr std::string_view kNumberField = ",\"n\":";
constexpr std::string_view kChainField = ",\"chain\":\"";
constexpr std::string_view kChecksumField = ",\"crc\":\"";
constexpr std::size_t kHashDigits = 64;
constexpr std::size_t kChecksumDigits = 8;
constexpr std::string_view kEnd = "\"}";

int DigitOf(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::string ChecksumText(std::string_view text) {
  const uint32_t sum = Crc32c({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  const uint8_t bytes[] = {static_cast<uint8_t>(sum >> 24), static_cast<uint8_t>(sum >> 16),
                           static_cast<uint8_t>(sum >> 8), static_cast<uint8_t>(sum)};
  return HexText(bytes, sizeof(bytes));
}

}  // namespace

std::string HexText(const uint8_t* bytes, std::size_t size) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * size);
  for (std::size_t i = 0; i < size; ++i) {
    text += kDigits[bytes[i] >> 4];
    text += kDigits[bytes[i] & 15];
  }
  return text;
}

bool ReadHex(std::string_view text, uint8_t* bytes, std::size_t size) {
  if (text.size() != 2 * size) return false;
  for (std::size_t i = 0; i < size; ++i) {
    const int high = DigitOf(text[2 * i]);
    const int low = DigitOf(text[2 * i + 1]);
    if (high < 0 || low < 0) return false;
    bytes[i] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

ChainHash Sha256(std::string_view text) {
  ChainHash hash;
  const int done =
      EVP_Digest(text.data(), text.size(), hash.data(), nullptr, EVP_sha256(), nullptr);
  CYGNET_CHECK(done == 1);
  return hash;
}

ChainHash HashBehind(const ChainHash& before, std::string_view covered) {
  std::string bytes;
  bytes.reserve(before.size() + covered.size());
  bytes.assign(before.begin(), before.end());
  bytes += covered;
  return Sha256(bytes);
}

std::string WithChecksum(std::string_view open) {
  std::string text(open);
  text += kChecksumField;
  text += ChecksumText(open);
  text += kEnd;
  return text;
}

Checksum ChecksumOf(std::string_view line) {
  const std::size_t at = line.rfind(kChecksumField);
  if (at == std::string_view::npos) return Checksum::kNone;
  const std::string_view rest = line.substr(at + kChecksumField.size());
  const bool right = rest.size() == kChecksumDigits + kEnd.size() && rest.ends_with(kEnd) &&
                     rest.substr(0, kChecksumDigits) == ChecksumText(line.substr(0, at));
  return right ? Checksum::kRight : Checksum::kWrong;
}

std::string Linked(std::string_view line, ChainHead* head) {
  std::string text(line.substr(0, line.rfind(kChecksumField)));
  text += kNumberField;
  text += std::to_string(++head->number);
  head->hash = HashBehind(head->hash, text);
  text += kChainField;
  text += HexText(head->hash);
  text += '"';
  return WithChecksum(text);
}

std::string LinkedLines(std::string_view lines, ChainHead* head) {
  std::string linked;
  while (!lines.empty()) {
    const std::size_t end = lines.find('\n');
    const std::string_view line = lines.substr(0, end);
    if (!line.empty()) linked += Linked(line, head);
    linked += '\n';
    lines.remove_prefix(line.size() + (end == std::string_view::npos ? 0 : 1));
  }
  return linked;
}

std::optional<LineLink> FindLink(std::string_view line) {
  constexpr std::size_t kTail = kHashDigits + 1 + kChecksumField.size() + kChecksumDigits;
  const std::size_t at = line.rfind(kChainField);
  if (at == std::string_view::npos) return std::nullopt;
  const std::string_view tail = line.substr(at + kChainField.size());
  LineLink link{.head = {}, .covered = line.substr(0, at)};
  const std::size_t number = link.covered.rfind(kNumberField);
  const bool ends_in_it = tail.size() == kTail + kEnd.size() && tail.ends_with(kEnd) &&
                          tail.substr(kHashDigits + 1).starts_with(kChecksumField) &&
                          tail[kHashDigits] == '"' && number != std::string_view::npos;
  if (!ends_in_it || !ReadHex(tail.substr(0, kHashDigits), link.head.hash.data(), 32)) {
    return std::nullopt;
  }
  const std::string_view digits = link.covered.substr(number + kNumberField.size());
  const auto [stop, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), link.head.number);
  if (error != std::errc() || stop != digits.data() + digits.size() || link.head.number == 0 ||
      link.head.number > kMaxChainNumber) {
    return std::nullopt;
  }
  return link;
}

}  // namespace cygnet
