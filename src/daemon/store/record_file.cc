#include "daemon/store/record_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/crc32c.h"
#include "base/log.h"
#include "base/text_file.h"

namespace cygnet {
namespace {

constexpr std::size_t kHeader = 16;
constexpr std::size_t kChecked = 12;  // of the header
constexpr std::array<uint8_t, 4> kMark = {'C', 'y', 'R', '\n'};

using Header = std::array<uint8_t, kHeader>;

void Put(uint32_t value, uint8_t* to) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<uint8_t>(value >> (8 * i));
}
uint32_t Get(const uint8_t* from) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | from[i];
  return value;
}

std::size_t Padded(std::size_t size) { return (size + kHeader - 1) / kHeader * kHeader; }

std::vector<uint8_t> PaddedCopy(std::span<const uint8_t> payload) {
  std::vector<uint8_t> padded(payload.begin(), payload.end());
  padded.resize(Padded(payload.size()));
  return padded;
}

uint32_t Checksum(const Header& header, std::span<const uint8_t> padded, uint32_t before) {
  return Crc32c(padded, Crc32c({header.data(), kChecked}, before));
}

Header MakeHeader(uint32_t type, std::size_t length, std::span<const uint8_t> padded,
                  uint32_t* checksum) {
  Header header{};
  std::copy(kMark.begin(), kMark.end(), header.begin());
  Put(type, &header[4]);
  Put(static_cast<uint32_t>(length), &header[8]);
  *checksum = Checksum(header, padded, *checksum);
  Put(*checksum, &header[kChecked]);
  return header;
}

// Writes all of it. False: errno is set.
bool WriteAt(int fd, std::span<const uint8_t> bytes, std::size_t at) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(at));
    if (written < 0 && errno == EINTR) continue;
    if (written == 0) errno = ENOSPC;
    if (written <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    at += static_cast<std::size_t>(written);
  }
  return true;
}

// Shortening a file needs no disk space. If it fails nevertheless, nothing else would help.
void Cut(int fd, std::size_t size) {
  if (ftruncate(fd, static_cast<off_t>(size)) != 0) {
    Log(LogLevel::kError, std::string("cannot shorten a file: ") + std::strerror(errno));
  }
}

}  // namespace

RecordScan RecordFile::Scan(std::span<const uint8_t> bytes,
                            const std::function<void(uint32_t, std::span<const uint8_t>)>& take) {
  RecordScan scan;
  const auto damaged = [&scan](const char* what) {
    scan.damage = std::string(what) + " at byte " + std::to_string(scan.end);
    return scan;
  };
  for (;;) {
    std::span<const uint8_t> rest = bytes.subspan(scan.end);
    if (rest.size() < kHeader) return damaged("cut short");
    Header header;
    std::copy_n(rest.begin(), kHeader, header.begin());
    const uint32_t type = Get(&header[4]);
    const std::size_t length = Get(&header[8]);
    if (!std::equal(kMark.begin(), kMark.end(), header.begin())) return damaged("no record");
    if (length > kMaxRecord || (type == kEnd && length != 0)) return damaged("a wrong length");
    if (rest.size() - kHeader < Padded(length)) return damaged("cut short");
    const auto padded = rest.subspan(kHeader, Padded(length));
    const uint32_t checksum = Checksum(header, padded, scan.checksum);
    if (checksum != Get(&header[kChecked])) return damaged("a wrong checksum");
    // A record behind the end mark was never completed.
    if (type == kEnd) {
      scan.whole = true;
      return scan;
    }
    scan.checksum = checksum;
    scan.end += kHeader + padded.size();
    scan.points.push_back({scan.end, scan.checksum});
    take(type, padded.first(length));
  }
}

void RecordFile::Image::Add(uint32_t type, std::span<const uint8_t> payload) {
  ++records_;
  const std::size_t at = bytes_.size();
  bytes_.resize(at + kHeader);
  bytes_.insert(bytes_.end(), payload.begin(), payload.end());
  bytes_.resize(at + kHeader + Padded(payload.size()));
  const auto padded = std::span<const uint8_t>(bytes_).subspan(at + kHeader);
  const Header header = MakeHeader(type, payload.size(), padded, &checksum_);
  std::copy(header.begin(), header.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
}

std::vector<uint8_t> RecordFile::Image::Finish() {
  uint32_t checksum = checksum_;
  const Header end = MakeHeader(kEnd, 0, {}, &checksum);
  bytes_.insert(bytes_.end(), end.begin(), end.end());
  return std::move(bytes_);
}

Status RecordFile::Open(const std::string& path, const RecordScan& scan) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd.valid()) return FileError(path);
  path_ = path;
  fd_ = std::move(fd);
  end_ = scan.end;
  checksum_ = scan.checksum;
  Remember();
  return {};
}

Status RecordFile::Replace(const std::string& path, Image image) {
  const std::size_t end = image.bytes_.size();
  const uint32_t checksum = image.checksum_;
  auto fd = ReplaceFile(path, image.Finish());
  if (!fd) return fd.error();
  path_ = path;
  fd_ = *std::move(fd);
  end_ = end;
  checksum_ = checksum;
  Remember();
  return {};
}

Status RecordFile::Append(uint32_t type, std::span<const uint8_t> payload) {
  if (!is_open()) return MakeError(Errc::kIo, path_ + ": not open");
  if (payload.size() > kMaxRecord) return MakeError(Errc::kInvalid, "the record is too long");
  std::vector<uint8_t> tail = PaddedCopy(payload);
  uint32_t checksum = checksum_;
  const Header header = MakeHeader(type, payload.size(), tail, &checksum);
  const std::size_t next = end_ + kHeader + tail.size();
  uint32_t end_checksum = checksum;
  const Header end = MakeHeader(kEnd, 0, {}, &end_checksum);
  tail.insert(tail.end(), end.begin(), end.end());
  if (!WriteAt(fd_.get(), tail, end_ + kHeader) || !WriteAt(fd_.get(), header, end_)) {
    const Error error = FileError(path_);
    Cut(fd_.get(), end_ + kHeader);
    // A copy-on-write file system may have refused the header, too.
    uint32_t before = checksum_;
    (void)WriteAt(fd_.get(), MakeHeader(kEnd, 0, {}, &before), end_);
    Remember();
    return error;
  }
  end_ = next;
  checksum_ = checksum;
  Remember();
  return {};
}

Status RecordFile::Sync() const {
  return is_open() && fsync(fd_.get()) == 0 ? Status() : FileError(path_);
}

void RecordFile::Remember() {
  struct stat info {};
  if (fstat(fd_.get(), &info) != 0) return;
  identity_ = FileIdentity::Of(info);
  written_ = info.st_mtim;
}

std::string RecordFile::Tampering() const {
  if (!is_open()) return {};
  struct stat info {};
  std::string what = WhatBecameOf(path_, identity_, &info);
  if (!what.empty()) return what;
  const bool is_cut = info.st_size < static_cast<off_t>(end_ + kHeader);
  const bool is_ours =
      info.st_mtim.tv_sec == written_.tv_sec && info.st_mtim.tv_nsec == written_.tv_nsec;
  return is_cut || !is_ours ? path_ + " was written by somebody else" : std::string();
}

void RecordFile::Spoil() {
  if (is_open()) Cut(fd_.get(), end_);
  fd_ = UniqueFd();
}

}  // namespace cygnet
