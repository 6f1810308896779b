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
#include "daemon/store/ledger_restore.h"

namespace cygnet {
namespace {

constexpr std::size_t kFlushBytes = 64u << 10;
constexpr uint64_t kHeadEveryNs = 3'600'000'000'000;
constexpr std::size_t kMaxFound = 3000;  // bytes of one line

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
  const LedgerPast past = file->Restore();
  CYGNET_RETURN_IF_ERROR(file->OpenForAppend());
  file->OpenKey();
  file->TellPast(past);
  file->SignHead(HeadReason::kStart);  // a full disk is reported and retried
  file->Sync();
  ledger->AddSink(file.get());
  ledger->NoteFile(options.path, file->error_);
  return file;
}

LedgerFile::~LedgerFile() {
  if (!fd_.valid()) return;
  Append(LedgerLineText(LedgerRunLine{clock_->WallMs(), false}, options_.stamp));
  SignHead(HeadReason::kStop);
  Sync();
}

LedgerPast LedgerFile::Restore() {
  std::vector<std::string> files;
  for (uint32_t n = options_.keep + 1; n-- > 0;) files.push_back(Numbered(options_.path, n));
  return LedgerRestore(ledger_, clock_->WallMs()).Run(files, anchor_.Read());
}

// Without a key the ledger goes on, and says that its heads are not signed.
void LedgerFile::OpenKey() {
  auto key = HeadKey::Open(options_.path + ".key");
  std::string error = key ? std::string() : key.error().message;
  if (key) key_ = *std::move(key);
  if (error != key_error_ && !error.empty()) {
    Log(LogLevel::kError, "ledger: its heads are not signed: " + error);
  }
  key_error_ = std::move(error);
}

// The first lines of a run say what it found.
void LedgerFile::TellPast(const LedgerPast& past) {
  chain_ = past.head;
  // A crash came between the two steps of a rotation.
  if (size_ == 0 && chain_.number != 0 && past.found.empty()) {
    (void)WriteLinked(HeadLine(HeadReason::kFile));
  }
  if (!past.ends_in_line) pending_ += '\n';
  const uint64_t now = clock_->WallMs();
  if (!past.torn.empty()) Append(RepairedText(past.torn, now, options_.stamp));
  Append(LedgerLineText(LedgerRunLine{now, true}, options_.stamp));
  for (const std::string& what : past.found) {
    if (found_.size() + what.size() > kMaxFound) {
      found_ += "; and more: see \"cygnet ledger verify\"";
      break;
    }
    found_ += (found_.empty() ? "" : "; ") + what;
  }
  if (!past.last_key.empty() && past.last_key != key()) {
    found_ += (found_.empty() ? "" : "; ") +
              (key_ ? OtherKeyText(key()) : "heads are not signed from here on") + "; key " +
              past.last_key + " signed until now";
  }
  if (found_.empty()) return;
  Log(LogLevel::kError, "ledger: " + found_);
  AppendFound(found_);
}

void LedgerFile::AppendFound(const std::string& what) {
  Append(FoundText(what, clock_->WallMs(), options_.stamp));
}

std::string LedgerFile::HeadLine(HeadReason why) const {
  return HeadLineText(chain_, why, key_ ? &*key_ : nullptr, clock_->WallMs(), options_.stamp) +
         '\n';
}

// Lines before the head are in the file, or there is no head: it would cover what may be lost.
void LedgerFile::SignHead(HeadReason why) {
  if (!key_) OpenKey();
  if (!Flush()) return;
  const ChainHead head = chain_;
  if (WriteLinked(HeadLine(why))) HeadWritten(head);
}

void LedgerFile::HeadWritten(const ChainHead& head) {
  head_due_ns_ = clock_->MonotonicNs() + kHeadEveryNs;
  const WrittenHead written{.head = head, .key = key()};
  if (on_head_) return on_head_(written);
  untold_.push_back(written);
}

void LedgerFile::SetHeadListener(std::function<void(const WrittenHead&)> listener) {
  on_head_ = std::move(listener);
  for (const WrittenHead& head : std::exchange(untold_, {})) on_head_(head);
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
  Hold(std::move(fd));
  size_ = static_cast<uint64_t>(info.st_size);
  return {};
}

// If its identity cannot be told, the next change takes the file for another one and makes it anew.
void LedgerFile::Hold(UniqueFd fd) {
  struct stat info {};
  const bool known = fstat(fd.get(), &info) == 0;
  identity_ = known ? FileIdentity::Of(info) : FileIdentity();
  fd_ = std::move(fd);
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

// Writes earlier lines first, then this one. Success only if all of them are in the file, and a
// head that is due: the check takes a key behind an old head for forged.
Status LedgerFile::OnKeyGiven(uint64_t number, const KeyEntry& entry) {
  if (HeadIsDue()) SignHead(HeadReason::kHour);
  if (HeadIsDue()) return MakeError(Errc::kIo, error_);
  CYGNET_RETURN_IF_ERROR(
      Flush(LedgerLineText(LedgerKeyLine{number, entry}, options_.stamp) + '\n'));
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

// Of a write that failed: no part of it may stay, or the file says that it is torn.
void LedgerFile::TakeBack(std::string_view written) {
  if (written.empty()) return;
  const uint64_t before = size_ - written.size();
  if (ftruncate(fd_.get(), static_cast<off_t>(before)) == 0) {
    size_ = before;
    return;
  }
  const std::size_t line = written.rfind('\n') + 1;  // 0 if there is none
  pending_ =
      "\n" + RepairedText(written.substr(line), clock_->WallMs(), options_.stamp) + "\n" + pending_;
}

// The chain moves on with what is in the file.
Status LedgerFile::WriteLinked(std::string_view lines) {
  ChainHead next = chain_;
  CYGNET_RETURN_IF_ERROR(Write(LinkedLines(lines, &next)));
  chain_ = next;
  return {};
}

// Writes all of it or nothing.
Status LedgerFile::Write(std::string_view text) {
  const uint64_t before = size_;
  const std::string_view all = text;
  while (!text.empty()) {
    const ssize_t written = write(fd_.get(), text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      if (written == 0) errno = ENOSPC;
      const Error error = FileError(options_.path);
      TakeBack(all.substr(0, size_ - before));
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

Status LedgerFile::Flush(std::string_view last) {
  CYGNET_RETURN_IF_ERROR(Guard());
  if (pending_.empty()) return last.empty() ? Status{} : WriteLinked(last);
  // A file that begins with many held keys may grow to twice that before it is full.
  const uint64_t full = std::max(options_.max_bytes, 2 * base_);
  const uint64_t more = pending_.size() + last.size() + (pending_lines_ + 1) * kLinkBytes;
  if (size_ + more > full && size_ > base_) {
    if (const Status rotated = Rotate(); !rotated) Fail(rotated.error().message);
  }
  // Together: two writes take twice as long.
  CYGNET_RETURN_IF_ERROR(WriteLinked(last.empty() ? pending_ : pending_ + std::string(last)));
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

// Makes the new file before the old ones are renamed, so that a failure loses nothing. The new file
// begins with a head, so that it can be checked without the older ones.
Status LedgerFile::Rotate() {
  const ChainHead head = chain_;
  ChainHead next = chain_;
  const std::string held = LinkedLines(HeadLine(HeadReason::kFile) + HeldText(), &next);
  const std::string fresh = options_.path + ".next";
  auto made = ReplaceFile(fresh, BytesOf(held));
  if (!made) return made.error();
  if (fcntl(made->get(), F_SETFL, O_APPEND) != 0) return FileError(fresh);
  for (uint32_t n = options_.keep; n > 0; --n) {
    (void)std::rename(Numbered(options_.path, n - 1).c_str(), Numbered(options_.path, n).c_str());
  }
  if (std::rename(fresh.c_str(), options_.path.c_str()) != 0) return FileError(options_.path);
  Hold(*std::move(made));
  lock_.ReleaseData();
  size_ = held.size();
  base_ = size_;
  chain_ = next;
  HeadWritten(head);
  return {};
}

// What others did to the file; empty: nothing.
std::string LedgerFile::Changed() const {
  struct stat info {};
  std::string what = WhatBecameOf(options_.path, identity_, &info);
  if (!what.empty()) return what;
  if (info.st_size < static_cast<off_t>(size_)) return options_.path + " was truncated";
  if (info.st_size > static_cast<off_t>(size_)) return options_.path + " was written by others";
  return {};
}

// Makes sure that we write the file which the next daemon reads, and that nobody else writes it.
Status LedgerFile::Guard() {
  Status kept = lock_.Keep(&mishaps_);
  std::string what;
  if (kept) {
    what = Changed();
    if (!what.empty()) kept = Remake();
  }
  if (!kept) {
    Fail((what.empty() ? "" : what + ": ") + kept.error().message);
    refused_ = true;
    return kept;
  }
  if (std::exchange(refused_, false)) error_.clear();
  if (what.empty()) return {};
  mishaps_.Add(what);
  AppendFound(what + " while cygnetd ran");
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
  ChainHead next = chain_;
  const std::string held = LinkedLines(HeldText(), &next);
  text += held;
  auto made = ReplaceFile(options_.path, BytesOf(text));
  if (!made) return made.error();
  if (fcntl(made->get(), F_SETFL, O_APPEND) != 0) return FileError(options_.path);
  Hold(*std::move(made));
  lock_.ReleaseData();
  size_ = text.size();
  base_ = held.size();
  chain_ = next;
  dirty_ = true;
  return {};
}

void LedgerFile::Sync() {
  if (HeadIsDue()) SignHead(HeadReason::kHour);
  (void)Flush();  // reports its own failure
  if (fd_.valid() && std::exchange(dirty_, false) && fdatasync(fd_.get()) != 0) {
    Fail(FileError(options_.path).message);
  }
  if (error_.empty()) anchor_.Reached(chain_);
  ledger_->NoteFile(options_.path, error_);
}

}  // namespace cygnet
