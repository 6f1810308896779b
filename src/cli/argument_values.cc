#include "cli/argument_values.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <utility>

#include "chain/chain_check.h"
#include "chain/utc_time.h"
#include "cli/suggest.h"

namespace cygnet {
namespace {

// Of `--watch`, `top --delay`: shorter would burden the daemon.
constexpr double kMinSeconds = 0.1;
constexpr double kMaxSeconds = 86'400;

std::string NameOf(const Keyword& keyword) {
  return std::string(keyword.word.empty() ? keyword.value : keyword.word);
}

[[noreturn]] void Fail(const Keyword& keyword, std::string_view text, std::string_view expected) {
  throw UsageError{fmt::format("{}: \"{}\" is not {}", NameOf(keyword), text, expected)};
}

uint64_t ReadNumber(const Keyword& keyword, std::string_view text) {
  std::string_view digits = text;
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  if (hex) digits.remove_prefix(2);
  uint64_t value = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, value, hex ? 16 : 10);
  if (error == std::errc() && stop == end && value >= keyword.min && value <= keyword.max) {
    return value;
  }
  Fail(keyword, text, fmt::format("a number from {} to {}", keyword.min, keyword.max));
}

double ReadSeconds(const Keyword& keyword, std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  const bool in_range = std::isfinite(value) && value >= kMinSeconds && value <= kMaxSeconds;
  if (error == std::errc() && stop == end && in_range) return value;
  Fail(keyword, text, fmt::format("a number of seconds from {} to {}", kMinSeconds, kMaxSeconds));
}

std::string ReadAddress(const Keyword& keyword, std::string_view text) {
  std::string address(text);
  std::array<uint8_t, 16> bytes;
  if (inet_pton(AF_INET, address.c_str(), bytes.data()) == 1 ||
      inet_pton(AF_INET6, address.c_str(), bytes.data()) == 1) {
    return address;
  }
  Fail(keyword, text, "an IP address");
}

uint64_t ReadProtocol(const Keyword& keyword, std::string_view text) {
  constexpr std::pair<std::string_view, uint8_t> kNames[] = {
      {"icmp", 1}, {"tcp", 6}, {"udp", 17}, {"gre", 47}, {"icmpv6", 58}, {"sctp", 132}};
  for (const auto& [name, number] : kNames) {
    if (name == text) return number;
  }
  Keyword number = keyword;
  number.max = 255;
  return ReadNumber(number, text);
}

std::string ReadChoice(const Keyword& keyword, std::string_view text) {
  const std::vector<std::string_view> choices = ChoicesOf(keyword);
  if (std::find(choices.begin(), choices.end(), text) != choices.end()) return std::string(text);
  // Without a word of its own the keyword has no other name than its choices.
  const std::string name = keyword.word.empty() ? "" : NameOf(keyword) + ": ";
  throw UsageError{fmt::format("{}must be {}, not \"{}\"", name, OneOfText(choices), text)};
}

// "2026-11-28", "2026-11-28T17:58" or more. `rest`: what follows an unsaid part.
uint64_t ReadTime(const Keyword& keyword, std::string_view text, std::string_view rest) {
  std::string whole(text);
  if (whole.ends_with('Z')) whole.pop_back();
  if (whole.size() == 10 || whole.size() == 16 || whole.size() == 19) {
    whole += rest.substr(whole.size() - 10);
  } else {
    whole += 'Z';
  }
  if (const auto time = ParseUtc(whole)) return *time;
  Fail(keyword, text, "a time in UTC like 2026-11-28 or 2026-11-28T17:58:14");
}

std::string ReadPublicKey(const Keyword& keyword, std::string_view text) {
  ChainHash bytes;
  if (ReadHex(text, bytes.data(), bytes.size())) return std::string(text);
  Fail(keyword, text, "a public key: 64 lower-case hexadecimal digits");
}

// HASH@N, as the audit trail has it.
Json ReadChainHead(const Keyword& keyword, std::string_view text) {
  const std::size_t at = text.find('@');
  ChainHash hash;
  if (at == std::string_view::npos || !ReadHex(text.substr(0, at), hash.data(), hash.size())) {
    Fail(keyword, text, "HASH@RECORD, as in the audit trail");
  }
  Keyword number = keyword;
  number.min = 1;
  number.max = kMaxChainNumber;
  return {{"hash", text.substr(0, at)}, {"record", ReadNumber(number, text.substr(at + 1))}};
}

std::string ReadWiresharkInterface(std::string_view text) {
  constexpr std::string_view kPrefix = "cygnet-";
  if (text.starts_with(kPrefix)) return std::string(text.substr(kPrefix.size()));
  throw UsageError{fmt::format("extcap: \"{}\" is not one of Cygnet's interfaces", text)};
}

}  // namespace

std::vector<std::string_view> ChoicesOf(const Keyword& keyword) {
  std::vector<std::string_view> choices;
  std::string_view rest = keyword.value;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('|'), rest.size());
    choices.push_back(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return choices;
}

bool IsDecimal(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
}

Json ReadValue(const Keyword& keyword, std::string_view text) {
  switch (keyword.kind) {
    case Kind::kFlag:
      return true;
    case Kind::kNumber:
    case Kind::kSpi:
      return ReadNumber(keyword, text);
    case Kind::kSeconds:
      return ReadSeconds(keyword, text);
    case Kind::kAddress:
      return ReadAddress(keyword, text);
    case Kind::kProtocol:
      return ReadProtocol(keyword, text);
    case Kind::kOneOf: {
      const std::string choice = ReadChoice(keyword, text);
      return keyword.as_json != nullptr ? keyword.as_json(choice) : Json(choice);
    }
    case Kind::kTime:
      return ReadTime(keyword, text, "T00:00:00.000Z");
    case Kind::kTimeEnd:
      return ReadTime(keyword, text, "T23:59:59.999Z");
    case Kind::kPublicKey:
      return ReadPublicKey(keyword, text);
    case Kind::kChainHead:
      return ReadChainHead(keyword, text);
    case Kind::kWiresharkInterface:
      return ReadWiresharkInterface(text);
    case Kind::kDevice:
    case Kind::kSwitchable:
    case Kind::kHolder:
    case Kind::kAlgorithm:
    case Kind::kGroup:
    case Kind::kNode:
    case Kind::kFile:
    case Kind::kText:
      break;
  }
  if (text.empty()) throw UsageError{fmt::format("\"{}\" needs a value", NameOf(keyword))};
  return std::string(text);
}

void FailUnknownObject(std::string_view word) {
  std::vector<std::string_view> words;
  for (const ObjectRow* row : ObjectRows()) {
    if (!row->is_hidden) words.push_back(row->word);
  }
  throw UsageError{fmt::format("unknown object \"{}\"; {}", word,
                               DidYouMean(word, words, "try \"cygnet help\""))};
}

}  // namespace cygnet
