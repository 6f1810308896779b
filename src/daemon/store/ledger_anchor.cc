#include "daemon/store/ledger_anchor.h"

#include <array>
#include <cinttypes>
#include <cstdio>

namespace cygnet {
namespace {

// All notes have the same length, so that one write replaces the previous note.
std::string NoteText(const std::string& boot, const ChainHead& head) {
  std::array<char, 160> text{};
  std::snprintf(text.data(), text.size(), "%-36.36s %016" PRIx64 " %s\n",
                boot.empty() ? "-" : boot.c_str(), head.number, HexText(head.hash).c_str());
  return text.data();
}

}  // namespace

std::optional<LedgerAnchor::Mark> LedgerAnchor::Read() const {
  const std::string text = lock_->Note();
  std::array<char, 37> boot{};
  std::array<char, 65> hash{};
  Mark mark;
  const int fields = std::sscanf(text.c_str(), "%36s %" SCNx64 " %64s", boot.data(),
                                 &mark.head.number, hash.data());
  if (fields != 3 || !ReadHex(hash.data(), mark.head.hash.data(), mark.head.hash.size()) ||
      mark.head.number > kMaxChainNumber || NoteText(boot.data(), mark.head) != text) {
    return std::nullopt;
  }
  mark.this_boot = boot_ == boot.data();
  return mark;
}

void LedgerAnchor::Reached(const ChainHead& head) {
  std::string text = NoteText(boot_, head);
  if (text == said_ && lock_->Note() == said_) return;
  if (lock_->SetNote(text)) said_ = std::move(text);
}

}  // namespace cygnet
