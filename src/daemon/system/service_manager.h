// ServiceManager: notifies the service manager that started us, by the protocol of sd_notify(3):
// datagrams of "KEY=value" lines to the Unix socket in NOTIFY_SOCKET. Implemented here, as that
// page advises programs that need nothing else from libsystemd. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace cygnet {

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

 private:
  void Notify(const std::string& lines);

  UniqueFd fd_;
  std::string address_;  // sun_path; an abstract name begins with NUL
  std::optional<uint64_t> sign_of_life_ns_;
};

}  // namespace cygnet
