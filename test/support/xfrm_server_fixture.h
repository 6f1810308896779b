// A server with a fake control plane, and clients for it, all in one thread.
// For tests only.
#pragma once

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"
#include "base/unique_fd.h"
#include "daemon/system/poller.h"
#include "daemon/xfrm_server/xfrm_server.h"
#include "netlink/builder.h"
#include "netlink/message.h"
#include "netlink/unix_transport.h"
#include "support/fake_xfrm_control.h"

namespace cygnet::test {

using Bytes = std::vector<uint8_t>;

class XfrmClient {
 public:
  // A client that has proven its capability.
  explicit XfrmClient(XfrmServer* server) {
    int ends[2];
    CYGNET_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    fd_ = ends[0];
    server->Admit(UniqueFd(ends[1]));
  }
  ~XfrmClient() { Close(); }
  XfrmClient(const XfrmClient&) = delete;
  XfrmClient& operator=(const XfrmClient&) = delete;

  int fd() const { return fd_; }
  void Close() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }
  bool Send(std::span<const uint8_t> datagram) {
    return send(fd_, datagram.data(), datagram.size(), MSG_NOSIGNAL) >= 0;
  }
  void Bind(uint32_t port_id, uint32_t groups) {
    SendTransport(transport::kBind, transport::BindPayload{port_id, groups});
  }
  void Option(int option, int value) {
    SendTransport(transport::kOption, transport::OptionPayload{option, value});
  }
  // One datagram; empty if there is none (or the server closed the connection).
  Bytes Receive() {
    Bytes buffer(std::size_t{128} * 1024);
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    buffer.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return buffer;
  }
  bool ServerClosed() {
    uint8_t byte;
    return recv(fd_, &byte, 1, MSG_PEEK) == 0;
  }
  // Bytes of requests that the server has not consumed yet.
  int Unconsumed() const {
    int bytes = 0;
    CYGNET_CHECK(ioctl(fd_, SIOCOUTQ, &bytes) == 0);
    return bytes;
  }

 private:
  template <typename T>
  void SendTransport(uint16_t type, const T& payload) {
    netlink::MessageBuilder builder({.type = type});
    builder.Put(payload);
    CYGNET_CHECK(Send(std::move(builder).Finish()));
  }

  int fd_ = -1;
};

class XfrmServerHarness {
 public:
  static constexpr uint32_t kPort = 0x1234;

  explicit XfrmServerHarness(XfrmServerOptions options = Options()) {
    poller = std::move(*Poller::Create());
    server = std::make_unique<XfrmServer>(poller.get(), options);
    server->Start(&control);
    control.listener = server.get();
  }

  static XfrmServerOptions Options() {
    XfrmServerOptions options;
    options.larval_seconds = [] { return 30u; };
    return options;
  }

  // Serves until there is no more work.
  void Run() {
    while (poller->RunOnce(0) > 0) {
    }
  }

  std::unique_ptr<XfrmClient> Connect(uint32_t groups = 0, uint32_t port = kPort) {
    auto client = std::make_unique<XfrmClient>(server.get());
    client->Bind(port, groups);
    client->Option(NETLINK_EXT_ACK, 1);
    Run();
    return client;
  }

  // Sends one datagram, serves it, and returns the replies.
  std::vector<Bytes> Ask(XfrmClient& client, std::span<const uint8_t> datagram) {
    CYGNET_CHECK(client.Send(datagram));
    Run();
    return Drain(client);
  }

  std::vector<Bytes> Drain(XfrmClient& client) {
    std::vector<Bytes> result;
    for (Bytes got = client.Receive(); !got.empty(); got = client.Receive()) {
      result.push_back(std::move(got));
      Run();
    }
    return result;
  }

  FakeXfrmControl control;
  std::unique_ptr<Poller> poller;
  std::unique_ptr<XfrmServer> server;
};

inline nlmsghdr HeaderOf(std::span<const uint8_t> datagram) {
  return ReadAt<nlmsghdr>(datagram).value();
}

// The errno of an NLMSG_ERROR or NLMSG_DONE, positive; 0 for success.
inline int ErrnoOf(std::span<const uint8_t> datagram) {
  return -ReadAt<int32_t>(datagram, netlink::kHeaderSize).value();
}

// The text of an extended ACK in an NLMSG_ERROR; empty if there is none.
std::string TextOf(std::span<const uint8_t> datagram);

}  // namespace cygnet::test
