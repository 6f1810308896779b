#include "device/drivers/packet_socket.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include "base/endian.h"
#include "device/drivers/host_link.h"
#include "device/drivers/virtio_header.h"
#include "device/drivers/wire_port.h"

namespace cygnet {
namespace {

constexpr uint32_t kRxFrames = 4096;
constexpr uint32_t kTxFrames = 1024;
constexpr uint32_t kTxDataOffset = TPACKET2_HDRLEN - sizeof(sockaddr_ll);
constexpr uint32_t kVlanTag = 4;
constexpr int kTxWaitMs = 2;

template <typename T>
bool SetOption(int fd, int option, const T& value) {
  return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) == 0;
}

std::atomic_ref<uint32_t> StatusOf(uint8_t* frame) {
  return std::atomic_ref<uint32_t>(reinterpret_cast<tpacket2_hdr*>(frame)->tp_status);
}

bool BindTo(int fd, int ifindex, uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = ifindex;
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

// Hands the filled frames to the kernel. It stops when the socket's send memory is used up; frames
// left in the ring would wait for the next burst, so it is asked again until all have gone.
void Kick(int fd) {
  for (int tries = 0; tries < 50; ++tries) {
    if (send(fd, nullptr, 0, MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != ENOBUFS)) return;
    pollfd wait{fd, POLLOUT, 0};
    (void)poll(&wait, 1, kTxWaitMs);
  }
}

bool MapRing(int fd, int option, uint32_t frame_bytes, uint32_t frames, uint8_t** memory,
             std::size_t* bytes) {
  tpacket_req request{};
  request.tp_frame_size = frame_bytes;
  request.tp_frame_nr = frames;
  request.tp_block_size = frame_bytes * 32;
  request.tp_block_nr = frames / 32;
  if (!SetOption(fd, option, request)) return false;
  *bytes = std::size_t{frame_bytes} * frames;
  void* p = mmap(nullptr, *bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return false;
  *memory = static_cast<uint8_t*>(p);
  return true;
}

}  // namespace

PacketSocketPort::Ring::~Ring() {
  if (memory != nullptr) munmap(memory, bytes);
}

PacketSocketPort::~PacketSocketPort() = default;

Status PacketSocketPort::OpenReceive(int ifindex, uint32_t fanout_group, Ring* ring) {
  ring->fd = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = ring->fd.get();
  if (fd < 0) return SystemError("open AF_PACKET socket");
  // Version 2 wakes the reader per frame; version 3 waits for blocks and costs milliseconds.
  if (!SetOption(fd, PACKET_VERSION, int{TPACKET_V2}) || !SetOption(fd, PACKET_VNET_HDR, int{1}) ||
      !SetOption(fd, PACKET_IGNORE_OUTGOING, int{1}) ||
      !SetOption(fd, PACKET_COPY_THRESH, int{1})) {
    return SystemError("set AF_PACKET receive options");
  }
  // Frames above the MTU (super-packets of a virtual wire) come by the socket's queue instead.
  const int receive_bytes = 8 * 1024 * 1024;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof(receive_bytes));
  ring->frame_bytes = std::bit_ceil(mtu_ + kEthernetHeader + kVlanTag + 128u);
  ring->frames = kRxFrames;
  if (!MapRing(fd, PACKET_RX_RING, ring->frame_bytes, ring->frames, &ring->memory, &ring->bytes)) {
    return SystemError("map AF_PACKET receive ring");
  }
  if (!BindTo(fd, ifindex, ETH_P_ALL)) return SystemError("bind AF_PACKET socket to " + name_);
  if (fanout_group != 0) {
    const uint32_t fanout = fanout_group | PACKET_FANOUT_HASH << 16;
    if (!SetOption(fd, PACKET_FANOUT, fanout)) return SystemError("set AF_PACKET fanout");
  }
  return {};
}

Status PacketSocketPort::OpenTransmit(int ifindex, Ring* ring) {
  ring->fd = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = ring->fd.get();
  if (fd < 0) return SystemError("open AF_PACKET socket");
  if (!SetOption(fd, PACKET_VERSION, int{TPACKET_V2})) return SystemError("set AF_PACKET version");
  if (setsockopt(fd, SOL_SOCKET, SO_MARK, &kWireMark, sizeof(kWireMark)) != 0) {
    return SystemError("set socket mark");
  }
  const int send_bytes = 4 * 1024 * 1024;
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
  // A frame the kernel finds malformed must not stop the ring.
  (void)SetOption(fd, PACKET_LOSS, int{1});
  ring->frame_bytes = std::bit_ceil(mtu_ + kEthernetHeader + kVlanTag + 128u);
  ring->frames = kTxFrames;
  if (!MapRing(fd, PACKET_TX_RING, ring->frame_bytes, ring->frames, &ring->memory, &ring->bytes)) {
    return SystemError("map AF_PACKET transmit ring");
  }
  if (!BindTo(fd, ifindex, 0)) return SystemError("bind AF_PACKET socket to " + name_);
  return {};
}

Result<std::unique_ptr<Port>> PacketSocketPort::Create(const std::string& interface,
                                                       uint32_t queues, EgressGuard* guard,
                                                       CapturePoints* capture) {
  const auto facts = TakeWire(interface);
  if (!facts) return facts.error();
  std::unique_ptr<PacketSocketPort> port(new PacketSocketPort);
  port->name_ = interface;
  port->mac_ = facts->mac;
  port->mtu_ = facts->mtu;
  const int ifindex = facts->ifindex;
  const uint32_t group = queues > 1 ? static_cast<uint32_t>(ifindex & 0xffff) : 0;
  for (uint32_t i = 0; i < queues; ++i) {
    auto queue = std::make_unique<Queue>();
    CYGNET_RETURN_IF_ERROR(port->OpenReceive(ifindex, group, &queue->rx));
    CYGNET_RETURN_IF_ERROR(port->OpenTransmit(ifindex, &queue->tx));
    port->queues_.push_back(std::move(queue));
  }
  return std::unique_ptr<Port>(new GuardedPort(std::move(port), guard, capture));
}

int PacketSocketPort::wait_fd(uint32_t queue) const { return queues_[queue]->rx.fd.get(); }

// A link that goes down leaves an error on the socket, and no wait would last until it is read.
void PacketSocketPort::FinishWait(uint32_t queue) {
  int error = 0;
  socklen_t size = sizeof(error);
  (void)getsockopt(queues_[queue]->rx.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
}

// A frame that did not fit its ring slot was queued whole on the socket.
Packet* PacketSocketPort::ReceiveLong(Queue* queue, DropSink* sink) {
  Packet* packet = sink->caches()->jumbo.Take();
  VirtioNetHeader header;
  uint8_t spill = 0;
  iovec parts[2] = {{&header, kVirtioHeader}, {&spill, 1}};
  if (packet != nullptr) {
    parts[1] = {packet->data(), packet->capacity - kPacketHeadroom - kPacketTailroom};
  }
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  const ssize_t n = recvmsg(queue->rx.fd.get(), &message, MSG_DONTWAIT);
  if (packet == nullptr) {
    sink->counters()->Add(DropReason::kNoBuffers);
    return nullptr;
  }
  if (n < static_cast<ssize_t>(kVirtioHeader + kEthernetHeader) ||
      (message.msg_flags & MSG_TRUNC) != 0) {
    sink->Drop(packet, DropReason::kPortTooBig);
    return nullptr;
  }
  packet->length = static_cast<uint32_t>(n) - kVirtioHeader;
  if (!ReadVirtioHeader(header, packet)) {
    sink->Drop(packet, DropReason::kPortBadFrame);
    return nullptr;
  }
  return packet;
}

Packet* PacketSocketPort::CopyFrame(Queue* queue, uint8_t* frame, DropSink* sink) {
  auto* meta = reinterpret_cast<tpacket2_hdr*>(frame);
  const uint32_t status = meta->tp_status;
  if ((status & TP_STATUS_COPY) != 0) return ReceiveLong(queue, sink);
  const bool tagged = (status & TP_STATUS_VLAN_VALID) != 0;
  const uint32_t length = meta->tp_snaplen + (tagged ? kVlanTag : 0);
  if (meta->tp_snaplen < meta->tp_len || meta->tp_snaplen < kEthernetHeader) {
    sink->counters()->Add(DropReason::kPortBadFrame);
    return nullptr;
  }
  const bool fits = length <= kSmallPacketBytes - kPacketHeadroom - kPacketTailroom;
  Packet* packet = fits ? sink->caches()->small.Take() : sink->caches()->jumbo.Take();
  if (packet == nullptr) {
    sink->counters()->Add(DropReason::kNoBuffers);
    return nullptr;
  }
  packet->length = length;
  const uint8_t* bytes = frame + meta->tp_mac;
  VirtioNetHeader header;
  std::memcpy(&header, bytes - kVirtioHeader, kVirtioHeader);
  uint8_t* out = packet->data();
  if (tagged) {  // the kernel took the tag out of the frame: put it back
    std::memcpy(out, bytes, 12);
    const uint16_t tpid =
        (status & TP_STATUS_VLAN_TPID_VALID) != 0 ? meta->tp_vlan_tpid : ETH_P_8021Q;
    StoreBe16(out + 12, tpid);
    StoreBe16(out + 14, meta->tp_vlan_tci);
    std::memcpy(out + 16, bytes + 12, meta->tp_snaplen - 12);
    if ((header.flags & kVirtioNeedsCsum) != 0) {
      header.csum_start = static_cast<uint16_t>(header.csum_start + kVlanTag);
    }
  } else {
    std::memcpy(out, bytes, length);
  }
  if (!ReadVirtioHeader(header, packet)) {
    sink->Drop(packet, DropReason::kPortBadFrame);
    return nullptr;
  }
  return packet;
}

uint32_t PacketSocketPort::Receive(uint32_t number, PacketBatch* out, DropSink* sink) {
  Queue* queue = queues_[number].get();
  Ring& ring = queue->rx;
  uint32_t received = 0;
  uint64_t bytes = 0;
  while (!out->full()) {
    uint8_t* frame = ring.frame(ring.next);
    if ((StatusOf(frame).load(std::memory_order_acquire) & TP_STATUS_USER) == 0) break;
    Packet* packet = CopyFrame(queue, frame, sink);
    StatusOf(frame).store(TP_STATUS_KERNEL, std::memory_order_release);
    ring.next = ring.next + 1 == ring.frames ? 0 : ring.next + 1;
    if (packet == nullptr) continue;
    packet->l3_offset = kEthernetHeader;
    out->Push(packet);
    ++received;
    bytes += packet->length;
  }
  queue->counters.Received(received, bytes);
  return received;
}

// The ring is full: hand it over and wait a moment for its oldest frame.
bool PacketSocketPort::WaitForSlot(Ring* ring, uint8_t* frame) {
  (void)send(ring->fd.get(), nullptr, 0, MSG_DONTWAIT);
  if (StatusOf(frame).load(std::memory_order_acquire) == TP_STATUS_AVAILABLE) return true;
  pollfd wait{ring->fd.get(), POLLOUT, 0};
  (void)poll(&wait, 1, kTxWaitMs);
  return StatusOf(frame).load(std::memory_order_acquire) == TP_STATUS_AVAILABLE;
}

void PacketSocketPort::Transmit(uint32_t number, PacketBatch* batch, DropSink* sink) {
  Queue* queue = queues_[number].get();
  Ring& ring = queue->tx;
  const uint32_t room = ring.frame_bytes - kTxDataOffset;
  uint64_t sent = 0;
  uint64_t bytes = 0;
  for (Packet* packet : batch->packets()) {
    if (packet->length > room || packet->length > mtu_ + kEthernetHeader + kVlanTag) {
      sink->Drop(packet, DropReason::kPortTooBig);
      continue;
    }
    uint8_t* frame = ring.frame(ring.next);
    const uint32_t status = StatusOf(frame).load(std::memory_order_acquire);
    if (status != TP_STATUS_AVAILABLE && status != TP_STATUS_WRONG_FORMAT &&
        !WaitForSlot(&ring, frame)) {
      sink->Drop(packet, DropReason::kPortFull);
      continue;
    }
    reinterpret_cast<tpacket2_hdr*>(frame)->tp_len = packet->length;
    std::memcpy(frame + kTxDataOffset, packet->data(), packet->length);
    StatusOf(frame).store(TP_STATUS_SEND_REQUEST, std::memory_order_release);
    ring.next = ring.next + 1 == ring.frames ? 0 : ring.next + 1;
    ++sent;
    bytes += packet->length;
    sink->Recycle(packet);
  }
  batch->ReleaseAll();
  if (sent > 0) Kick(ring.fd.get());
  queue->counters.Sent(sent, bytes);
}

PortStats PacketSocketPort::stats() const {
  PortStats total;
  for (const auto& queue : queues_) {
    queue->counters.AddTo(&total);
    // The kernel's counter begins anew when it is read.
    tpacket_stats lost{};
    socklen_t size = sizeof(lost);
    if (getsockopt(queue->rx.fd.get(), SOL_PACKET, PACKET_STATISTICS, &lost, &size) == 0) {
      queue->rx_dropped.fetch_add(lost.tp_drops, std::memory_order_relaxed);
    }
    total.rx_dropped += queue->rx_dropped.load(std::memory_order_relaxed);
  }
  return total;
}

}  // namespace cygnet
