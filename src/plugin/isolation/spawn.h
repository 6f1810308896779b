// Starts the process of an isolated plug-in with its three descriptors, and nothing else of the
// daemon.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet::isolation {

struct SpawnOrder {
  const char* kind;
  std::string plugin;
  std::string program;  // empty: as installed
  std::string user;     // if the daemon runs as root
  int page;
};

struct SpawnedChild {
  pid_t pid = -1;
  UniqueFd pidfd, control, events;
};

Result<SpawnedChild> SpawnChild(const SpawnOrder& order);

}  // namespace cygnet::isolation
