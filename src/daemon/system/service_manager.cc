#include "daemon/system/service_manager.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "base/errno_error.h"
#include "base/unix_address.h"

namespace cygnet {

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
void ServiceManager::Tell(const std::string& lines) const {
  if (!fd_.valid()) return;
  const UnixAddress address(address_.data(), address_.size());
  (void)sendto(fd_.get(), lines.data(), lines.size(), MSG_NOSIGNAL | MSG_DONTWAIT, address.get(),
               address.length());
}

void ServiceManager::Ready(std::string_view status) {
  Tell("READY=1\nSTATUS=" + std::string(status) + "\n");
}

void ServiceManager::Stopping() { Tell("STOPPING=1\nSTATUS=Stopping\n"); }

void ServiceManager::Waiting(std::string_view status) {
  Tell("STATUS=" + std::string(status) + "\n");
}

void ServiceManager::GiveSignOfLife() { Tell("WATCHDOG=1\n"); }

// --- Descriptors ---

// What is kept must arrive, so this waits for room, but not forever.
Status ServiceManager::Send(const std::string& lines, std::optional<int> fd) const {
  if (!fd_.valid()) return MakeError(Errc::kNotSupported, "there is no service manager");
  const timeval longest{.tv_sec = 5, .tv_usec = 0};
  (void)setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &longest, sizeof(longest));
  const UnixAddress address(address_.data(), address_.size());
  std::string text = lines;
  iovec part{text.data(), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(address.get());
  message.msg_namelen = address.length();
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (fd) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(rights), &*fd, sizeof(int));
  }
  if (sendmsg(fd_.get(), &message, MSG_NOSIGNAL) < 0) return ErrnoError("tell the service manager");
  return {};
}

// FDPOLL=0: otherwise systemd drops a socket whose interface goes down.
Status ServiceManager::Store(const std::string& name, int fd) const {
  return Send("FDSTORE=1\nFDNAME=" + name + "\nFDPOLL=0\n", fd);
}

void ServiceManager::Discard(const std::string& name) const {
  (void)Send("FDSTOREREMOVE=1\nFDNAME=" + name + "\n", std::nullopt);
}

// As sd_notify_barrier(3): it closes the pipe's end in turn.
Status ServiceManager::Barrier() const {
  constexpr int kLongestMs = 5000;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return ErrnoError("make a pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  CYGNET_RETURN_IF_ERROR(Send("BARRIER=1", write_end.get()));
  write_end.Reset();
  pollfd wait{read_end.get(), 0, 0};
  if (poll(&wait, 1, kLongestMs) > 0) return {};
  return MakeError(Errc::kBusy, "the service manager did not answer within 5 s");
}

}  // namespace cygnet
