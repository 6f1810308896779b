#include "daemon/store/ledger_restore.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/text_file.h"
#include "daemon/store/ledger_line.h"

namespace cygnet {
namespace {

constexpr const char* kNoWord = "cygnetd ended unexpectedly; keys in its memory are gone";

}  // namespace

LedgerPast LedgerRestore::Run(const std::vector<std::string>& files,
                              const std::optional<LedgerAnchor::Mark>& mark) {
  LedgerPast past;
  if (mark) check_.Expect(mark->head);
  for (const std::string& path : files) {
    const auto text = ReadOwnFile(path);
    if (text) {
      TakeFile(path, *text);
      past.ends_in_line = text->empty() || text->back() == '\n';
    } else if (text.error().code != Errc::kNoEntry) {
      Log(LogLevel::kError, "ledger: cannot read: " + text.error().message);
    } else {
      past.ends_in_line = true;
    }
  }
  EndHeld(now_ms_);
  past.torn = past.ends_in_line ? "" : check_.torn();
  past.last_key = check_.last_key();
  past.head = check_.head();
  Judge(mark, &past);
  return past;
}

void LedgerRestore::EndHeld(uint64_t time_ms) {
  for (auto& [number, entry] : held_) {
    entry.until_ms = time_ms;
    entry.note = kNoWord;
    ledger_->Restore(entry);
  }
  held_.clear();
}

void LedgerRestore::TakeFile(const std::string& path, std::string_view text) {
  check_.Take(path, text);
  damaged_ = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    if (end > at) TakeLine(text.substr(at, end - at));
    at = end + 1;
  }
  if (damaged_ == 0) return;
  Log(LogLevel::kWarning, "ledger: " + path + ": " + std::to_string(damaged_) +
                              " lines are truncated, changed, or not written by cygnetd");
}

void LedgerRestore::TakeLine(std::string_view line) {
  auto parsed = ParseLedgerLine(line);
  if (!parsed.has_value()) {
    if (!IsNote(line, &known_)) ++damaged_;
  } else if (const auto* placement = std::get_if<PlacementEntry>(&*parsed)) {
    ledger_->Restore(*placement);
  } else if (auto* key = std::get_if<LedgerKeyLine>(&*parsed)) {
    if (key->entry.until_ms == 0) {
      held_[key->number] = key->entry;
    } else {
      held_.erase(key->number);
      ledger_->Restore(key->entry);
    }
  } else if (const auto* run = std::get_if<LedgerRunLine>(&*parsed); run != nullptr && run->start) {
    EndHeld(run->time_ms);  // numbers start again
  }
}

// Each is told once: by the daemon that finds it first, which writes it into the ledger.
void LedgerRestore::AddFound(std::string text, LedgerPast* past) const {
  const bool is_told = known_.find(text) != std::string::npos ||
                       std::find(past->found.begin(), past->found.end(), text) != past->found.end();
  if (!is_told) past->found.push_back(std::move(text));
}

void LedgerRestore::Judge(const std::optional<LedgerAnchor::Mark>& mark, LedgerPast* past) const {
  for (const ChainFinding& problem : check_.verdict().problems) AddFound(problem.text, past);
  if (past->head.number != 0 && !mark) {
    AddFound("the lock file does not say how far the ledger got before record " +
                 std::to_string(past->head.number + 1),
             past);
  }
  if (!mark || mark->head.number <= past->head.number) return;
  // The chain goes on from there, so that the gap stays visible.
  AddFound(MissingText(past->head.number + 1, mark->head.number) + ": the ledger had got there" +
               (mark->this_boot ? "; its end was cut off, or it is an older copy"
                                : "; a power loss took them, or its end was cut off, or it is an "
                                  "older copy"),
           past);
  past->head = mark->head;
}

}  // namespace cygnet
