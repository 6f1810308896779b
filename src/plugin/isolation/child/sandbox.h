// What the child gives up before the plug-in's first instruction, and before its first key.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "plugin/isolation/protocol.h"

namespace cygnet::isolation {

struct SandboxOrder {
  const char* plugin;    // its folder stays readable
  pid_t parent;          // the child ends when this process does
  uint32_t user, group;  // kSameUser: keep
  uint32_t lock;         // 1: memory is not swapped
};

// Before the plug-in is loaded: no core dumps, own user and network where the daemon's rights
// suffice, no capabilities, no new ones, files only to read and only of a few folders, and the list
// of system calls. nullptr: done, and `done` says what was possible; else what failed.
const char* EnterSandbox(const SandboxOrder& order, Description* done);

// Before the first key: no more files, no more code. All threads. False: it failed.
bool ShutFiles();

}  // namespace cygnet::isolation
