// RecordAnchor: how far a RecordFile got, in the lock beside it. An older copy of the file is whole
// and says nothing of its age, but it never got so far: put in the file's place while the daemon
// could not see it, it is found by the next one. Who puts back the lock of that time as well is
// not; nor is a copy from before the machine started, since what reaches a disk before the power
// goes is not the process's to say.
#pragma once

#include <string>

#include "daemon/store/kept_file.h"
#include "daemon/store/record_file.h"

namespace cygnet {

class RecordAnchor {
 public:
  // Both stay as long as this.
  RecordAnchor(std::string path, WriterLock* lock);

  // REQUIRES of all below: the lock is taken.
  // Why what was found at the start cannot be what was written last; empty: it can. `scan`: of the
  // file; nullptr: there is none.
  std::string Judge(const RecordScan* scan) const;

  // Before the file is replaced: either of the two may be what the next daemon finds. On an error
  // the file must stay.
  Status Announce(const RecordPoint& now, const RecordPoint& next);
  // A file that got further than is said passes, so that what cannot be written is tried again.
  void Reached(const RecordPoint& now);
  // The lock says what was written there, or says it again. True: somebody had changed it.
  bool Keep();

 private:
  Status Say(const RecordPoint& one, const RecordPoint& other);

  const std::string path_;
  const std::string boot_;
  WriterLock* const lock_;
  std::string said_;
  bool is_written_ = false;
};

}  // namespace cygnet
