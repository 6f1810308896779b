// The driver half of a child that lies (hostile_child.cc).
#pragma once

#include <cygnet/driver.h>

#include <string>
#include <vector>

#include "plugin/isolation/message.h"

namespace cygnet::isolation {

// Functions that the child claims to have.
uint32_t HostileDriverFunctions();
// Answers `open`, and begins to lie about frames as `how` says. `fds`: as they came.
void OpenHostileDriver(const std::string& how, Reader* in, const std::vector<int>& fds,
                       Writer* out);

}  // namespace cygnet::isolation
