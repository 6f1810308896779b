#include "daemon/store/record_anchor.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cstdio>
#include <optional>
#include <utility>

#include "daemon/store/ledger_line.h"

namespace cygnet {
namespace {

constexpr std::size_t kBootSize = 36;

struct Note {
  std::string boot;
  RecordPoint one;
  RecordPoint other;
};

std::string BootOfThisHost() {
  const std::string boot = StampOfThisHost().boot;
  return boot.empty() ? "-" : boot;
}

void AddHex(uint64_t value, int digits, std::string* text) {
  for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4) {
    text->push_back("0123456789abcdef"[value >> shift & 15]);
  }
}

// All notes have the same length, so that one write replaces the previous note. Each change of a
// client writes one: snprintf would take longer than the rest of it.
std::string TextOf(const Note& note) {
  std::string text = note.boot.substr(0, kBootSize);
  text.resize(kBootSize, ' ');
  for (const RecordPoint& point : {note.one, note.other}) {
    text += ' ';
    AddHex(point.end, 16, &text);
    text += ' ';
    AddHex(point.checksum, 8, &text);
  }
  return text + '\n';
}

std::optional<Note> Parse(const std::string& text) {
  Note note;
  std::array<char, kBootSize + 1> boot{};
  const int fields =
      std::sscanf(text.c_str(), "%36s %zx %" SCNx32 " %zx %" SCNx32, boot.data(), &note.one.end,
                  &note.one.checksum, &note.other.end, &note.other.checksum);
  note.boot = boot.data();
  if (fields != 5 || TextOf(note) != text) return std::nullopt;
  return note;
}

}  // namespace

RecordAnchor::RecordAnchor(std::string path, WriterLock* lock)
    : path_(std::move(path)), boot_(BootOfThisHost()), lock_(lock) {}

std::string RecordAnchor::Judge(const RecordScan* scan) const {
  const std::string text = lock_->Note();
  const std::string name = path_ + ".lock";
  const std::optional<Note> note = Parse(text);
  if (scan == nullptr) {
    return note && note->boot == boot_ ? "it is missing, but " + name + " records that it existed"
                                       : std::string();
  }
  if (!note)
    return name +
           " does not record how far the file got: one of the two may belong to another file";
  if (note->boot != boot_) return {};
  const bool got_there = std::any_of(
      scan->points.begin(), scan->points.end(),
      [&](const RecordPoint& point) { return point == note->one || point == note->other; });
  return got_there ? std::string()
                   : "it is an older copy, or another file: " + name +
                         " lists records that are not in it";
}

Status RecordAnchor::Announce(const RecordPoint& now, const RecordPoint& next) {
  return Say(now, next, Behind::kIsCut);
}

// For each change of a client. Keep finds what somebody else wrote behind the note.
void RecordAnchor::Reached(const RecordPoint& now) { (void)Say(now, now, Behind::kStays); }

bool RecordAnchor::Keep() {
  const std::string found = lock_->Note();
  if (said_.empty() || found == said_) return false;
  const bool was_changed = is_written_ && !found.empty();  // an empty one is new
  is_written_ = lock_->SetNote(said_).has_value();
  return was_changed;
}

Status RecordAnchor::Say(const RecordPoint& one, const RecordPoint& other, Behind behind) {
  said_ = TextOf({.boot = boot_, .one = one, .other = other});
  Status written = behind == Behind::kIsCut ? lock_->SetNote(said_) : lock_->ReplaceNote(said_);
  is_written_ = written.has_value();
  return written;
}

}  // namespace cygnet
