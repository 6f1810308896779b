#include "daemon/operator/operator_server.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "base/key_material.h"
#include "base/log.h"

namespace cygnet {
namespace {

// Datagrams sent to one client before others have their turn.
constexpr int kBurst = 32;
// A client that has read nothing for so long has stopped.
constexpr std::chrono::seconds kStopped{1};

}  // namespace

OperatorServer::OperatorServer(Poller* poller, OperatorControl* control, std::size_t max_held_bytes)
    : poller_(poller), control_(control), max_held_bytes_(max_held_bytes) {}

OperatorServer::~OperatorServer() {
  while (!clients_.empty()) Close(clients_.begin()->first);
}

void OperatorServer::Admit(UniqueFd fd) {
  if (clients_.size() >= kMaxClients) {
    constexpr std::string_view kBusy = R"({"error":"too many clients"})";
    // Best effort: the peer sees the end of the connection in any case.
    static_cast<void>(send(fd.get(), kBusy.data(), kBusy.size(), MSG_DONTWAIT | MSG_NOSIGNAL));
    return;
  }
  const ClientId id = next_id_++;
  const int number = fd.get();
  const Status added =
      poller_->Add(number, EPOLLIN, [this, id](uint32_t events) { OnClientReady(id, events); });
  if (!added) return;  // out of memory for one more: the connection ends
  Client& client = clients_[id];
  client.fd = std::move(fd);
  client.polled = EPOLLIN;
}

void OperatorServer::OnClientReady(ClientId id, uint32_t events) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  Client* client = &found->second;
  if (!Serve(id, client, events)) return Close(id);
  UpdatePolling(client);
}

bool OperatorServer::Serve(ClientId id, Client* client, uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && (events & EPOLLIN) == 0) return false;
  if ((events & EPOLLIN) != 0 && !client->input_ended && !ReadRequest(id, client)) return false;
  // A peer that is wholly gone reads nothing.
  if ((events & EPOLLHUP) != 0 && client->input_ended) return false;
  return Pump(client);
}

bool OperatorServer::ReadRequest(ClientId id, Client* client) {
  std::string request(kOperatorDatagram, '\0');
  const ssize_t got = recv(client->fd.get(), request.data(), request.size(), MSG_TRUNC);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (client->reply != nullptr || got == 0) {
    // A capture goes on until the client says anything, its end being the usual thing to say.
    if (got == 0) client->input_ended = true;
    if (client->reply == nullptr) return false;
    client->reply->Stop();
    return true;
  }
  if (static_cast<std::size_t>(got) > request.size()) {
    StartReply(id, client, MakeErrorReply("request too long"));
  } else {
    request.resize(static_cast<std::size_t>(got));
    TellOrder(client->fd, request);
    StartReply(id, client, MakeReply(control_, request));
  }
  return true;
}

void OperatorServer::TellOrder(const UniqueFd& fd, const std::string& request) const {
  if (!on_order_) return;
  const std::string order = OrderOf(request);
  if (order.empty()) return;
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) peer.uid = ~uid_t{0};
  on_order_(order, peer.uid, peer.pid);
}

std::size_t OperatorServer::HeldBytes() const {
  std::size_t bytes = 0;
  for (const auto& [id, client] : clients_) {
    if (client.reply != nullptr) bytes += client.reply->held_bytes();
  }
  return bytes;
}

// At the cost of those who stopped reading, longest first. False: others read what fills it.
bool OperatorServer::MakeRoom(std::size_t bytes, ClientId for_whom) {
  const auto now = std::chrono::steady_clock::now();
  for (;;) {
    const std::size_t held = HeldBytes();
    if (held == 0 || held + bytes <= max_held_bytes_) return true;
    auto stopped = clients_.end();
    for (auto at = clients_.begin(); at != clients_.end(); ++at) {
      const Client& client = at->second;
      if (at->first == for_whom || client.reply == nullptr || client.reply->held_bytes() == 0 ||
          now - client.read_last < kStopped) {
        continue;
      }
      if (stopped == clients_.end() || client.read_last < stopped->second.read_last) stopped = at;
    }
    if (stopped == clients_.end()) return false;
    Log(LogLevel::kWarning, "operator: a client that does not read its answer is dropped");
    Close(stopped->first);
  }
}

void OperatorServer::StartReply(ClientId id, Client* client, std::unique_ptr<OperatorReply> reply) {
  if (reply->held_bytes() > 0 && !MakeRoom(reply->held_bytes(), id)) {
    reply = MakeErrorReply("other clients' answers fill the memory set aside for them; try again");
  }
  client->read_last = std::chrono::steady_clock::now();
  client->reply = std::move(reply);
  const int fd = client->reply->wait_fd();
  if (fd < 0) return;
  const Status added = poller_->Add(fd, EPOLLIN, [this, id](uint32_t) {
    const auto found = clients_.find(id);
    if (found == clients_.end() || found->second.reply == nullptr) return;
    found->second.reply->OnWaitReady();
    OnClientReady(id, 0);
  });
  if (!added) client->reply = MakeErrorReply(added.error().message);
}

bool OperatorServer::Pump(Client* client) {
  for (int i = 0; i < kBurst && client->reply != nullptr; ++i) {
    if (client->datagram.empty()) {
      const OperatorReply::Next next = client->reply->MakeNext(&client->datagram);
      client->reply_waits = next == OperatorReply::Next::kWait;
      if (client->reply_waits) return true;
      if (next != OperatorReply::Next::kDatagram) {
        EndReply(client);
        return next == OperatorReply::Next::kEnd && !client->input_ended;
      }
    }
    const std::string& datagram = client->datagram;
    if (send(client->fd.get(), datagram.data(), datagram.size(), MSG_DONTWAIT | MSG_NOSIGNAL) < 0) {
      return errno == EAGAIN || errno == EINTR;
    }
    WipeDatagram(client);
    client->read_last = std::chrono::steady_clock::now();
  }
  return true;
}

// It may have shown keys, and a string that is cleared keeps its bytes.
void OperatorServer::WipeDatagram(Client* client) {
  SecureWipe(client->datagram.data(), client->datagram.size());
  client->datagram.clear();
}

void OperatorServer::EndReply(Client* client) {
  if (client->reply != nullptr && client->reply->wait_fd() >= 0) {
    poller_->Remove(client->reply->wait_fd());
  }
  client->reply.reset();
}

// Input is read between replies, and during those that it can stop.
void OperatorServer::UpdatePolling(Client* client) {
  const bool reads =
      !client->input_ended && (client->reply == nullptr || client->reply->wait_fd() >= 0);
  const bool writes = client->reply != nullptr && !client->reply_waits;
  const uint32_t wanted = (reads ? uint32_t{EPOLLIN} : 0) | (writes ? uint32_t{EPOLLOUT} : 0);
  if (wanted == client->polled) return;
  client->polled = wanted;
  // Fails only for want of memory; then the client waits, which is its own loss.
  static_cast<void>(poller_->Modify(client->fd.get(), wanted).has_value());
}

void OperatorServer::Close(ClientId id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  EndReply(&found->second);
  poller_->Remove(found->second.fd.get());
  clients_.erase(found);
}

}  // namespace cygnet
