// The system calls of a plug-in, as seccomp filters.
#pragma once

namespace cygnet::isolation {

// For loading and opening. What is not on the list kills the process.
bool LimitSystemCalls();
// From the first key on; in all threads. Refuses files and new code.
bool LimitSystemCallsOfKeys();

}  // namespace cygnet::isolation
