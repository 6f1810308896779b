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

// All notes have the same length, so that one write replaces the previous note.
std::string TextOf(const Note& note) {
  std::array<char, 128> text{};
  std::snprintf(text.data(), text.size(), "%-36.36s %016zx %08" PRIx32 " %016zx %08" PRIx32 "\n",
                note.boot.c_str(), note.one.end, note.one.checksum, note.other.end,
                note.other.checksum);
  return text.data();
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
  return Say(now, next);
}

void RecordAnchor::Reached(const RecordPoint& now) { (void)Say(now, now); }

bool RecordAnchor::Keep() {
  const std::string found = lock_->Note();
  if (said_.empty() || found == said_) return false;
  const bool was_changed = is_written_ && !found.empty();  // an empty one is new
  is_written_ = lock_->SetNote(said_).has_value();
  return was_changed;
}

Status RecordAnchor::Say(const RecordPoint& one, const RecordPoint& other) {
  said_ = TextOf({.boot = boot_, .one = one, .other = other});
  Status written = lock_->SetNote(said_);
  is_written_ = written.has_value();
  return written;
}

}  // namespace cygnet
