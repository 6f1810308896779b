// Connection: one accepted socket, with or without TLS, as cpp-httplib's Stream. Every step has a
// deadline, so that a client that is slow on purpose cannot keep a thread.
#pragma once

#include <httplib.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>

namespace cygnet::web {

struct FreeSsl {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};

class Connection final : public httplib::Stream {
 public:
  using Clock = std::chrono::steady_clock;
  // For the handshake and the whole request together, and for each piece of an answer.
  static constexpr std::chrono::seconds kRequestTime{5};
  static constexpr std::chrono::seconds kWriteTime{5};
  static constexpr std::size_t kMostRequestBytes = 16u << 10;

  // `socket` is made non-blocking; the caller closes it. `context` nullptr: without TLS.
  Connection(int socket, SSL_CTX* context);
  ~Connection() override;

  // The TLS handshake, if there is one.
  bool Begin();

  bool is_readable() const override;
  bool is_writable() const override;
  ssize_t read(char* bytes, size_t count) override;
  ssize_t write(const char* bytes, size_t count) override;
  using Stream::write;
  void get_remote_ip_and_port(std::string& ip, int& port) const override;
  void get_local_ip_and_port(std::string& ip, int& port) const override;
  socket_t socket() const override { return socket_; }

 private:
  // Waits for POLLIN or POLLOUT. False: not before the deadline.
  bool Wait(short events, Clock::time_point deadline) const;
  // What a call of OpenSSL waits for: 0 if it failed.
  short WaitsFor(int result) const;

  const int socket_;
  std::unique_ptr<SSL, FreeSsl> ssl_;
  const Clock::time_point request_deadline_ = Clock::now() + kRequestTime;
  std::size_t request_bytes_ = 0;
};

}  // namespace cygnet::web
