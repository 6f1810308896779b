#include "daemon/cluster/cluster_anchor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/text_file.h"

namespace cygnet {
namespace {

// Two slots, each in a block of the disk of its own: magic, owner, sequence, the four fields, and
// the CRC-32C of all of it. Big-endian.
constexpr std::size_t kSlotBytes = 4096;
constexpr std::size_t kSlots = 2;
constexpr uint64_t kMagic = 0x6379676e616e6301;  // "cygnanc", version 1
constexpr std::size_t kFields = 7;
constexpr std::size_t kUsed = kFields * 8 + 4;
using Slot = std::array<uint8_t, kUsed>;

struct Content {
  uint64_t magic = 0;
  uint64_t owner = 0;
  uint64_t sequence = 0;
  AnchorState state;
};

Slot Encode(const Content& content) {
  const std::array<uint64_t, kFields> fields{content.magic,
                                             content.owner,
                                             content.sequence,
                                             content.state.cluster_id,
                                             content.state.era,
                                             static_cast<uint64_t>(content.state.revision),
                                             static_cast<uint64_t>(content.state.own_revision)};
  Slot slot{};
  for (std::size_t i = 0; i < kFields; ++i) StoreBe64(slot.data() + 8 * i, fields[i]);
  StoreBe32(slot.data() + 8 * kFields, Crc32c(std::span(slot).first(8 * kFields)));
  return slot;
}

uint64_t FieldAt(const Slot& slot, std::size_t i) {
  const uint8_t* const at = slot.data() + 8 * i;
  return uint64_t{LoadBe32(at)} << 32 | LoadBe32(at + 4);
}

std::optional<Content> Decode(const Slot& slot) {
  if (LoadBe32(slot.data() + 8 * kFields) != Crc32c(std::span(slot).first(8 * kFields))) {
    return std::nullopt;
  }
  std::array<uint64_t, kFields> fields{};
  for (std::size_t i = 0; i < kFields; ++i) fields[i] = FieldAt(slot, i);
  return Content{.magic = fields[0],
                 .owner = fields[1],
                 .sequence = fields[2],
                 .state = {.cluster_id = fields[3],
                           .era = fields[4],
                           .revision = static_cast<int64_t>(fields[5]),
                           .own_revision = static_cast<int64_t>(fields[6])}};
}

uint64_t OwnerOf(const std::string& cluster, const std::string& node) {
  const std::string both = cluster + "\n" + node;
  const std::span bytes(reinterpret_cast<const uint8_t*>(both.data()), both.size());
  return uint64_t{Crc32c(bytes)} << 32 | bytes.size();
}

}  // namespace

std::string WhyItWentBack(const AnchorState& before, const StoreSight& now) {
  if (before.cluster_id != now.cluster_id) {
    return "it is another store: its cluster ID is " + std::to_string(now.cluster_id) +
           ", this node knows " + std::to_string(before.cluster_id);
  }
  if (now.revision < before.revision) {
    return "it is at revision " + std::to_string(now.revision) + ", but had confirmed revision " +
           std::to_string(before.revision);
  }
  if (now.own_revision.has_value() && *now.own_revision < before.own_revision) {
    return "it lost what this node stored at revision " + std::to_string(before.own_revision);
  }
  return {};
}

Result<ClusterAnchor> ClusterAnchor::Open(const std::string& path, const std::string& cluster,
                                          const std::string& node) {
  ClusterAnchor anchor;
  anchor.path_ = path;
  anchor.owner_ = OwnerOf(cluster, node);
  CYGNET_RETURN_IF_ERROR(anchor.lock_.Take(path));
  struct stat info {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno != ENOENT) return FileError(path);
    const std::array<uint8_t, kSlots * kSlotBytes> empty{};
    auto made = ReplaceFile(path, empty);
    if (!made) return made.error();
    anchor.file_ = *std::move(made);
    return anchor;
  }
  CYGNET_RETURN_IF_ERROR(CheckOwner(path, info));
  anchor.file_ = UniqueFd(open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!anchor.file_.valid()) return FileError(path);
  CYGNET_RETURN_IF_ERROR(anchor.Read());
  return anchor;
}

// A slot of zeros was never written. One of two may be torn by a crash: what it was to confirm was
// not used yet.
Status ClusterAnchor::Read() {
  std::size_t empty = 0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    Slot slot{};
    const ssize_t size =
        pread(file_.get(), slot.data(), slot.size(), static_cast<off_t>(i * kSlotBytes));
    if (size < 0) return FileError(path_);
    if (static_cast<std::size_t>(size) == slot.size() && slot == Slot{}) ++empty;
    const auto content = Decode(slot);
    if (!content || content->magic != kMagic) continue;
    if (content->owner != owner_) {
      return MakeError(Errc::kInvalid, path_ +
                                           ": it belongs to another cluster or node; give this "
                                           "node its own cluster.state_file");
    }
    if (state_.has_value() && content->sequence <= sequence_) continue;
    sequence_ = content->sequence;
    state_ = content->state;
  }
  if (state_.has_value() || empty == kSlots) return {};
  return MakeError(Errc::kInvalid,
                   path_ +
                       ": it is damaged, so this node cannot tell whether the store went back; if "
                       "etcd was not restored since, remove the file");
}

// A file that somebody removed, or whose disk failed once, is made anew: the kernel forgets that a
// write failed.
Status ClusterAnchor::Write(const AnchorState& state) {
  const Slot slot =
      Encode({.magic = kMagic, .owner = owner_, .sequence = sequence_ + 1, .state = state});
  const std::size_t at = (sequence_ + 1) % kSlots * kSlotBytes;
  const bool is_written = !must_replace_ && WhatBecameOf(path_, file_.get()).empty() &&
                          pwrite(file_.get(), slot.data(), slot.size(), static_cast<off_t>(at)) ==
                              static_cast<ssize_t>(slot.size()) &&
                          fdatasync(file_.get()) == 0;
  if (!is_written) {
    must_replace_ = true;
    std::array<uint8_t, kSlots * kSlotBytes> all{};
    std::copy(slot.begin(), slot.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
    auto made = ReplaceFile(path_, all);
    if (!made) return made.error();
    file_ = *std::move(made);
    must_replace_ = false;
  }
  ++sequence_;
  state_ = state;
  return {};
}

}  // namespace cygnet
