#include "device/sim_nic/sim_nic_lies.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>

namespace cygnet {
namespace {

enum class Wrong : uint8_t { kHighWord, kText, kReplay };

struct Row {
  std::string_view word;  // as CheckCapabilities names it
  Wrong wrong;
  bool (*concerns)(const CardRequest& r);
};

constexpr Row kRows[] = {
    {"esn", Wrong::kHighWord, [](const CardRequest& r) { return r.esn; }},
    {"replay", Wrong::kReplay, [](const CardRequest& r) { return r.inbound; }},
    {"transport", Wrong::kText,
     [](const CardRequest& r) { return r.sa_mode == SaMode::kTransport; }},
    {"tunnel", Wrong::kText, [](const CardRequest& r) { return r.sa_mode == SaMode::kTunnel; }},
    {"beet", Wrong::kText, [](const CardRequest& r) { return r.sa_mode == SaMode::kBeet; }},
    {"ipv4", Wrong::kText, [](const CardRequest& r) { return r.family == IpFamily::kV4; }},
    {"ipv6", Wrong::kText, [](const CardRequest& r) { return r.family == IpFamily::kV6; }},
    {"inbound", Wrong::kText, [](const CardRequest& r) { return r.inbound; }},
    {"outbound", Wrong::kText, [](const CardRequest& r) { return !r.inbound; }},
    {"udp-encapsulation", Wrong::kText, [](const CardRequest& r) { return r.encap_type != 0; }},
    {"crypto-offload", Wrong::kText,
     [](const CardRequest& r) { return r.mode == OffloadMode::kCrypto; }},
    {"packet-offload", Wrong::kText,
     [](const CardRequest& r) { return r.mode == OffloadMode::kPacket; }},
};

const Row* RowOf(std::string_view word) {
  const auto* row = std::find_if(std::begin(kRows), std::end(kRows),
                                 [&](const Row& r) { return r.word == word; });
  return row == std::end(kRows) ? nullptr : row;
}

// "icv-64" with `what` "icv-": 64.
std::optional<uint32_t> BitsOf(std::string_view word, std::string_view what) {
  if (!word.starts_with(what)) return std::nullopt;
  word.remove_prefix(what.size());
  uint32_t bits = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), bits);
  const bool whole = error == std::errc{} && end == word.data() + word.size();
  return whole && bits > 0 ? std::optional(bits) : std::nullopt;
}

// Without the salt.
uint32_t KeyBits(const CardRequest& r) {
  const uint32_t salt = r.encryption != nullptr ? r.encryption->salt_bytes * 8u : 0u;
  return r.key_bits > salt ? r.key_bits - salt : 0u;
}

bool Is(const AlgorithmDescriptor* algorithm, std::string_view word) {
  return algorithm != nullptr && algorithm->name == word;
}

void AddLie(std::string_view word, const CardRequest& r, SaLies* lies) {
  if (const Row* row = RowOf(word)) {
    if (!row->concerns(r)) return;
    lies->high_word = lies->high_word || row->wrong == Wrong::kHighWord;
    lies->text = lies->text || row->wrong == Wrong::kText;
    lies->replay = lies->replay || row->wrong == Wrong::kReplay;
  } else if (const auto icv = BitsOf(word, "icv-")) {
    const bool has = *icv == (r.aead ? r.icv_bits : r.auth_icv_bits);
    lies->icv = lies->icv || has;
    lies->icv_unchecked = lies->icv_unchecked || has;
  } else {
    const auto key = BitsOf(word, "key-");
    const bool has =
        key.has_value() ? *key == KeyBits(r) : Is(r.encryption, word) || Is(r.authentication, word);
    lies->icv = lies->icv || has;
    lies->refuses = lies->refuses || has;
  }
}

// Of an encryption, without the salt: an authentication key is not one of the capabilities.
std::set<uint32_t> KeyLengths() {
  std::set<uint32_t> bits;
  for (const AlgorithmDescriptor& row : AllAlgorithms()) {
    if (row.kind == AlgorithmKind::kAuth) continue;
    for (const uint16_t bytes : row.key_bytes) bits.insert(bytes * 8u);
  }
  bits.erase(0);
  return bits;
}

bool IsIcvLength(uint32_t bits) {
  const auto all = AllAlgorithms();
  return bits % 8 == 0 && std::any_of(all.begin(), all.end(),
                                      [bits](const auto& row) { return row.AcceptsIcv(bits / 8); });
}

}  // namespace

std::string LieForms() {
  std::string forms;
  for (const Row& row : kRows) forms += std::string(row.word) + ", ";
  for (const uint32_t bits : KeyLengths()) forms += "key-" + std::to_string(bits) + ", ";
  forms += "icv-BITS (8 to 512, whole bytes), or an algorithm:";
  for (const AlgorithmDescriptor& row : AllAlgorithms()) forms += " " + std::string(row.name);
  return forms;
}

bool IsLie(std::string_view word) {
  if (RowOf(word) != nullptr) return true;
  if (const auto bits = BitsOf(word, "key-")) return KeyLengths().contains(*bits);
  if (const auto bits = BitsOf(word, "icv-")) return IsIcvLength(*bits);
  const auto all = AllAlgorithms();
  return std::any_of(all.begin(), all.end(),
                     [&](const AlgorithmDescriptor& row) { return row.name == word; });
}

SaLies LiesAbout(std::span<const std::string> words, const CardRequest& request) {
  SaLies lies;
  for (const std::string& word : words) AddLie(word, request, &lies);
  return lies;
}

}  // namespace cygnet
