#include "daemon/store/ledger_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <span>
#include <utility>

#include "base/log.h"
#include "base/text_file.h"

namespace cygnet {
namespace {

constexpr std::size_t kFlushBytes = 64u << 10;
constexpr const char* kNoWord = "cygnetd ended unexpectedly; keys in its memory are gone";

std::string Numbered(const std::string& path, uint32_t n) {
  return n == 0 ? path : path + "." + std::to_string(n);
}

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

}  // namespace

Result<std::unique_ptr<LedgerFile>> LedgerFile::Open(const LedgerFileOptions& options,
                                                     Ledger* ledger, const Clock* clock) {
  std::unique_ptr<LedgerFile> file(new LedgerFile(options, ledger, clock));
  CYGNET_RETURN_IF_ERROR(file->lock_.Take(options.path));
  file->Restore();
  CYGNET_RETURN_IF_ERROR(file->OpenForAppend());
  file->Append(LedgerLineText(LedgerRunLine{clock->WallMs(), true}, options.stamp));
  (void)file->Flush();  // a full disk is reported and retried
  ledger->AddSink(file.get());
  ledger->NoteFile(options.path, file->error_);
  return file;
}

LedgerFile::~LedgerFile() {
  if (!fd_.valid()) return;
  Append(LedgerLineText(LedgerRunLine{clock_->WallMs(), false}, options_.stamp));
  Sync();
}

// The file is evidence: nobody else may write it, and it may not be a link.
Status LedgerFile::OpenForAppend() {
  const int flags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  UniqueFd fd(open(options_.path.c_str(), flags, 0600));
  struct stat info {};
  if (!fd.valid() && errno == ELOOP) {
    return MakeError(Errc::kInvalid, options_.path + ": must not be a symbolic link");
  }
  if (!fd.valid() || fstat(fd.get(), &info) != 0) return FileError(options_.path);
  CYGNET_RETURN_IF_ERROR(CheckOwner(options_.path, info));
  CYGNET_RETURN_IF_ERROR(lock_.LockData());
  fd_ = std::move(fd);
  size_ = static_cast<uint64_t>(info.st_size);
  // Ends a line that a crash cut short.
  if (size_ > 0) pending_ += '\n';
  return {};
}

void LedgerFile::Restore() {
  std::map<uint64_t, KeyEntry> held;
  for (uint32_t n = options_.keep + 1; n-- > 0;) RestoreFile(Numbered(options_.path, n), &held);
  EndHeld(&held, clock_->WallMs());
}

void LedgerFile::EndHeld(std::map<uint64_t, KeyEntry>* held, uint64_t time_ms) {
  for (auto& [number, entry] : *held) {
    entry.until_ms = time_ms;
    entry.note = kNoWord;
    ledger_->Restore(entry);
  }
  held->clear();
}

void LedgerFile::RestoreFile(const std::string& path, std::map<uint64_t, KeyEntry>* held) {
  const auto text = ReadOwnFile(path);
  if (!text) {
    if (text.error().code != Errc::kNoEntry) {
      Log(LogLevel::kError, "ledger: cannot read: " + text.error().message);
    }
    return;
  }
  std::size_t damaged = 0;
  for (std::size_t at = 0; at < text->size();) {
    const std::size_t end = std::min(text->find('\n', at), text->size());
    const std::string_view line = std::string_view(*text).substr(at, end - at);
    at = end + 1;
    if (line.empty()) continue;
    auto parsed = ParseLedgerLine(line);
    if (!parsed.has_value()) {
      ++damaged;
    } else if (auto* placement = std::get_if<PlacementEntry>(&*parsed)) {
      ledger_->Restore(std::move(*placement));
    } else if (auto* key = std::get_if<LedgerKeyLine>(&*parsed)) {
      if (key->entry.until_ms == 0) {
        (*held)[key->number] = key->entry;
      } else {
        held->erase(key->number);
        ledger_->Restore(key->entry);
      }
    } else if (const auto* run = std::get_if<LedgerRunLine>(&*parsed);
               run != nullptr && run->start) {
      EndHeld(held, run->time_ms);  // numbers start again
    }
  }
  if (damaged == 0) return;
  Log(LogLevel::kWarning, "ledger: " + path + ": " + std::to_string(damaged) +
                              " lines are truncated, changed, or not written by cygnetd");
}

void LedgerFile::OnPlacement(const PlacementEntry& entry) {
  Append(LedgerLineText(entry, options_.stamp));
}

void LedgerFile::OnKeyEnded(uint64_t number, const KeyEntry& entry) {
  Append(LedgerLineText(LedgerKeyLine{number, entry}, options_.stamp));
}

void LedgerFile::GroupChanged(LedgerGroupLine line) {
  line.time_ms = clock_->WallMs();
  Append(LedgerLineText(line, options_.stamp));
  (void)Flush();  // reports its own failure
}

// Writes earlier lines first, then this one. Success only if all of them are in the file.
Status LedgerFile::OnKeyGiven(uint64_t number, const KeyEntry& entry) {
  CYGNET_RETURN_IF_ERROR(Flush());
  CYGNET_RETURN_IF_ERROR(
      Write(LedgerLineText(LedgerKeyLine{number, entry}, options_.stamp) + '\n'));
  if (options_.sync != LedgerSync::kKey) return {};
  if (fdatasync(fd_.get()) == 0) return {};
  const Error error = FileError(options_.path);
  Fail(error.message);
  return error;
}

void LedgerFile::Append(std::string line) {
  pending_ += line;
  pending_ += '\n';
  ++pending_lines_;
  if (pending_.size() >= kFlushBytes) (void)Flush();  // unwritten lines stay
}

// Writes all of it or nothing.
Status LedgerFile::Write(std::string_view text) {
  const uint64_t before = size_;
  while (!text.empty()) {
    const ssize_t written = write(fd_.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = ENOSPC;
      const Error error = FileError(options_.path);
      if (size_ != before && ftruncate(fd_.get(), static_cast<off_t>(before)) == 0) size_ = before;
      Fail(error.message);
      return error;
    }
    size_ += static_cast<uint64_t>(written);
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  dirty_ = true;
  if (!std::exchange(error_, {}).empty()) Log(LogLevel::kInfo, "ledger: it can be written again");
  return {};
}

Status LedgerFile::Flush() {
  CYGNET_RETURN_IF_ERROR(Guard());
  if (pending_.empty()) return {};
  // A file that begins with many held keys may grow to twice that before it is full.
  const uint64_t full = std::max(options_.max_bytes, 2 * base_);
  if (size_ + pending_.size() > full && size_ > base_) {
    if (const Status rotated = Rotate(); !rotated) Fail(rotated.error().message);
  }
  CYGNET_RETURN_IF_ERROR(Write(pending_));
  pending_.clear();
  pending_lines_ = 0;
  return {};
}

// Keeps a bounded amount of unwritten lines for the next try; a gap is recorded in the file.
void LedgerFile::Fail(const std::string& error) {
  if (error != error_) {
    Log(LogLevel::kError, "ledger: " + error + "; no key is handed out until it can be written");
  }
  error_ = error;
  if (pending_.size() <= 16 * kFlushBytes) return;
  pending_ = "\n" + LostLinesText(pending_lines_, clock_->WallMs(), options_.stamp) + "\n";
}

std::string LedgerFile::HeldText() const {
  std::string held;
  const uint64_t now = clock_->WallMs();
  for (const auto& [number, entry] : ledger_->HeldKeys()) {
    held += HeldKeyText({number, entry}, now, options_.stamp) + '\n';
  }
  return held;
}

// Makes the new file before the old ones are renamed, so that a failure loses nothing.
Status LedgerFile::Rotate() {
  const std::string held = HeldText();
  const std::string fresh = options_.path + ".next";
  auto made = ReplaceFile(fresh, BytesOf(held));
  if (!made) return made.error();
  if (fcntl(made->get(), F_SETFL, O_APPEND) != 0) return FileError(fresh);
  for (uint32_t n = options_.keep; n > 0; --n) {
    (void)std::rename(Numbered(options_.path, n - 1).c_str(), Numbered(options_.path, n).c_str());
  }
  if (std::rename(fresh.c_str(), options_.path.c_str()) != 0) return FileError(options_.path);
  fd_ = *std::move(made);
  lock_.ReleaseData();
  size_ = held.size();
  base_ = size_;
  return {};
}

// Makes sure that we write the file which the next daemon reads, and that nobody else writes it.
Status LedgerFile::Guard() {
  Status kept = lock_.Keep(&mishaps_);
  std::string what;
  if (kept) {
    what = WhatBecameOf(options_.path, fd_.get());
    struct stat info {};
    if (what.empty() && fstat(fd_.get(), &info) == 0 && info.st_size < static_cast<off_t>(size_)) {
      what = options_.path + " was truncated";
    }
    if (!what.empty()) kept = Remake();
  }
  if (!kept) {
    Fail((what.empty() ? "" : what + ": ") + kept.error().message);
    refused_ = true;
    return kept;
  }
  if (std::exchange(refused_, false)) error_.clear();
  if (!what.empty()) mishaps_.Add(what);
  return {};
}

// The readable part of the file is evidence: the new file begins with it.
Status LedgerFile::Remake() {
  std::string text;
  std::array<char, 65536> part;
  for (;;) {
    const ssize_t size =
        pread(fd_.get(), part.data(), part.size(), static_cast<off_t>(text.size()));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return FileError(options_.path);
    if (size == 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  const std::string held = HeldText();
  text += held;
  auto made = ReplaceFile(options_.path, BytesOf(text));
  if (!made) return made.error();
  if (fcntl(made->get(), F_SETFL, O_APPEND) != 0) return FileError(options_.path);
  fd_ = *std::move(made);
  lock_.ReleaseData();
  size_ = text.size();
  base_ = held.size();
  dirty_ = true;
  return {};
}

void LedgerFile::Sync() {
  (void)Flush();  // reports its own failure
  if (fd_.valid() && std::exchange(dirty_, false) && fdatasync(fd_.get()) != 0) {
    Fail(FileError(options_.path).message);
  }
  ledger_->NoteFile(options_.path, error_);
}

}  // namespace cygnet
