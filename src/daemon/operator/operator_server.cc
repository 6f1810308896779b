#include "daemon/operator/operator_server.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstddef>
#include <utility>

#include "base/key_material.h"
#include "base/log.h"

namespace cygnet {
namespace {

// Datagrams sent to one client before the others are served.
constexpr int kBatch = 32;
// A client that has read nothing for this long counts as stopped.
constexpr std::chrono::seconds kStopped{1};

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

OrderMark MarkOf(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  return {.uid = peer.uid, .pid = peer.pid};
}

}  // namespace

// Input is read between replies, and during those that it can stop.
uint32_t OperatorServer::Client::wanted_events() const {
  const bool reads = !input_ended && (reply == nullptr || reply->wait_fd() >= 0);
  const bool writes = reply != nullptr && !reply_waits;
  return (reads ? uint32_t{EPOLLIN} : 0u) | (writes ? uint32_t{EPOLLOUT} : 0u);
}

OperatorServer::OperatorServer(Poller* poller, OperatorControl* control, std::size_t max_held_bytes)
    : poller_(poller),
      control_(control),
      max_held_bytes_(max_held_bytes),
      clients_(poller, {.name = "operator",
                        .max_clients = kMaxClients,
                        .serve = [this](ClientId id, Client* client,
                                        uint32_t events) { return Serve(id, client, events); },
                        .on_close = [this](Client* client) { EndReply(client); }}) {}

void OperatorServer::Admit(UniqueFd fd) {
  if (clients_.full()) {
    // Best effort: the peer sees the end of the connection in any case.
    (void)SendDatagram(fd.get(), BytesOf(R"({"error":"too many clients"})"));
    return;
  }
  auto client = std::make_unique<Client>();
  client->socket = std::move(fd);
  clients_.Add(std::move(client));
}

bool OperatorServer::Serve(ClientId id, Client* client, uint32_t events) {
  if ((events & (EPOLLHUP | EPOLLERR)) != 0 && (events & EPOLLIN) == 0) return false;
  if ((events & EPOLLIN) != 0 && !client->input_ended && !ReadRequest(id, client)) return false;
  // The peer has closed and reads nothing any more.
  if ((events & EPOLLHUP) != 0 && client->input_ended) return false;
  return Pump(client);
}

bool OperatorServer::ReadRequest(ClientId id, Client* client) {
  std::string request(kOperatorDatagram, '\0');
  const ssize_t got = recv(client->fd(), request.data(), request.size(), MSG_TRUNC);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (client->reply != nullptr || got == 0) {
    // A capture runs until the client sends anything; usually it shuts down its side.
    if (got == 0) client->input_ended = true;
    if (client->reply == nullptr) return false;
    client->reply->Stop();
    return true;
  }
  if (static_cast<std::size_t>(got) > request.size()) {
    StartReply(id, client, MakeErrorReply("request too long"));
  } else {
    request.resize(static_cast<std::size_t>(got));
    const OrderMark mark = MarkOf(client->fd());
    NotifyOrder(mark, request);
    StartReply(id, client, MakeReply(control_, request, mark, sources_));
  }
  return true;
}

void OperatorServer::NotifyOrder(const OrderMark& mark, const std::string& request) const {
  if (!on_order_) return;
  const std::string order = OrderOf(request);
  if (!order.empty()) on_order_(order, mark.uid, mark.pid);
}

std::size_t OperatorServer::HeldBytes() const {
  std::size_t bytes = 0;
  for (const auto& [id, client] : clients_.clients()) {
    if (client->reply != nullptr) bytes += client->reply->held_bytes();
  }
  return bytes;
}

std::optional<OperatorServer::ClientId> OperatorServer::LongestStopped(
    ClientId except, std::chrono::steady_clock::time_point now) const {
  std::optional<ClientId> longest;
  auto since = now;
  for (const auto& [id, client] : clients_.clients()) {
    if (id == except || client->reply == nullptr || client->reply->held_bytes() == 0) continue;
    if (now - client->read_last < kStopped || client->read_last >= since) continue;
    longest = id;
    since = client->read_last;
  }
  return longest;
}

// Closes clients that stopped reading, the longest first. False: the other clients still read.
bool OperatorServer::MakeRoom(std::size_t bytes, ClientId for_whom) {
  const auto now = std::chrono::steady_clock::now();
  for (;;) {
    const std::size_t held = HeldBytes();
    if (held == 0 || held + bytes <= max_held_bytes_) return true;
    const auto stopped = LongestStopped(for_whom, now);
    if (!stopped) return false;
    Log(LogLevel::kWarning, "operator: closed a client that does not read its reply");
    clients_.Close(*stopped);
  }
}

void OperatorServer::StartReply(ClientId id, Client* client, std::unique_ptr<OperatorReply> reply) {
  if (reply->held_bytes() > 0 && !MakeRoom(reply->held_bytes(), id)) {
    reply =
        MakeErrorReply("other clients' replies use all the memory reserved for replies; try again");
  }
  client->read_last = std::chrono::steady_clock::now();
  client->reply = std::move(reply);
  const int fd = client->reply->wait_fd();
  if (fd < 0) return;
  const Status added = poller_->Add(fd, EPOLLIN, [this, id](uint32_t) {
    Client* waiting = clients_.Find(id);
    if (waiting == nullptr || waiting->reply == nullptr) return;
    waiting->reply->OnWaitReady();
    clients_.Serve(id, 0);
  });
  if (!added) client->reply = MakeErrorReply(added.error().message);
}

bool OperatorServer::Pump(Client* client) {
  for (int i = 0; i < kBatch && client->reply != nullptr; ++i) {
    if (client->datagram.empty()) {
      const OperatorReply::Next next = client->reply->MakeNext(&client->datagram);
      client->reply_waits = next == OperatorReply::Next::kWait;
      if (client->reply_waits) return true;
      if (next != OperatorReply::Next::kDatagram) {
        EndReply(client);
        return next == OperatorReply::Next::kEnd && !client->input_ended;
      }
    }
    const Sent sent = SendDatagram(client->fd(), BytesOf(client->datagram));
    if (sent != Sent::kYes) return sent == Sent::kLater;
    WipeDatagram(client);
    client->read_last = std::chrono::steady_clock::now();
  }
  return true;
}

// The datagram may contain keys, and a cleared string keeps its bytes.
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

}  // namespace cygnet
