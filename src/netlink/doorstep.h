// Doorstep: cygnetd's side of netlink/rendezvous.h, at most one in each network namespace.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/rendezvous.h"

namespace cygnet {

class Doorstep {
 public:
  // A client that has proven its capability. The connection is non-blocking.
  struct Visitor {
    rendezvous::Service service;
    UniqueFd fd;
  };

  // From now on clients find this process and wait. kBusy: another process holds the doorstep;
  // kPermission: this process lacks CAP_NET_ADMIN. At most one of several concurrent attempts
  // succeeds.
  static Result<std::unique_ptr<Doorstep>> Claim();

  // Readable if Take() has something to do.
  int fd() const { return ears_.get(); }
  // Handles at most `most` received messages, up to the first visitor.
  std::optional<Visitor> Take(int most = kMostPerTurn);

  // The port id under which clients find this process.
  uint32_t port() const { return port_; }
  std::size_t waiting() const { return waiting_.size(); }

  static constexpr int kMostPerTurn = 32;
  // Connections that are not yet confirmed by their clients.
  static constexpr std::size_t kMostWaiting = 256;
  static constexpr int64_t kPatienceMs = 5000;

 private:
  struct Waiting {
    rendezvous::SocketName name;
    rendezvous::Service service;
    int64_t since_ms;
    UniqueFd fd;
  };
  enum class Turn : uint8_t { kNothing, kHandled };

  Doorstep(UniqueFd ears, UniqueFd mark, uint32_t port);
  Turn TakeOne(std::optional<Visitor>* visitor);
  void OnKnock(const rendezvous::Message& knock, uint32_t port);
  std::optional<Visitor> OnConfirm(const rendezvous::Message& confirm);
  void ForgetOld();

  const UniqueFd ears_;  // NETLINK_ROUTE: senders hold the capability
  const UniqueFd mark_;  // NETLINK_USERSOCK: shows the port id to clients
  const uint32_t port_;
  std::deque<Waiting> waiting_;  // oldest first
};

}  // namespace cygnet
