#include "device/host/tap.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/uio.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/endian.h"
#include "base/errno_error.h"
#include "base/log.h"
#include "device/host/host_link.h"
#include "device/host/virtio_header.h"
#include "net/ethernet.h"
#include "net/flow_key.h"

namespace cygnet {
namespace {


DropReason ReasonOf(int error) {
  switch (error) {
    case EBADFD:  // removed
    case EIO:     // not up
    case ENETDOWN:
      return DropReason::kPortDown;
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
      return DropReason::kPortFull;
    default:
      return DropReason::kPortRefused;
  }
}

// Short frames do not use up the packets of jumbo frames. Without a free packet it stays.
Packet* MoveToSmall(Packet* packet, DropSink* sink) {
  Packet* small = sink->caches()->small.Take();
  if (small == nullptr) return packet;
  std::memcpy(small->Append(packet->length), packet->data(), packet->length);
  sink->Recycle(packet);
  return small;
}

Status CheckMtu(const TapParams& params) {
  if (params.mtu <= params.largest_mtu) return {};
  std::string text =
      "MTU " + std::to_string(params.mtu) + " is above " + std::to_string(params.largest_mtu);
  if (params.largest_mtu < kLargestMtu) {
    text += ", because pools.large is 0: set it (10 KiB each), or set mtu = 1500, which needs none";
  }
  return MakeError(Errc::kInvalid, text);
}

}  // namespace

Result<std::unique_ptr<TapPort>> TapPort::Create(const TapParams& params) {
  if (params.name.empty() || params.name.size() >= IFNAMSIZ) {
    return MakeError(Errc::kInvalid,
                     "interface name '" + params.name + "' must have 1 to 15 bytes");
  }
  CYGNET_RETURN_IF_ERROR(CheckMtu(params));
  std::unique_ptr<TapPort> port(new TapPort);
  port->largest_mtu_ = params.largest_mtu;
  port->name_ = params.name;
  port->layer_ = params.layer;
  port->mac_ = params.mac;
  port->mtu_ = params.mtu;
  port->stays_ = params.keeper != nullptr;
  auto interface = OpenTapInterface(params);
  if (!interface) return interface.error();
  port->ifindex_ = interface->ifindex;
  for (UniqueFd& fd : interface->queues) {
    auto queue = std::make_unique<Queue>();
    queue->fd = std::move(fd);
    port->queues_.push_back(std::move(queue));
  }
  return port;
}

Status TapPort::Keep() {
  stays_ = true;
  return KeepTapInterface(queues_.front()->fd.get());
}

int TapPort::IfindexThatEnds() const {
  return stays_ || queues_.empty() ? 0 : IfindexHere(queues_.front()->fd.get());
}

Status TapPort::SetCarrier(LinkStatus wire) {
  const int carrier = wire == LinkStatus::kUp ? 1 : 0;
  if (ioctl(queues_.front()->fd.get(), TUNSETCARRIER, &carrier) == 0) return {};
  return ErrnoError("set the carrier of " + name_);
}

Status TapPort::SetMtu(uint32_t mtu) {
  const NamedInterface link(name_);
  ifreq request = link.Request();
  request.ifr_mtu = static_cast<int>(mtu);
  if (!link.Call(SIOCSIFMTU, &request)) return ErrnoError("set the MTU of " + name_);
  mtu_.store(mtu, std::memory_order_relaxed);
  return {};
}

Status TapPort::SetMac(const MacAddress& mac) {
  CYGNET_RETURN_IF_ERROR(SetMacAddress(name_, mac));
  mac_ = mac;
  return {};
}

TapPort::~TapPort() {
  for (auto& queue : queues_) {
    if (queue->overflow != nullptr) queue->overflow->pool->Give(&queue->overflow, 1);
  }
}

Packet* TapPort::ReceiveOne(Queue* queue, DropSink* sink, bool* more) {
  PacketCaches* caches = sink->caches();
  if (queue->overflow == nullptr) queue->overflow = caches->jumbo.Take();
  uint32_t room = kLargeFrame;
  Packet* packet = mtu() > kSmallMtu && caches->HasLarge() ? caches->large.Take() : nullptr;
  if (packet == nullptr) {
    room = kSmallFrame;
    packet = caches->small.Take();
  }
  if (packet == nullptr || queue->overflow == nullptr) {
    if (packet != nullptr) sink->Recycle(packet);
    *more = false;
    return nullptr;
  }
  // A frame of the MTU is read into a packet of its size. A longer one continues in a jumbo packet,
  // just behind the place that its front is copied to.
  VirtioNetHeader header;
  Packet* jumbo = queue->overflow;
  const uint32_t front = layer_ == HostLayer::kIp ? kEthernetHeader : 0;
  const uint32_t jumbo_room = jumbo->capacity - kPacketHeadroom - kPacketTailroom - room;
  iovec parts[3] = {{&header, kVirtioHeader},
                    {packet->data() + front, room - front},
                    {jumbo->buffer + kPacketHeadroom + room, jumbo_room}};
  const ssize_t n = readv(queue->fd.get(), parts, 3);
  if (n <= 0) {
    if (n < 0 && errno == EBADFD) NoticeRemoval();
    sink->Recycle(packet);
    *more = false;
    return nullptr;
  }
  const uint32_t length = static_cast<uint32_t>(n) - kVirtioHeader + front;
  if (length > room) {
    std::memcpy(jumbo->buffer + kPacketHeadroom, packet->data(), room);
    sink->Recycle(packet);
    packet = jumbo;
    queue->overflow = nullptr;
  }
  packet->length = length;
  if (room > kSmallFrame && length <= kSmallFrame) packet = MoveToSmall(packet, sink);
  header.csum_start = static_cast<uint16_t>(header.csum_start + front);
  if (length < kEthernetHeader || !ReadVirtioHeader(header, packet) ||
      (front != 0 && !AddEthernetHeader(packet))) {
    sink->Drop(packet, DropReason::kPortBadFrame);
    return nullptr;
  }
  packet->l3_offset = kEthernetHeader;
  return packet;
}

// False: it is not IP. The next hop of the outer packet writes the addresses.
bool TapPort::AddEthernetHeader(Packet* packet) const {
  if (packet->length <= kEthernetHeader) return false;
  uint8_t* frame = packet->data();
  const int version = frame[kEthernetHeader] >> 4;
  if (version != 4 && version != 6) return false;
  std::memset(frame, 0, kEthernetHeader - 2);
  StoreBe16(frame + kEthernetHeader - 2, version == 4 ? kEtherTypeIpv4 : kEtherTypeIpv6);
  return true;
}

// Super-packets are cut into hundreds of segments before anything else is handled. With larger
// batches, acknowledgements that arrive on the wire wait too long.
constexpr uint64_t kBatchBytes = 128 * 1024;

uint32_t TapPort::Receive(uint32_t number, PacketBatch* out, DropSink* sink) {
  Queue* queue = queues_[number].get();
  uint32_t received = 0;
  uint64_t bytes = 0;
  bool more = true;
  while (more && !out->full() && bytes < kBatchBytes) {
    Packet* packet = ReceiveOne(queue, sink, &more);
    if (packet == nullptr) continue;
    out->Push(packet);
    ++received;
    bytes += packet->length;
  }
  // Thousands of tunnels must not keep a large buffer each.
  if (layer_ == HostLayer::kIp && queue->overflow != nullptr) {
    sink->Recycle(std::exchange(queue->overflow, nullptr));
  }
  queue->counters.Received(received, bytes);
  return received;
}

// The kernel sends a flow's packets to the queue that last wrote the opposite direction of the
// flow. ESP of one SA arrives on one queue of the wire. If that worker wrote all of it to its own
// queue, all flows of the SA would end up with one worker. So the flow's hash selects the queue.
int TapPort::DescriptorFor(uint32_t number, const Packet& packet) const {
  if (queues_.size() == 1) return queues_[number]->fd.get();
  const auto ip = ParseIpPacket(packet.l3());
  if (!ip || ip->fragment) return queues_[number]->fd.get();
  return queues_[ip->flow.Hash() % queues_.size()]->fd.get();
}

void TapPort::Transmit(uint32_t number, PacketBatch* batch, DropSink* sink) {
  Queue* queue = queues_[number].get();
  uint64_t sent = 0;
  uint64_t bytes = 0;
  for (Packet* packet : batch->packets()) {
    const bool super = packet->gso_type != GsoType::kNone;
    VirtioNetHeader header = WriteVirtioHeader(*packet);
    const uint32_t skipped = layer_ == HostLayer::kIp ? packet->l3_offset : 0;
    if (packet->csum_partial)
      header.csum_start = static_cast<uint16_t>(header.csum_start - skipped);
    if (super) header.hdr_len = static_cast<uint16_t>(header.hdr_len - skipped);
    const iovec parts[2] = {{&header, kVirtioHeader},
                            {packet->data() + skipped, packet->length - skipped}};
    if (writev(DescriptorFor(number, *packet), parts, 2) < 0) {
      sink->Drop(packet, ReasonOf(errno));
      continue;
    }
    ++sent;
    bytes += packet->length - skipped;
    sink->Recycle(packet);
  }
  batch->ReleaseAll();
  queue->counters.Sent(sent, bytes);
}

int TapPort::wait_fd(uint32_t queue) const {
  return removed_.load(std::memory_order_relaxed) ? -1 : queues_[queue]->fd.get();
}

void TapPort::NoticeRemoval() {
  if (removed_.exchange(true)) return;
  Log(LogLevel::kError, "interface " + name_ +
                            " was removed: no traffic to or from the host until " +
                            "cygnetd is restarted");
}

PortStats TapPort::stats() const {
  PortStats total;
  for (const auto& queue : queues_) {
    queue->counters.AddTo(&total);
  }
  return total;
}

}  // namespace cygnet
