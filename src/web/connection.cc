#include "web/connection.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

namespace cygnet::web {

Connection::Connection(int socket, SSL_CTX* context) : socket_(socket) {
  (void)fcntl(socket_, F_SETFL, fcntl(socket_, F_GETFL) | O_NONBLOCK);
  if (context == nullptr) return;
  ssl_.reset(SSL_new(context));
  if (ssl_ != nullptr && SSL_set_fd(ssl_.get(), socket_) != 1) ssl_.reset();
}

Connection::~Connection() {
  if (ssl_ != nullptr) (void)SSL_shutdown(ssl_.get());
}

bool Connection::Wait(short events, Clock::time_point deadline) const {
  for (;;) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd watched{.fd = socket_, .events = events, .revents = 0};
    const int ready = poll(&watched, 1, static_cast<int>(left));
    if (ready < 0 && errno == EINTR) continue;
    return ready > 0;
  }
}

short Connection::WaitsFor(int result) const {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return POLLIN;
    case SSL_ERROR_WANT_WRITE:
      return POLLOUT;
    default:
      return 0;
  }
}

bool Connection::Begin() {
  if (ssl_ == nullptr) return true;
  for (;;) {
    const int result = SSL_accept(ssl_.get());
    if (result == 1) return true;
    const short events = WaitsFor(result);
    if (events == 0 || !Wait(events, request_deadline_)) return false;
  }
}

bool Connection::is_readable() const {
  if (ssl_ != nullptr && SSL_pending(ssl_.get()) > 0) return true;
  return Wait(POLLIN, request_deadline_);
}

bool Connection::is_writable() const {
  // Whoever sends more, or has gone, is not waiting for an answer.
  pollfd watched{.fd = socket_, .events = POLLIN | POLLRDHUP, .revents = 0};
  if (poll(&watched, 1, 0) > 0 && (watched.revents & (POLLHUP | POLLERR | POLLRDHUP)) != 0) {
    return false;
  }
  return Wait(POLLOUT, Clock::now() + kWriteTime);
}

ssize_t Connection::read(char* bytes, size_t count) {
  count = std::min(count, kMostRequestBytes - request_bytes_);
  if (count == 0) return -1;
  for (;;) {
    ssize_t got = 0;
    short events = POLLIN;
    if (ssl_ != nullptr) {
      const int result = SSL_read(ssl_.get(), bytes, static_cast<int>(count));
      got = result;
      if (result <= 0) events = WaitsFor(result);
    } else {
      got = recv(socket_, bytes, count, 0);
      if (got < 0 && errno != EAGAIN && errno != EINTR) return -1;
      if (got == 0) return 0;
    }
    if (got > 0) {
      request_bytes_ += static_cast<std::size_t>(got);
      return got;
    }
    if (events == 0 || !Wait(events, request_deadline_)) return -1;
  }
}

ssize_t Connection::write(const char* bytes, size_t count) {
  const Clock::time_point deadline = Clock::now() + kWriteTime;
  for (std::size_t sent = 0; sent < count;) {
    ssize_t more = 0;
    short events = POLLOUT;
    if (ssl_ != nullptr) {
      constexpr std::size_t kMost = 1u << 20;
      const int result =
          SSL_write(ssl_.get(), bytes + sent, static_cast<int>(std::min(count - sent, kMost)));
      more = result;
      if (result <= 0) events = WaitsFor(result);
    } else {
      more = send(socket_, bytes + sent, count - sent, MSG_NOSIGNAL);
      if (more < 0 && errno != EAGAIN && errno != EINTR) return -1;
    }
    if (more > 0) {
      sent += static_cast<std::size_t>(more);
    } else if (events == 0 || !Wait(events, deadline)) {
      return -1;
    }
  }
  return static_cast<ssize_t>(count);
}

// Nothing here depends on who calls.
void Connection::get_remote_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

void Connection::get_local_ip_and_port(std::string& ip, int& port) const {
  ip.clear();
  port = 0;
}

}  // namespace cygnet::web
