// RecordFile: a file of records that detects damage. Each record has its length and a checksum that
// continues the previous one; an end mark follows the last. Truncation and changed, swapped or
// removed records are found; the records in front of the damage can be read.
//
//   record  mark "CyR\n", type, length (without padding), CRC-32C; 4 bytes each, little-endian;
//           then the bytes, padded with zeros to a multiple of 16
//   The checksum covers the first 12 bytes of the header and the padded bytes, and continues that
//   of the previous record. The end mark is a record of type kEnd without bytes.
//
// Append works in two steps: it writes the record's bytes and a new end mark behind the old end
// mark, then the record's header over the old end mark: 16 bytes within one page. If the process
// ends in between, the file either is unchanged or has the record. After a power loss, a file on a
// disk may be incomplete, but never wrong.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/store/kept_file.h"

namespace cygnet {

// The end of a record: the length of the file up to there, and the checksum of all that.
struct RecordPoint {
  std::size_t end = 0;
  uint32_t checksum = 0;
  bool operator==(const RecordPoint& other) const {
    return end == other.end && checksum == other.checksum;
  }
};

struct RecordScan {
  bool whole = false;
  std::string damage{};               // what is wrong, and where; empty: nothing
  std::size_t end = 0;                // offset of the end mark or of the first damage
  uint32_t checksum = 0;              // of everything before `end`
  std::vector<RecordPoint> points{};  // the end of each record that could be read
};

class RecordFile {
 public:
  static constexpr uint32_t kEnd = 0;
  static constexpr std::size_t kMaxRecord = std::size_t{1} << 20;

  // Passes the records of `bytes` to `take`, up to the end mark or the first damage.
  static RecordScan Scan(std::span<const uint8_t> bytes,
                         const std::function<void(uint32_t, std::span<const uint8_t>)>& take);

  // A file in memory, for Replace.
  class Image {
   public:
    // Room for a file of this size, so that it is not copied as it grows.
    void Reserve(std::size_t bytes) { bytes_.reserve(bytes); }
    void Add(uint32_t type, std::span<const uint8_t> payload);
    // Returns the bytes with the end mark. Call it once.
    std::vector<uint8_t> Finish();
    RecordPoint point() const { return {bytes_.size(), checksum_}; }
    std::size_t records() const { return records_; }

   private:
    friend class RecordFile;
    std::vector<uint8_t> bytes_;
    uint32_t checksum_ = 0;
    std::size_t records_ = 0;
  };

  bool is_open() const { return fd_.valid(); }
  std::size_t size() const { return end_; }  // without the end mark

  // Continues the file at `path`. REQUIRES: scan.whole.
  Status Open(const std::string& path, const RecordScan& scan);
  // Replaces the file atomically with a new one and continues that.
  Status Replace(const std::string& path, Image image);
  // On an error nothing was added, and a later call may succeed.
  Status Append(uint32_t type, std::span<const uint8_t> payload);
  RecordPoint point() const { return {end_, checksum_}; }
  // Returns when all of it is on the disk, as after Replace.
  Status Sync() const;
  // What somebody else did to the file: its name leads elsewhere, or its bytes changed. Empty:
  // nothing, or it is not open.
  std::string Tampering() const;
  // Removes the end mark, so that a reader finds the file incomplete, and closes it. Needs no disk
  // space.
  void Spoil();

 private:
  void Remember();

  std::string path_;
  UniqueFd fd_;
  FileIdentity identity_;
  timespec written_{};  // modification time after our last write
  std::size_t end_ = 0;
  uint32_t checksum_ = 0;
};

}  // namespace cygnet
