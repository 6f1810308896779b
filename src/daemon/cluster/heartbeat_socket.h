// HeartbeatSocket: the UDP socket of heartbeats. One thread.
#pragma once

#include <sys/socket.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/cluster/heartbeat.h"

namespace cygnet {

struct SocketAddress {
  sockaddr_storage bytes{};
  socklen_t size = 0;
};
// "192.0.2.11:4511", "[2001:db8::1]:4511". nullopt: not an address of one host and a port.
std::optional<SocketAddress> ParseSocketAddress(std::string_view text);

// The interface of this host that has the address. Empty: none.
std::string InterfaceOf(const SocketAddress& address);

class HeartbeatSocket {
 public:
  // `address`: of this node. The host need not have it yet.
  static Result<HeartbeatSocket> Open(const std::string& address);

  int fd() const { return fd_.get(); }
  // A heartbeat that cannot be sent is one that is lost.
  void Send(const SocketAddress& to, std::span<const uint8_t> datagram);
  // The next datagram; empty: none. Valid until the next call.
  std::span<const uint8_t> Receive();
  // Where the last one came from, for people.
  std::string from() const;

 private:
  explicit HeartbeatSocket(UniqueFd fd) : fd_(std::move(fd)), buffer_(kMaxHeartbeat + 1) {}

  UniqueFd fd_;
  std::vector<uint8_t> buffer_;
  SocketAddress from_;
};

}  // namespace cygnet
