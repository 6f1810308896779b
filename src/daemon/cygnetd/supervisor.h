// Supervisor: `cygnetd --supervise`. A small parent that holds the descriptors of the daemon, its
// child, and starts it again: at once after an orderly end, later and later while it keeps failing.
// It speaks the protocol of sd_notify(3) with the child, and passes on what concerns a service
// manager above it. It maps no key, opens no device and has no network.
#pragma once

#include <string>
#include <vector>

namespace cygnet {

// `arguments`: of the child, without the program's own name. Returns the exit status.
int Supervise(std::vector<std::string> arguments);

}  // namespace cygnet
