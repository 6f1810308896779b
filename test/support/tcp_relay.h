// A relay on 127.0.0.1 between a client and a server that loses answers on request: the server gets
// the request, the client loses its connection. For tests only.
#pragma once

#include <netinet/tcp.h>
#include <poll.h>

#include <array>
#include <atomic>
#include <list>
#include <thread>

#include "support/etcd_server.h"

namespace cygnet::test {

class TcpRelay {
 public:
  explicit TcpRelay(uint16_t server_port) : server_port_(server_port) {
    listener_ = UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address = Loopback(0);
    socklen_t size = sizeof(address);
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(listen(listener_.get(), 8), 0);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~TcpRelay() {
    stop_ = true;
    thread_.join();
  }
  std::string endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // The next answers are lost, this many.
  std::atomic<int> answers_to_lose{0};
  // Requests stay here, without an answer.
  std::atomic<bool> is_deaf{false};

 private:
  struct Pair {
    UniqueFd client;
    UniqueFd server;
  };

  static sockaddr_in Loopback(uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    return address;
  }

  void Run() {
    while (!stop_) {
      std::vector<pollfd> fds{{listener_.get(), POLLIN, 0}};
      for (const Pair& pair : pairs_) {
        fds.push_back({pair.client.get(), static_cast<short>(is_deaf ? 0 : POLLIN), 0});
        fds.push_back({pair.server.get(), POLLIN, 0});
      }
      if (poll(fds.data(), fds.size(), 5) <= 0) continue;
      std::size_t at = 1;
      for (auto pair = pairs_.begin(); pair != pairs_.end(); at += 2) {
        const bool is_alive = Relay(fds[at], pair->client, pair->server, false) &&
                              Relay(fds[at + 1], pair->server, pair->client, true);
        pair = is_alive ? std::next(pair) : pairs_.erase(pair);
      }
      if (fds[0].revents != 0) Accept();
    }
  }

  void Accept() {
    Pair pair{UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)),
              UniqueFd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0))};
    constexpr int kOn = 1;
    for (const int fd : {pair.client.get(), pair.server.get()}) {
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof(kOn));
    }
    const sockaddr_in address = Loopback(server_port_);
    if (connect(pair.server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) ==
        0) {
      pairs_.push_back(std::move(pair));
    }
  }

  bool Relay(const pollfd& from_poll, const UniqueFd& from, const UniqueFd& to, bool is_answer) {
    if (from_poll.revents == 0) return true;
    std::array<char, 65536> bytes;
    const ssize_t size = recv(from.get(), bytes.data(), bytes.size(), 0);
    if (size <= 0) return false;
    if (is_answer && answers_to_lose > 0) {
      --answers_to_lose;
      return false;
    }
    return send(to.get(), bytes.data(), static_cast<std::size_t>(size), MSG_NOSIGNAL) == size;
  }

  const uint16_t server_port_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  std::list<Pair> pairs_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cygnet::test
