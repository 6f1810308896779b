// ServiceManager: what a service tells the service manager that started it, by systemd's protocol
// of sd_notify(3): datagrams of "KEY=value" lines to the Unix socket that NOTIFY_SOCKET names. Its
// own few lines, as that page advises whoever needs no more of libsystemd. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace cygnet {

class ServiceManager {
 public:
  // From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which are taken out of the environment:
  // they are for this process alone. Without NOTIFY_SOCKET, or with one that is no address of a
  // Unix socket, nobody is told anything.
  static ServiceManager FromEnvironment();

  bool listens() const { return fd_.valid(); }
  // Ready to serve; `status` is a line for whoever asks how the service is.
  void Ready(std::string_view status);
  void Stopping();
  // Not ready yet, and for what.
  void Waiting(std::string_view status);
  // How often the manager wants a sign of life, halved as sd_watchdog_enabled(3) advises; nothing:
  // not at all.
  std::optional<uint64_t> sign_of_life_ns() const { return sign_of_life_ns_; }
  void GiveSignOfLife();

 private:
  void Tell(const std::string& lines);

  UniqueFd fd_;
  std::string address_;  // sun_path; an abstract name begins with NUL
  std::optional<uint64_t> sign_of_life_ns_;
};

}  // namespace cygnet
