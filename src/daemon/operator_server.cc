#include "daemon/operator_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "base/key_material.h"

namespace cygnet {
namespace {

// Datagrams sent to one client before others have their turn.
constexpr int kBurst = 32;
constexpr std::string_view kNeedsNetAdmin =
    "not permitted: cygnetd answers only processes that have CAP_NET_ADMIN in its user namespace";

Result<UniqueFd> Listen(const std::string& name) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // sun_path[0] stays NUL: an abstract name, which lives in the network namespace.
  if (name.size() >= sizeof(address.sun_path)) {
    return MakeError(Errc::kInvalid, "socket name too long");
  }
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.valid() && bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0 &&
      listen(fd.get(), 64) == 0) {
    return fd;
  }
  const int error = errno;
  if (error == EADDRINUSE) {
    return MakeError(Errc::kExists,
                     "another cygnetd answers the operator in this network namespace");
  }
  return MakeError(Errc::kIo, std::string("operator socket: ") + std::strerror(error));
}

}  // namespace

OperatorServer::OperatorServer(Poller* poller, OperatorControl* control, std::string name,
                               PermissionCheck is_permitted)
    : poller_(poller),
      control_(control),
      name_(std::move(name)),
      is_permitted_(std::move(is_permitted)) {}

OperatorServer::~OperatorServer() {
  while (!clients_.empty()) Close(clients_.begin()->first);
  if (listener_.valid()) poller_->Remove(listener_.get());
}

Status OperatorServer::Start() {
  auto listener = Listen(name_);
  if (!listener) return listener.error();
  listener_ = std::move(*listener);
  spare_ = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
  return poller_->Add(listener_.get(), EPOLLIN, [this](uint32_t) { Accept(); });
}

void OperatorServer::Accept() {
  UniqueFd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd.valid() && (errno == EMFILE || errno == ENFILE) && spare_.valid()) {
    // Left alone, the waiting connection would wake us for ever.
    spare_.Reset();
    fd = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    fd.Reset();
    spare_ = UniqueFd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    return;
  }
  if (fd.valid()) Admit(std::move(fd));
}

void OperatorServer::Admit(UniqueFd fd) {
  const bool permitted = is_permitted_(fd.get());
  const auto unpermitted = static_cast<std::size_t>(std::count_if(
      clients_.begin(), clients_.end(), [](const auto& row) { return !row.second.permitted; }));
  const bool full =
      permitted ? clients_.size() - unpermitted >= kMaxClients : unpermitted >= kMaxUnpermitted;
  if (full) {
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
  client.permitted = permitted;
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
  if (!client->permitted) {
    StartReply(id, client, MakeErrorReply(kNeedsNetAdmin));
  } else if (static_cast<std::size_t>(got) > request.size()) {
    StartReply(id, client, MakeErrorReply("request too long"));
  } else {
    request.resize(static_cast<std::size_t>(got));
    TellOrder(client->fd, request);
    StartReply(id, client, MakeReply(control_, request));
  }
  return true;
}

void OperatorServer::TellOrder(const UniqueFd& fd, const std::string& request) const {
  constexpr std::size_t kMaxText = 512;
  if (!on_order_ || !IsOrder(request)) return;
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) peer.uid = ~uid_t{0};
  on_order_(request.substr(0, kMaxText), peer.uid, peer.pid);
}

void OperatorServer::StartReply(ClientId id, Client* client, std::unique_ptr<OperatorReply> reply) {
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
