#include "base/log_limiter.h"

#include <algorithm>
#include <iterator>

namespace cygnet {
namespace {

constexpr std::size_t kLettersOfKind = 64;
constexpr std::size_t kExampleBytes = 160;

// Digits of hexadecimal numbers look like letters, so a word that contains a digit does not count.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool EndsWord(char c) { return c == ' ' || c == ',' || c == ';' || c == '(' || c == ')'; }

}  // namespace

uint64_t LogLimiter::KindOf(std::string_view text) {
  uint64_t hash = 14695981039346656037u;  // FNV-1a
  std::size_t letters = 0;
  while (!text.empty() && letters < kLettersOfKind) {
    const auto end = std::find_if(text.begin(), text.end(), EndsWord);
    const std::string_view word(text.data(), static_cast<std::size_t>(end - text.begin()));
    text.remove_prefix(std::min(text.size(), word.size() + 1));
    if (std::any_of(word.begin(), word.end(), IsDigit)) continue;
    letters += word.size();
    for (const char c : word) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    hash = (hash ^ ' ') * 1099511628211u;
  }
  return hash;
}

void LogLimiter::Refill(Kind* kind, uint64_t now_ns) {
  const uint64_t more = (now_ns - kind->filled_ns) / kRefillNs;
  if (more == 0) return;
  kind->tokens = static_cast<uint32_t>(std::min<uint64_t>(kBurst, kind->tokens + more));
  kind->filled_ns += more * kRefillNs;
}

bool LogLimiter::Admit(std::string_view text, uint64_t now_ns) {
  uint64_t key = KindOf(text);
  if (kinds_.size() >= kMostKinds && !kinds_.contains(key)) {
    // Forget the kinds that have been quiet long enough: their buckets are full again.
    for (auto at = kinds_.begin(); at != kinds_.end();) {
      Refill(&at->second, now_ns);
      const bool as_new = at->second.tokens == kBurst && at->second.left_out == 0;
      at = as_new ? kinds_.erase(at) : std::next(at);
    }
    if (kinds_.size() >= kMostKinds) key = 0;
  }
  const auto [at, is_new] = kinds_.try_emplace(key);
  Kind& kind = at->second;
  if (is_new) kind.filled_ns = now_ns;
  Refill(&kind, now_ns);
  if (kind.tokens > 0) {
    --kind.tokens;
    return true;
  }
  ++kind.left_out;
  kind.example.assign(text.substr(0, kExampleBytes));
  return false;
}

std::vector<LogLimiter::LeftOut> LogLimiter::TakeLeftOut(uint64_t now_ns) {
  std::vector<LeftOut> result;
  for (auto& [key, kind] : kinds_) {
    if (kind.left_out == 0) continue;
    Refill(&kind, now_ns);
    if (kind.tokens == 0) continue;
    result.push_back({kind.left_out, std::move(kind.example)});
    kind.left_out = 0;
    kind.example.clear();
  }
  return result;
}

}  // namespace cygnet
