// Plug-ins in a process of their own (isolate = true): tables as a plug-in in this process has
// them, whose functions talk to a child process. The child has no rights of the daemon, sees only
// the keys and packets that it is given, and is believed nothing. If it ends, does not answer in
// time or breaks the protocol, the plug-in has failed; nothing else happens to the daemon. The
// process of a driver is then started again; for the stack this is a reset of the device.
// doc/decisions/0022-isolated-plugins.md says why it is built like this.
#pragma once

#include <cygnet/driver.h>
#include <cygnet/engine.h>

#include <chrono>
#include <string>

#include "base/result.h"

namespace cygnet {

struct IsolationSettings {
  // Of the child, if the daemon runs as root. Otherwise the child keeps the daemon's user, without
  // capabilities and with access to few files.
  std::string user = "nobody";
  // cygnet-plugin-host. Empty: that of the tree that this program belongs to, else as installed.
  std::string program = {};
  // A control call that takes longer is a failure: `open`, and all others.
  std::chrono::milliseconds open_patience{30'000};
  std::chrono::milliseconds patience{CYGNET_PATIENCE_MS};
  // From the end of a driver's process to the next start: at first, and at most, after doubling.
  std::chrono::milliseconds first_wait{1'000};
  std::chrono::milliseconds longest_wait{60'000};

  bool operator==(const IsolationSettings&) const = default;
};

// Starts a child once, to read its description. Each `open` of the table starts another one. The
// table is valid for the life of the process. A library that was loaded
// before has the same one. At most 64 libraries of each kind. `path`: absolute.
// Control thread: the child ends with the thread that opens it.
Result<const cygnet_engine*> LoadIsolatedEngine(const std::string& path,
                                                const IsolationSettings& settings);
Result<const cygnet_driver*> LoadIsolatedDriver(const std::string& path,
                                                const IsolationSettings& settings);

// Of a `device` that the table of an isolated driver has opened. Any thread.
// Why its process ended; empty: it runs.
std::string WhyIsolatedDriverEnded(void* device);
// Ends its process, which has broken the contract; it is started again as after a crash.
void FailIsolatedDriver(void* device, const std::string& why);
// Starts a process that has ended again, without waiting for its turn.
void RestartIsolatedDriver(void* device);

}  // namespace cygnet
