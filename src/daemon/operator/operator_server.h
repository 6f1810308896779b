// OperatorServer: answers the operator's command, over connections that the doorstep
// (netlink/doorstep.h) let in. AF_UNIX SOCK_SEQPACKET, one JSON object a datagram:
//
//   request  {"command": "sa" | "policy" | "dev" | "stat" | "engine" | "mtu" | "ledger" |
//                       "explain" | "offload" | "placement" | "fault" | "reload" | "doctor" | "why"
//                       | "capture" | "statistics" | "cluster" | "monitor", …}
//            sa: [show_keys] bool, [brief] bool (ToBriefJson), [spi] "0x1000" or number, [dst],
//            [src] address, [reqid] number
//            mtu: dst, [src] address, [proto], [sport], [dport], [key] number, [iif] interface that
//            it comes in by, [mark] number, [any_source] bool: src stands for a network
//            dev: [name], [brief] bool: without held, key_log, driver_view and statistics
//            statistics: ifindex of a device's host-side interface: for the preload library, which
//            answers `ethtool -S`; an item for each: name, value
//            capture: device, [side] "host", "wire" or "guard" (default: the host-side interface
//            and the wire), [snaplen] bytes, [with_keys] bool
//            ledger: [holder] device or engine, [spi], [dst], [current] bool: only keys held now,
//            [last] number: so many placements and so many keys, the latest
//            explain: device, [aead] or [cipher] and [auth], [key_bits], [icv_bits], [mode],
//            [offload], [ipv6], [encap], [esn], [replay_window], [tfc], [direction] "in" or "out"
//            offload: action "enable" or "disable", device; without action: what is in force
//            placement: action "set": [spi], [dst], [reqid], mode, [device], [pin] bool; "unset":
//            [spi], [dst], [reqid]
//            cluster: [action] "move": group, node
//            monitor: [events] array of kinds of events (EventFeed::kKinds); default: all
//            fault: device, fault: the fault that a simulated device is to play
//   reply    {"item": {…}} for each entry (report_json.h lists the fields), then {"done": true}
//            {"append": {"held": […]}}: more elements for an array of the preceding item, if the
//            item is too long for one datagram
//            {"error": "text"} in place of the rest
//   capture  {"ok": true}, then pcapng, whole blocks in each datagram, until the client closes the
//            connection or shuts its side down (then queued frames and statistics still follow).
//            With keys, {"sa": {…}} comes before the first frame of each SA (KeysOf).
//   monitor  {"ok": true}, then an event in each datagram (report_json.h), until the client closes
//            the connection or shuts its side down
//
// No JSON datagram is longer than kOperatorDatagram. The server makes a reply as the client reads
// it, and reads a request when the previous reply is complete: a slow client costs the snapshot of
// one reply, and all slow clients together kMaxHeldBytes.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/result.h"
#include "base/unique_fd.h"
#include "control/report.h"
#include "daemon/operator/reply.h"
#include "daemon/system/poller.h"
#include "daemon/system/seqpacket_server.h"

namespace cygnet {

// Runs in the poller's thread.
class OperatorServer {
 public:
  // Called with each order (OrderOf) before it is executed: the parsed request, and the peer's user
  // and process as the daemon's namespaces number them.
  using OrderObserver = std::function<void(const std::string& request, uint32_t uid, int32_t pid)>;

  static constexpr std::size_t kMaxClients = 64;
  // Limit for all replies together; a single reply may exceed it. If a request needs more, a client
  // that has read nothing for a second loses its connection; if there is none, the request fails
  // with "try again".
  static constexpr std::size_t kMaxHeldBytes = std::size_t{64} << 20;

  // REQUIRES: `poller` and `control` outlive the server.
  OperatorServer(Poller* poller, OperatorControl* control,
                 std::size_t max_held_bytes = kMaxHeldBytes);
  OperatorServer(const OperatorServer&) = delete;
  OperatorServer& operator=(const OperatorServer&) = delete;

  // Serves a client that has proved its capability, from the next RunOnce on.
  void Admit(UniqueFd fd);

  void SetOrderObserver(OrderObserver observer) { on_order_ = std::move(observer); }

  // What they name outlives the server.
  void SetSources(OperatorSources sources) { sources_ = std::move(sources); }

  std::size_t clients() const { return clients_.clients().size(); }

 private:
  using ClientId = uint64_t;
  struct Client {
    int fd() const { return socket.get(); }
    uint32_t wanted_events() const;

    UniqueFd socket;
    bool input_ended = false;                         // the peer sends no more
    std::unique_ptr<OperatorReply> reply;             // under way, or nullptr
    std::string datagram;                             // of the reply, not sent yet
    bool reply_waits = false;                         // for its wait_fd()
    std::chrono::steady_clock::time_point read_last;  // when it last read a datagram of the reply
  };

  // False: the client must be closed.
  bool Serve(ClientId id, Client* client, uint32_t events);
  bool ReadRequest(ClientId id, Client* client);
  bool Pump(Client* client);
  void NotifyOrder(const OrderMark& mark, const std::string& request) const;
  void StartReply(ClientId id, Client* client, std::unique_ptr<OperatorReply> reply);
  static void WipeDatagram(Client* client);
  void EndReply(Client* client);
  std::size_t HeldBytes() const;
  std::optional<ClientId> LongestStopped(ClientId except,
                                         std::chrono::steady_clock::time_point now) const;
  bool MakeRoom(std::size_t bytes, ClientId for_whom);

  Poller* const poller_;
  OperatorControl* const control_;
  const std::size_t max_held_bytes_;
  OperatorSources sources_;
  OrderObserver on_order_;           // may be empty
  SeqpacketServer<Client> clients_;  // last: its destructor uses the members above
};

}  // namespace cygnet
