#include "daemon/xfrm_server/connection.h"

#include <linux/netlink.h>

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "daemon/system/seqpacket_server.h"
#include "netlink/builder.h"
#include "netlink/unix_transport.h"

namespace cygnet {
namespace {

// The memory of a queued message in addition to its bytes.
constexpr std::size_t kQueueEntryBytes = 64;
// Parts of a dump sent in one call, so that a reader of a large table does not block the others;
// the poller calls again at once.
constexpr int kDumpPartsPerFlush = 16;

std::size_t CostOf(const netlink::Buffer& message) { return message.size() + kQueueEntryBytes; }

}  // namespace

XfrmConnection::XfrmConnection(UniqueFd fd, std::size_t max_queued_bytes, QueueBudget* in_all)
    : fd_(std::move(fd)),
      peer_(PeerOf(fd_.get())),
      max_queued_bytes_(max_queued_bytes),
      in_all_(in_all) {}

XfrmConnection::~XfrmConnection() { in_all_->GiveBack(queued_bytes_); }

bool XfrmConnection::Listens(xfrm::EventGroup group) const {
  return !broken_ && (groups_ >> (static_cast<unsigned>(group) - 1) & 1) != 0;
}

bool XfrmConnection::TakeTransportMessage(const netlink::MessageView& message) {
  if (message.header.nlmsg_type == transport::kBind) {
    if (const auto bind = ReadAt<transport::BindPayload>(message.payload())) {
      port_id_ = bind->port_id;
      groups_ = bind->groups;
    }
    return true;
  }
  if (message.header.nlmsg_type != transport::kOption) return false;
  const auto option = ReadAt<transport::OptionPayload>(message.payload());
  if (!option) return true;
  if (option->option == NETLINK_EXT_ACK) ack_options_.extended = option->value != 0;
  if (option->option == NETLINK_CAP_ACK) ack_options_.capped = option->value != 0;
  if (option->option == NETLINK_NO_ENOBUFS) report_overrun_ = option->value == 0;
  if (option->option == transport::kReceiveRoom) {
    dump_room_ = static_cast<std::size_t>(
        std::clamp(option->value, transport::kFirstDumpBytes, transport::kMostDumpBytes));
  }
  return true;
}

bool XfrmConnection::TrySend(const netlink::Buffer& message) {
  const Sent sent = SendDatagram(fd(), message);
  if (sent == Sent::kLater) return false;
  if (sent != Sent::kYes) ++lost_;
  broken_ = sent == Sent::kBroken;
  return true;
}

void XfrmConnection::Send(netlink::Buffer message) {
  if (broken_ || (queue_.empty() && TrySend(message))) return;
  Enqueue(std::make_shared<const netlink::Buffer>(std::move(message)));
}

void XfrmConnection::Send(Datagram message) {
  if (broken_) return;
  if (queue_.empty() && TrySend(*message)) return;
  Enqueue(std::move(message));
}

void XfrmConnection::Enqueue(Datagram message) {
  const std::size_t cost = CostOf(*message);
  if (queued_bytes_ + cost > max_queued_bytes_ || !in_all_->HasRoomFor(cost)) {
    ++lost_;
    MarkOverrun();
    return;
  }
  Push(std::move(message));
  last_overrun_ = nullptr;
}

void XfrmConnection::Push(Datagram message) {
  queued_bytes_ += CostOf(*message);
  in_all_->Take(CostOf(*message));
  queue_.push_back(std::move(message));
}

void XfrmConnection::Pop() {
  queued_bytes_ -= CostOf(*queue_.front());
  in_all_->GiveBack(CostOf(*queue_.front()));
  queue_.pop_front();
}

// Queues one mark per gap, at the place of the gap. A mark may exceed the bound, because there is
// at most one for each message within it.
void XfrmConnection::MarkOverrun() {
  if (!report_overrun_ || last_overrun_ != nullptr) return;
  netlink::MessageBuilder mark({.type = transport::kOverrun, .pid = port_id_});
  last_overrun_ = std::make_shared<const netlink::Buffer>(std::move(mark).Finish());
  Push(last_overrun_);
}

void XfrmConnection::SendQueued() {
  while (!queue_.empty() && !broken_) {
    if (!TrySend(*queue_.front())) return;
    Pop();
  }
  if (queue_.empty()) last_overrun_ = nullptr;
}

void XfrmConnection::StartDump(std::unique_ptr<XfrmDump> dump) {
  CYGNET_CHECK(!dumping());
  dump_ = std::move(dump);
  // The queue need not be empty: the first part is sent in order after the queued messages.
  Send(dump_->Next(dump_room_));
  if (dump_->finished()) dump_ = nullptr;
}

void XfrmConnection::ContinueDump() {
  for (int i = 0; i < kDumpPartsPerFlush && dump_ != nullptr && queue_.empty(); ++i) {
    Send(dump_->Next(dump_room_));
    if (broken_ || dump_->finished()) dump_ = nullptr;
  }
}

void XfrmConnection::Flush() {
  SendQueued();
  ContinueDump();
}

}  // namespace cygnet
