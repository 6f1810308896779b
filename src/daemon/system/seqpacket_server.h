// SeqpacketServer: a server's connections, AF_UNIX SOCK_SEQPACKET, which the doorstep
// (netlink/doorstep.h) lets in. Limits their number, serves each when its socket is ready, and
// closes the finished ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "base/log.h"
#include "daemon/system/poller.h"

namespace cygnet {

enum class Sent : uint8_t {
  kYes,
  kLater,    // when the socket is writable
  kTooLong,  // it will never fit into this socket
  kBroken,   // the peer is gone
};
// Never blocks.
Sent SendDatagram(int fd, std::span<const uint8_t> datagram);

// A `Client` owns its socket and has
//   int fd() const;
//   uint32_t wanted_events() const;  // of its socket: EPOLLIN, EPOLLOUT, …
// Runs in the poller's thread.
template <typename Client>
class SeqpacketServer {
 public:
  using ClientId = uint64_t;
  using Clients = std::map<ClientId, std::unique_ptr<Client>>;

  struct Options {
    std::string name;  // in log lines
    std::size_t max_clients;
    // A socket is ready for `events`. False: the connection ends.
    std::function<bool(ClientId id, Client* client, uint32_t events)> serve;
    // A connection ends: clients() no longer contains it, and its socket is still open.
    std::function<void(Client* client)> on_close;
  };

  // REQUIRES: `poller` outlives the server. The functions may be called until the server is
  // destroyed.
  SeqpacketServer(Poller* poller, Options options)
      : poller_(poller), options_(std::move(options)) {}
  ~SeqpacketServer() {
    while (!clients_.empty()) Close(clients_.begin()->first);
  }
  SeqpacketServer(const SeqpacketServer&) = delete;
  SeqpacketServer& operator=(const SeqpacketServer&) = delete;

  bool full() const { return clients_.size() >= options_.max_clients; }
  const Clients& clients() const { return clients_; }
  Client* Find(ClientId id) {
    const auto at = clients_.find(id);
    return at == clients_.end() ? nullptr : at->second.get();
  }

  // Serves the client from the next RunOnce on. REQUIRES: !full().
  void Add(std::unique_ptr<Client> client) {
    const ClientId id = next_id_++;
    const Status added = poller_->Add(client->fd(), client->wanted_events(),
                                      [this, id](uint32_t events) { Serve(id, events); });
    if (!added) return LogError(added.error());  // out of memory for one more
    clients_.emplace(id, std::move(client));
  }

  // Serves the client as if its socket were ready for `events`. It may already be closed.
  void Serve(ClientId id, uint32_t events) {
    Client* client = Find(id);
    if (client == nullptr) return;
    if (!options_.serve(id, client, events)) return Close(id);
    UpdatePolling(*client);
  }

  // Call it after changing a client outside Serve.
  void UpdatePolling(const Client& client) {
    const Status modified = poller_->Modify(client.fd(), client.wanted_events());
    if (!modified) LogError(modified.error());
  }

  // REQUIRES: the client is not being served; its `serve` returns false instead.
  void Close(ClientId id) {
    const auto closed = clients_.extract(id);
    if (closed.empty()) return;
    Client* client = closed.mapped().get();
    poller_->Remove(client->fd());
    options_.on_close(client);
  }

 private:
  void LogError(const Error& error) const {
    Log(LogLevel::kError, options_.name + ": cannot watch a connection: " + error.message);
  }

  Poller* const poller_;
  const Options options_;
  Clients clients_;
  ClientId next_id_ = 1;
};

}  // namespace cygnet
