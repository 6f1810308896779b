#include "daemon/system/service_manager.h"

#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "base/unix_address.h"

namespace cygnet {
namespace {

std::optional<std::string> TakeVariable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) return std::nullopt;
  std::string text(value);
  unsetenv(name);
  return text;
}

std::optional<uint64_t> ToNumber(const std::optional<std::string>& text) {
  uint64_t number = 0;
  if (!text) return std::nullopt;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  const bool whole = error == std::errc() && end == text->data() + text->size();
  return whole && number != 0 ? std::optional(number) : std::nullopt;
}

}  // namespace

ServiceManager ServiceManager::FromEnvironment() {
  ServiceManager manager;
  const auto socket_name = TakeVariable("NOTIFY_SOCKET");
  const auto watchdog_us = ToNumber(TakeVariable("WATCHDOG_USEC"));
  const auto watchdog_pid = TakeVariable("WATCHDOG_PID");
  if (!socket_name || socket_name->size() < 2 ||
      !UnixAddress(socket_name->data(), socket_name->size()).valid()) {
    return manager;
  }
  const char first = socket_name->front();
  if (first != '/' && first != '@') return manager;
  manager.address_ = *socket_name;
  if (first == '@') manager.address_.front() = '\0';
  manager.fd_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const bool for_us = !watchdog_pid || ToNumber(watchdog_pid) == static_cast<uint64_t>(getpid());
  if (watchdog_us && for_us) manager.sign_of_life_ns_ = *watchdog_us * 1000 / 2;
  return manager;
}

// Non-blocking: a stuck service manager must not stall the daemon.
void ServiceManager::Notify(const std::string& lines) {
  if (!fd_.valid()) return;
  const UnixAddress address(address_.data(), address_.size());
  (void)sendto(fd_.get(), lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT, address.get(),
               address.length());
}

void ServiceManager::Ready(std::string_view status) {
  Notify("READY=1\nSTATUS=" + std::string(status) + "\n");
}

void ServiceManager::Stopping() { Notify("STOPPING=1\nSTATUS=Stopping\n"); }

void ServiceManager::Waiting(std::string_view status) {
  Notify("STATUS=" + std::string(status) + "\n");
}

void ServiceManager::GiveSignOfLife() { Notify("WATCHDOG=1\n"); }

}  // namespace cygnet
