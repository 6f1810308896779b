// XfrmServer: the daemon's side of NETLINK_XFRM. Serves the connections that the doorstep
// (netlink/doorstep.h) lets in: executes clients' messages in lock-step (netlink/unix_transport.h)
// and sends the control plane's events to the clients that listen for them. Runs in the poller's
// thread; only WantsAcquire may be called from other threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/system/kernel_settings.h"
#include "daemon/system/poller.h"
#include "daemon/system/seqpacket_server.h"
#include "daemon/xfrm_server/connection.h"
#include "daemon/xfrm_server/lost_sa_schedule.h"
#include "daemon/xfrm_server/requests.h"
#include "netlink/patience.h"
#include "netlink/unix_transport.h"
#include "requests/control_event.h"
#include "requests/link_control.h"
#include "requests/xfrm_control.h"

namespace cygnet {

struct XfrmServerOptions {
  std::size_t max_connections = 1024;
  std::size_t max_queued_bytes = 1u
                                 << 20;  // per connection, in addition to the socket's own buffer
  // For all connections together: many clients that stopped reading must not fill the memory.
  std::size_t max_queued_in_all = std::size_t{64} << 20;
  std::function<uint32_t()> larval_seconds = ReadAcquireExpires;
};

class XfrmServer final : public ControlListener {
 public:
  struct Counters {
    uint64_t requests = 0;             // messages executed or refused
    uint64_t events = 0;               // of the control plane, with at least one listener
    uint64_t lost = 0;                 // messages that clients did not read in time
    uint64_t connections_refused = 0;  // over the limit
  };

  // Discards events until Start, so that the control plane may be built in between.
  // REQUIRES: `poller` and the argument of Start outlive the server.
  XfrmServer(Poller* poller, XfrmServerOptions options);
  XfrmServer(const XfrmServer&) = delete;
  XfrmServer& operator=(const XfrmServer&) = delete;

  // From here on, Admit may be called.
  void Start(XfrmControl* control);

  // Sets who is notified of clients' actions. REQUIRES: before Start.
  void SetClientObserver(ClientObserver observer) { observer_ = std::move(observer); }

  // Called after each datagram that was executed, once its client has the answers: for work that no
  // client need wait for.
  void SetAfterAnswer(std::function<void()> work) { after_answer_ = std::move(work); }

  // Makes tunnel interfaces for clients. REQUIRES: before Start. Without it, clients are refused.
  void SetLinkControl(LinkControl* links) { links_ = links; }

  // Serves a client that has proved its capability, from the next RunOnce on. Over the limit,
  // closes the connection at once. REQUIRES: after Start.
  void Admit(UniqueFd fd);

  // Notifies each client that subscribes to EXPIRE within 60 s of this call that the SAs of the
  // previous daemon expire, one tunnel after the other (LostSaSchedule). `is_own`: whether it is an
  // address of this host. `notified`: called once, when a client has been notified of all.
  void NotifyLost(std::vector<LostSa> lost, LostSaSchedule::IsOwn is_own = {},
                  std::function<void()> notified = {});
  // About ten times a second.
  void Tick();

  void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) override;
  bool WantsAcquire() const override { return acquire_listeners_.load() > 0; }
  bool WantsAevents() const override { return AnybodyListens(xfrm::EventGroup::kAevents); }

  std::size_t connections() const { return clients_.clients().size(); }
  Counters counters() const;

 private:
  struct Client {
    int fd() const { return connection.fd(); }
    uint32_t wanted_events() const;

    XfrmConnection connection;
    // When it began to listen for EXPIRE, and of which lost SAs it has been notified.
    std::optional<std::chrono::steady_clock::time_point> listens_since{};
    std::vector<bool> notified_of_lost{};
    std::chrono::steady_clock::time_point served_at{};  // when its last request was done
  };
  enum class Input : uint8_t { kDatagram, kNothing, kEnd };

  void Refuse();
  // False: the connection must be closed.
  bool Serve(Client* client, uint32_t events);
  Input ReadSeries(Client* client, bool looks);
  Input ReadDatagram(XfrmConnection* client);
  void Execute(std::span<const uint8_t> datagram, XfrmConnection* client);
  void RefuseOversized(XfrmConnection* client);
  void NotifyLostTo(Client* client);
  void CountAcquireListeners();
  bool AnybodyListens(xfrm::EventGroup group) const;
  void Spread(xfrm::EventGroup group, netlink::Buffer message);

  Poller& poller_;
  const XfrmServerOptions options_;
  XfrmControl* control_ = nullptr;
  LinkControl* links_ = nullptr;
  ClientObserver observer_;
  std::function<void()> after_answer_;
  std::optional<XfrmRequests> requests_;
  bool refusing_ = false;
  QueueBudget budget_;  // bytes queued by all connections
  std::atomic<int> acquire_listeners_{0};
  Patience patience_;
  std::chrono::steady_clock::time_point looks_until_{};  // for the next request, if it looked
  LostSaSchedule lost_sas_;
  std::function<void()> on_lost_notified_;  // empty after it was called
  std::chrono::steady_clock::time_point lost_until_;
  Counters counters_;  // `lost` of closed connections only
  netlink::Buffer input_;
  SeqpacketServer<Client> clients_;  // last: its destructor uses the members above
};

}  // namespace cygnet
