// Trial: runs the code of a plug-in in a child process, because it may crash or never return. The
// child dies with its trial. A process tries a plug-in before it loads it itself.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace cygnet {

// How a trial ended.
struct TrialEnd {
  std::string text = {};  // what the child's function returned
  std::string step = {};  // the last that the child noted; empty: none
  int status = 0;         // as from waitpid
  bool late = false;      // it was killed at the end of its time
  // The child's function returned. Status 0 alone does not say so: a library may call _exit(0).
  bool returned = false;

  bool ended_well() const { return !late && returned && status == 0; }
  // "the library crashed (SIGSEGV) in open". REQUIRES: !ended_well().
  std::string Problem(unsigned seconds) const;
};

// Runs `make` in a child for at most `seconds`. What the child logs is not shown.
TrialEnd RunTrial(const std::function<std::string()>& make, unsigned seconds);

// In a trial: which function of the plug-in is called next. Elsewhere it does nothing.
void NoteStep(const char* name);

// A trial of the plug-in `path`: the error of `run`, or how the child ended.
inline constexpr unsigned kTrialSeconds = 30;
Status Try(const std::string& path, const std::function<Status()>& run,
           unsigned seconds = kTrialSeconds);

}  // namespace cygnet
