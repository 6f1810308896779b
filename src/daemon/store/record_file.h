// RecordFile: a file of records that tells whether it is whole. Each record has its length and a
// checksum that goes on from the one before; behind the last stands an end mark. What was cut
// short, changed, swapped or taken out is found; what is in front of that can be read.
//
//   record  mark "CyR\n", type, length (without padding), CRC-32C; 4 bytes each, little-endian;
//           then the bytes, padded with zeros to a multiple of 16
//   The checksum is over the first 12 bytes of the header and the padded bytes, and goes on from
//   that of the record before. The end mark is a record of type kEnd without bytes.
//
// A record is added in two steps: its bytes and the new end mark behind the old one, then its
// header over the old one: 16 bytes within one page. Whatever ends the process in between, the file
// is as before or has the record. This holds against the end of the process, however it comes; a
// file that lies on a disk and loses power may be found incomplete, never wrong.
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

namespace cygnet {

// Behind a record: how long the file is up to there, and the checksum of all of that.
struct RecordPoint {
  std::size_t end = 0;
  uint32_t checksum = 0;
  bool operator==(const RecordPoint& other) const {
    return end == other.end && checksum == other.checksum;
  }
};

struct RecordScan {
  bool whole = false;
  std::string damage{};               // what is wrong with it, and where; empty: nothing
  std::size_t end = 0;                // where the end mark is, or the first thing that is not right
  uint32_t checksum = 0;              // of all before it
  std::vector<RecordPoint> points{};  // behind each record that could be read
};

class RecordFile {
 public:
  static constexpr uint32_t kEnd = 0;
  static constexpr std::size_t kMaxRecord = std::size_t{1} << 20;

  // What `bytes` hold, record by record, until the end or the first that is not right.
  static RecordScan Scan(std::span<const uint8_t> bytes,
                         const std::function<void(uint32_t, std::span<const uint8_t>)>& take);

  // In memory, for Replace.
  class Image {
   public:
    void Add(uint32_t type, std::span<const uint8_t> payload);
    // With its end mark. Call once.
    std::vector<uint8_t> Finish();
    RecordPoint point() const { return {bytes_.size(), checksum_}; }

   private:
    friend class RecordFile;
    std::vector<uint8_t> bytes_;
    uint32_t checksum_ = 0;
  };

  bool is_open() const { return fd_.valid(); }
  std::size_t size() const { return end_; }  // without the end mark

  // Goes on with the file at `path`, of which `scan` says that it is whole.
  Status Open(const std::string& path, const RecordScan& scan);
  // Puts a new file in the place of the old one, all of it or nothing, and goes on with that.
  Status Replace(const std::string& path, Image image);
  // On an error nothing was added, and the next one may do better.
  Status Append(uint32_t type, std::span<const uint8_t> payload);
  RecordPoint point() const { return {end_, checksum_}; }
  // What somebody else did to it since: its name leads elsewhere, or its bytes changed. Empty:
  // nothing, or it is not open.
  std::string Tampering() const;
  // Cuts the end mark off: whoever reads the file finds it incomplete. Needs no room. Closes it.
  void Spoil();

 private:
  void Remember();

  std::string path_;
  UniqueFd fd_;
  timespec written_{};  // as the file system says
  std::size_t end_ = 0;
  uint32_t checksum_ = 0;
};

}  // namespace cygnet
