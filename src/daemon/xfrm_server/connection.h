// XfrmConnection: one client socket of the XFRM server: its netlink options and its queue. Never
// blocks: messages that a client does not read wait up to a bound. Beyond it they are lost and the
// client is notified of that, as with a netlink socket (ENOBUFS).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/audit/xfrm_audit.h"
#include "daemon/xfrm_server/dump.h"
#include "netlink/buffer.h"
#include "netlink/extended_ack.h"
#include "netlink/message.h"
#include "netlink/unix_transport.h"
#include "xfrm/message_type.h"

namespace cygnet {

// An encoded message, shared by the listeners it goes to.
using Datagram = std::shared_ptr<const netlink::Buffer>;

// The limit of queued bytes for all connections together.
class QueueBudget {
 public:
  explicit QueueBudget(std::size_t bytes) : left_(static_cast<int64_t>(bytes)) {}
  bool HasRoomFor(std::size_t bytes) const { return static_cast<int64_t>(bytes) <= left_; }
  void Take(std::size_t bytes) { left_ -= static_cast<int64_t>(bytes); }
  void GiveBack(std::size_t bytes) { left_ += static_cast<int64_t>(bytes); }

 private:
  int64_t left_;
};

class XfrmConnection {
 public:
  // REQUIRES: `in_all` outlives the connection.
  XfrmConnection(UniqueFd fd, std::size_t max_queued_bytes, QueueBudget* in_all);
  ~XfrmConnection();
  XfrmConnection(const XfrmConnection&) = delete;
  XfrmConnection& operator=(const XfrmConnection&) = delete;

  int fd() const { return fd_.get(); }
  const PeerId& peer() const { return peer_; }
  // True only the first time, to limit audit records: IKE daemons request single SAs all the time.
  bool FirstReadOfKeys() { return !std::exchange(read_keys_, true); }
  uint32_t port_id() const { return port_id_; }
  netlink::AckOptions ack_options() const { return ack_options_; }
  // The peer is gone; nothing more can be sent.
  bool broken() const { return broken_; }
  // Messages wait for the socket to become writable.
  bool wants_write() const { return !broken_ && (!queue_.empty() || dump_ != nullptr); }
  uint64_t lost() const { return lost_; }

  // True if the client listens for events of this group.
  bool Listens(xfrm::EventGroup group) const;

  // Executes messages of the transport itself: kBind, kOption. False: `message` is not one of them.
  bool TakeTransportMessage(const netlink::MessageView& message);

  void Send(netlink::Buffer message);
  void Send(Datagram message);

  bool dumping() const { return dump_ != nullptr; }
  // REQUIRES: !dumping(). Sends the first part at once, the rest as the client reads.
  void StartDump(std::unique_ptr<XfrmDump> dump);

  // Sends waiting messages. Call it when the socket is writable.
  void Flush();

 private:
  // False: try later. True: sent, or lost because it can never be sent.
  bool TrySend(const netlink::Buffer& message);
  void Enqueue(Datagram message);
  void MarkOverrun();
  void Push(Datagram message);
  void Pop();
  void SendQueued();
  void ContinueDump();

  const UniqueFd fd_;
  const PeerId peer_;
  bool read_keys_ = false;
  const std::size_t max_queued_bytes_;
  QueueBudget* const in_all_;
  uint32_t port_id_ = 0;
  uint32_t groups_ = 0;  // bit n-1 = group n
  netlink::AckOptions ack_options_;
  bool report_overrun_ = true;  // cleared by NETLINK_NO_ENOBUFS
  bool broken_ = false;
  std::deque<Datagram> queue_;
  std::size_t queued_bytes_ = 0;
  Datagram last_overrun_;  // the newest overrun mark in queue_, if it is still the last entry
  uint64_t lost_ = 0;
  std::unique_ptr<XfrmDump> dump_;
  std::size_t dump_room_ = transport::kFirstDumpBytes;
};

}  // namespace cygnet
