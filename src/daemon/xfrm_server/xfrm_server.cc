// How a datagram is handled: peek at it, execute its messages, queue all answers and events, and
// only then consume it. The client's shim waits for that, so that a request is done when send()
// returns.

#include "daemon/xfrm_server/xfrm_server.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <thread>
#include <utility>

#include "base/log.h"
#include "daemon/xfrm_server/notifications.h"
#include "netlink/ack.h"

namespace cygnet {
namespace {

constexpr std::size_t kMaxDatagramBytes = std::size_t{64} * 1024;
// How long a client in a series of requests takes for the next one.
constexpr std::chrono::microseconds kPause{30};

// The form that the shim expects: the group in the header's flags.
Datagram AddressedTo(xfrm::EventGroup group, netlink::Buffer message) {
  nlmsghdr header;
  std::memcpy(&header, message.data(), sizeof(header));
  header.nlmsg_flags |=
      static_cast<uint16_t>(static_cast<unsigned>(group) << transport::kGroupShift);
  std::memcpy(message.data(), &header, sizeof(header));
  return std::make_shared<const netlink::Buffer>(std::move(message));
}

}  // namespace

uint32_t XfrmServer::Client::wanted_events() const {
  return EPOLLIN | EPOLLRDHUP | (connection.wants_write() ? uint32_t{EPOLLOUT} : 0u);
}

XfrmServer::XfrmServer(Poller* poller, XfrmServerOptions options)
    : poller_(*poller),
      options_(std::move(options)),
      budget_(options_.max_queued_in_all),
      input_(kMaxDatagramBytes),
      clients_(poller, {.name = "xfrm",
                        .max_clients = options_.max_connections,
                        .serve = [this](uint64_t, Client* client,
                                        uint32_t events) { return Serve(client, events); },
                        .on_close =
                            [this](Client* client) {
                              counters_.lost += client->connection.lost();
                              CountAcquireListeners();
                            }}) {}

void XfrmServer::Start(XfrmControl* control) {
  control_ = control;
  requests_.emplace(control, options_.larval_seconds, observer_, links_);
}

void XfrmServer::Admit(UniqueFd fd) {
  if (clients_.full()) return Refuse();
  refusing_ = false;
  clients_.Add(std::unique_ptr<Client>(
      new Client{.connection = {std::move(fd), options_.max_queued_bytes, &budget_},
                 .served_at = std::chrono::steady_clock::now()}));  // its first request follows
}

void XfrmServer::Refuse() {
  ++counters_.connections_refused;
  // Logs once each time the limit is reached, not for each attempt.
  if (!refusing_) Log(LogLevel::kWarning, "xfrm: connection limit reached, refusing new clients");
  refusing_ = true;
}

bool XfrmServer::Serve(Client* client, uint32_t events) {
  if ((events & EPOLLOUT) != 0) client->connection.Flush();
  patience_.Note(std::chrono::steady_clock::now() < looks_until_);
  const bool looks = patience_.ShouldLook();
  // Reads before it obeys HUP: the last request of a client that left is still executed.
  Input input = Input::kNothing;
  if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
    input = ReadSeries(client, looks);
  }
  looks_until_ = {};
  if (looks) {
    poller_.ExpectMore(kPause);  // also after the end: `ip -batch` connects for each line
    looks_until_ = std::chrono::steady_clock::now() + kPause;
  }
  if (input == Input::kEnd) return false;
  NotifyLostTo(client);
  return true;
}

// A client that adds many SAs sends the next request a few microseconds after the answer to the
// last. Waiting for it here takes a third of a turn of the poller's loop. Ends soon enough for
// other clients and for the rest of the loop.
XfrmServer::Input XfrmServer::ReadSeries(Client* client, bool looks) {
  using Steady = std::chrono::steady_clock;
  constexpr std::chrono::microseconds kLongest{1000};
  const auto began = Steady::now();
  static const bool one_cpu = std::thread::hardware_concurrency() == 1;
  const bool series = looks && !one_cpu && began - client->served_at < 4 * kPause;
  Input input = ReadDatagram(&client->connection);
  auto served = Steady::now();
  while (series && input != Input::kEnd && !client->connection.wants_write()) {
    const auto now = Steady::now();
    if (input == Input::kDatagram) served = now;
    if (now - served > kPause || now - began > kLongest) break;
    input = ReadDatagram(&client->connection);
    if (input == Input::kDatagram) patience_.Note(true);
  }
  client->served_at = served;
  return input;
}

XfrmServer::Input XfrmServer::ReadDatagram(XfrmConnection* client) {
  const ssize_t size =
      recv(client->fd(), input_.data(), input_.size(), MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT);
  if (size < 0) {
    // ECONNRESET comes once, if the peer closed with unread answers; requests may still follow.
    const bool again = errno == EAGAIN || errno == EINTR || errno == ECONNRESET;
    return again ? Input::kNothing : Input::kEnd;
  }
  const auto length = static_cast<std::size_t>(size);
  if (length == 0) {
    // Either the end or an empty datagram, which netlink ignores.
    pollfd state{.fd = client->fd(), .events = POLLRDHUP, .revents = 0};
    if (poll(&state, 1, 0) > 0) return Input::kEnd;
  } else if (length > input_.size()) {
    RefuseOversized(client);
  } else {
    Execute({input_.data(), length}, client);
  }
  SecureWipe(input_.data(), std::min(length, input_.size()));
  uint8_t nothing;
  // Consumes the datagram: only now may the client's send return.
  (void)recv(client->fd(), &nothing, 0, MSG_TRUNC | MSG_DONTWAIT);
  if (after_answer_) after_answer_();
  return Input::kDatagram;
}

void XfrmServer::Execute(std::span<const uint8_t> datagram, XfrmConnection* client) {
  bool rebound = false;
  const bool heard_keys = client->Listens(xfrm::EventGroup::kSa);
  while (const auto message = netlink::NextMessage(datagram)) {
    if (client->TakeTransportMessage(*message)) {
      rebound = true;
      continue;
    }
    ++counters_.requests;
    requests_->Execute(*message, client);
  }
  if (rebound) CountAcquireListeners();
  // Notifications of new SAs contain their keys.
  if (observer_ && !heard_keys && client->Listens(xfrm::EventGroup::kSa)) {
    observer_({ClientAct::kKeys, [] { return "listens for new SAs, with their keys"; }},
              client->peer());
  }
}

// Answers the first message of an oversized datagram; none of its messages is executed.
void XfrmServer::RefuseOversized(XfrmConnection* client) {
  netlink::MessageView message;
  std::memcpy(&message.header, input_.data(), sizeof(message.header));
  message.bytes = {input_.data(), netlink::kHeaderSize};
  ++counters_.requests;
  netlink::AckOptions options = client->ack_options();
  options.capped = true;  // the rest was not read and cannot be echoed
  netlink::ExtendedAck ack;
  ack.message = "Request is too large";
  client->Send(netlink::BuildAck(message, static_cast<int>(Errc::kInvalid), ack, options,
                                 client->port_id()));
}

void XfrmServer::CountAcquireListeners() {
  int listeners = 0;
  for (const auto& [id, client] : clients_.clients()) {
    if (client->connection.Listens(xfrm::EventGroup::kAcquire)) ++listeners;
  }
  acquire_listeners_.store(listeners);
}

bool XfrmServer::AnybodyListens(xfrm::EventGroup group) const {
  for (const auto& [id, client] : clients_.clients()) {
    if (client->connection.Listens(group)) return true;
  }
  return false;
}

void XfrmServer::OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) {
  const xfrm::EventGroup group = GroupOf(event);
  if (control_ == nullptr || !AnybodyListens(group)) return;
  ++counters_.events;
  Spread(group, EncodeEvent(event, origin, *control_));
}

void XfrmServer::NotifyLost(std::vector<LostSa> lost, LostSaSchedule::IsOwn is_own,
                            std::function<void()> notified) {
  constexpr std::chrono::seconds kSubscribeWithin{60};
  lost_sas_ = LostSaSchedule(std::move(lost), std::move(is_own));
  on_lost_notified_ = std::move(notified);
  lost_until_ = std::chrono::steady_clock::now() + kSubscribeWithin;
}

void XfrmServer::Tick() {
  if (lost_sas_.empty()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now > lost_until_ + LostSaSchedule::kLongest) lost_sas_ = LostSaSchedule();
  for (const auto& [id, client] : clients_.clients()) {
    NotifyLostTo(client.get());
    clients_.UpdatePolling(*client);
  }
}

void XfrmServer::NotifyLostTo(Client* client) {
  if (lost_sas_.empty() || !client->connection.Listens(xfrm::EventGroup::kExpire)) return;
  const auto now = std::chrono::steady_clock::now();
  if (!client->listens_since.has_value()) {
    if (now > lost_until_) return;
    client->listens_since = now;
  }
  const auto listened =
      std::chrono::duration_cast<LostSaSchedule::Milliseconds>(now - *client->listens_since);
  for (netlink::Buffer& expiry : lost_sas_.Due(listened, *control_, &client->notified_of_lost)) {
    client->connection.Send(AddressedTo(xfrm::EventGroup::kExpire, std::move(expiry)));
  }
  const std::vector<bool>& done = client->notified_of_lost;
  if (std::find(done.begin(), done.end(), false) != done.end()) return;
  if (const auto notified = std::exchange(on_lost_notified_, {})) notified();
}

void XfrmServer::Spread(xfrm::EventGroup group, netlink::Buffer message) {
  const auto datagram = AddressedTo(group, std::move(message));
  for (const auto& [id, client] : clients_.clients()) {
    if (!client->connection.Listens(group)) continue;
    client->connection.Send(datagram);
    clients_.UpdatePolling(*client);
  }
}

XfrmServer::Counters XfrmServer::counters() const {
  Counters result = counters_;
  for (const auto& [id, client] : clients_.clients()) {
    result.lost += client->connection.lost();
  }
  return result;
}

}  // namespace cygnet
