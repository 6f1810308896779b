// ServiceManager: notifies the service manager that started us, by the protocol of sd_notify(3):
// datagrams of "KEY=value" lines to the Unix socket in NOTIFY_SOCKET. Implemented here, as that
// page advises programs that need nothing else from libsystemd. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

// A variable that is for this process only: removed from the environment. nullopt: it is not set.
std::optional<std::string> TakeVariable(const char* name);
// nullopt: not a decimal number above 0.
std::optional<uint64_t> ToNumber(const std::optional<std::string>& text);

class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID and removes them from the environment, as
  // they are for this process only. Without NOTIFY_SOCKET, or if it is not the address of a Unix
  // socket, notifications are not sent.
  static ServiceManager FromEnvironment();

  bool listens() const { return fd_.valid(); }
  // Ready to serve; `status` is one line for systemctl status.
  void Ready(std::string_view status);
  void Stopping();
  // Not ready yet; `status` says what it waits for.
  void Waiting(std::string_view status);
  // The interval of signs of life: half the watchdog's time, as sd_watchdog_enabled(3) advises.
  // nullopt: none are expected.
  std::optional<uint64_t> sign_of_life_ns() const { return sign_of_life_ns_; }
  void GiveSignOfLife();

  // --- Descriptors for the next process (KeptDescriptors) ---
  // The service manager holds a copy of `fd` under this name, in addition to others of the name. It
  // does not let go of it when the other end closes.
  Status Store(const std::string& name, int fd) const;
  // It closes its copies under this name.
  void Discard(const std::string& name) const;
  // Waits until it has handled all that was sent.
  Status Barrier() const;

  // "KEY=value" lines as they are. Does not wait: they are lost if the service manager is stuck.
  void Tell(const std::string& lines) const;

 private:
  Status Send(const std::string& lines, std::optional<int> fd) const;

  UniqueFd fd_;
  std::string address_;  // sun_path; an abstract name begins with NUL
  std::optional<uint64_t> sign_of_life_ns_;
};

}  // namespace cygnet
