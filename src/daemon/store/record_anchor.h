// RecordAnchor: keeps in the lock file how far a RecordFile got. An older copy of the file is whole
// and does not show its age, but it never got that far: if somebody put it in the file's place
// unseen by the daemon, the next daemon finds out. It does not find out if the lock file of that
// time was restored, too, or if the copy is older than the boot: after a power loss, the disk may
// rightly hold less than the process wrote.
#pragma once

#include <string>

#include "daemon/store/kept_file.h"
#include "daemon/store/record_file.h"

namespace cygnet {

class RecordAnchor {
 public:
  // REQUIRES: `lock` outlives the anchor.
  RecordAnchor(std::string path, WriterLock* lock);

  // REQUIRES, for all functions below: the lock is taken.
  // Why the file found at the start cannot be the one that was written last; empty: it can. `scan`:
  // of the file; nullptr: the file does not exist.
  std::string Judge(const RecordScan* scan) const;

  // Call it before the file is replaced: the next daemon may find either of the two. On an error
  // the file must not be replaced.
  Status Announce(const RecordPoint& now, const RecordPoint& next);
  // Records a new position. Failure is harmless, since a file that got further passes; Keep
  // retries.
  void Reached(const RecordPoint& now);
  // Checks the note in the lock and writes it again if it differs. True: somebody had changed it.
  bool Keep();

 private:
  enum class Behind : uint8_t { kIsCut, kStays };
  Status Say(const RecordPoint& one, const RecordPoint& other, Behind behind);

  const std::string path_;
  const std::string boot_;
  WriterLock* const lock_;
  std::string said_;
  bool is_written_ = false;
};

}  // namespace cygnet
