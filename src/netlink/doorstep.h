// Doorstep: cygnetd's side of netlink/rendezvous.h. There is one in each network namespace.
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
  // A client that has proven its capability; the connection does not block.
  struct Visitor {
    rendezvous::Service service;
    UniqueFd fd;
  };

  // From here on clients find us, and wait. kBusy: another process stands there; kPermission: this
  // one lacks CAP_NET_ADMIN. Of several that try at the same time one at most succeeds.
  static Result<std::unique_ptr<Doorstep>> Claim();

  // Readable when there is something for Take().
  int fd() const { return ears_.get(); }
  // Handles what has come, `most` messages at most, up to the first visitor.
  std::optional<Visitor> Take(int most = kMostPerTurn);

  // The port id that clients find.
  uint32_t port() const { return port_; }
  std::size_t waiting() const { return waiting_.size(); }

  static constexpr int kMostPerTurn = 32;
  // Connections whose clients have not confirmed them.
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

  const UniqueFd ears_;  // NETLINK_ROUTE: what arrives was sent by a holder of the capability
  const UniqueFd mark_;  // NETLINK_USERSOCK: by which clients find the port id
  const uint32_t port_;
  std::deque<Waiting> waiting_;  // oldest first
};

}  // namespace cygnet
