#include "device/host/tap.h"

#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>
#include <utility>

#include "base/endian.h"
#include "base/errno_error.h"
#include "base/log.h"
#include "device/host/host_link.h"
#include "device/host/io_batch.h"
#include "device/host/virtio_header.h"
#include "device/send_error.h"
#include "net/ethernet.h"
#include "net/flow_key.h"

namespace cygnet {
namespace {

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
  // There may be thousands of tunnel interfaces.
  const std::size_t flows = params.layer == HostLayer::kIp ? 256 : 4096;
  if (port->queues_.size() > 1) port->flows_ = std::make_unique<FlowQueues>(flows);
  return port;
}

Status TapPort::Keep() {
  stays_ = true;
  return KeepTapInterface(queues_.front()->fd.get());
}

int TapPort::IfindexThatEnds() const {
  return stays_ || queues_.empty() ? 0 : IfindexHere(queues_.front()->fd.get());
}

HostPresence TapPort::presence() const { return PresenceOf(queues_.front()->fd.get(), ifindex_); }

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
    for (Packet*& packet : queue->overflow) {
      if (packet != nullptr) packet->pool->Give(&packet, 1);
    }
  }
}

// A frame that is being read.
struct TapPort::Read {
  Packet* packet = nullptr;
  uint32_t room = kSmallFrame;  // of `packet`, for a frame
  Packet** overflow = nullptr;  // its place in Queue::overflow
  std::array<iovec, 2> parts;
};

// Sets up reads, as many as there are packets for.
uint32_t TapPort::PrepareReads(Queue* queue, PacketCaches* caches, std::span<Read> reads) const {
  const uint32_t front = layer_ == HostLayer::kIp ? kEthernetHeader : 0;
  const bool large = mtu() > kSmallMtu && caches->HasLarge();
  for (uint32_t i = 0; i < reads.size(); ++i) {
    Read& read = reads[i];
    read.overflow = &queue->overflow[i];
    if (*read.overflow == nullptr) *read.overflow = caches->jumbo.Take();
    if (*read.overflow == nullptr) return i;
    read.packet = large ? caches->large.Take() : nullptr;
    read.room = read.packet != nullptr ? kLargeFrame : kSmallFrame;
    if (read.packet == nullptr) read.packet = caches->small.Take();
    if (read.packet == nullptr) return i;
    // A frame of the MTU is read into a packet of its size, with the virtio header before it. A
    // longer one continues in a jumbo packet, just behind the place that its front is copied to.
    Packet* jumbo = *read.overflow;
    const uint32_t jumbo_room = jumbo->capacity - kPacketHeadroom - kPacketTailroom - read.room;
    read.parts[0] = {read.packet->data() + front - kVirtioHeader,
                     read.room - front + kVirtioHeader};
    read.parts[1] = {jumbo->buffer + kPacketHeadroom + read.room, jumbo_room};
  }
  return static_cast<uint32_t>(reads.size());
}

// nullptr: the frame was dropped.
Packet* TapPort::FinishRead(const Read& read, uint32_t bytes, DropSink* sink) const {
  Packet* packet = read.packet;
  const uint32_t front = layer_ == HostLayer::kIp ? kEthernetHeader : 0;
  VirtioNetHeader header;
  std::memcpy(&header, read.parts[0].iov_base, kVirtioHeader);
  const uint32_t length = bytes - kVirtioHeader + front;
  if (length > read.room) {
    packet = std::exchange(*read.overflow, nullptr);
    std::memcpy(packet->data(), read.packet->data(), read.room);
    sink->Recycle(read.packet);
  }
  packet->length = length;
  if (read.room > kSmallFrame && length <= kSmallFrame) packet = MoveToSmall(packet, sink);
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

// Appends what one system call reads, and returns its bytes. As many reads at once as may find a
// frame: the number doubles while all do. Of super-packets each is read alone, because kBatchBytes
// of them are few.
uint64_t TapPort::ReadSome(Queue* queue, PacketBatch* out, DropSink* sink, bool* more) {
  std::array<Read, kMostReads> reads;
  const uint32_t n = PrepareReads(queue, sink->caches(),
                                  std::span(reads).first(std::min(queue->reads, out->room())));
  IoBatch& io = IoBatch::OfThread();
  for (const Read& read : std::span(reads).first(n)) io.Read(queue->fd.get(), read.parts);
  const std::span<const int32_t> results = io.Run();
  uint64_t bytes = 0;
  uint32_t filled = 0;
  uint32_t longest = 0;
  for (uint32_t i = 0; i < n; ++i) {
    if (results[i] < static_cast<int32_t>(kVirtioHeader)) {
      if (results[i] == -EBADFD) NoticeRemoval();
      sink->Recycle(reads[i].packet);
      continue;
    }
    ++filled;
    Packet* packet = FinishRead(reads[i], static_cast<uint32_t>(results[i]), sink);
    if (packet == nullptr) continue;
    out->Push(packet);
    bytes += packet->length;
    longest = std::max(longest, packet->length);
  }
  *more = n > 0 && filled == n;
  queue->reads = longest > reads[0].room ? 1 : std::min(*more ? 2 * n : filled + 1, kMostReads);
  return bytes;
}

uint32_t TapPort::Receive(uint32_t number, PacketBatch* out, DropSink* sink) {
  Queue* queue = queues_[number].get();
  const uint32_t before = out->size();
  uint64_t bytes = 0;
  for (bool more = true; more && !out->full() && bytes < kBatchBytes;) {
    bytes += ReadSome(queue, out, sink, &more);
  }
  // Queues must not keep large buffers that others need; thousands of tunnels not even one each.
  const std::size_t kept = layer_ == HostLayer::kIp ? 0 : 1;
  for (Packet*& packet : std::span(queue->overflow).subspan(kept)) {
    if (packet != nullptr) sink->Recycle(std::exchange(packet, nullptr));
  }
  const uint32_t received = out->size() - before;
  queue->counters.Received(received, bytes);
  if (flows_ != nullptr && received > 0) NoteFlows(number, out->packets().subspan(before));
  return received;
}

void TapPort::NoteFlows(uint32_t number, std::span<Packet* const> packets) {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  uint64_t last = 0;  // most packets follow one of their flow
  for (const Packet* packet : packets) {
    const auto ip = ParseIpPacket(packet->l3());
    if (!ip || ip->fragment) continue;
    const uint64_t hash = ip->flow.Hash();
    if (std::exchange(last, hash) == hash) continue;
    flows_->Note(hash, number, static_cast<uint64_t>(now.tv_sec));
  }
}

// The kernel sends a flow's packets to the queue that last wrote the opposite direction of the
// flow. So that is the queue by which the flow comes. ESP of one SA arrives on one queue of the
// wire. If that worker wrote new flows to its own queue, all flows of the SA would end up with one
// worker. So the hash selects the queue of a new flow.
int TapPort::DescriptorFor(uint32_t number, const Packet& packet) const {
  if (flows_ == nullptr) return queues_[number]->fd.get();
  const auto ip = ParseIpPacket(packet.l3());
  if (!ip || ip->fragment) return queues_[number]->fd.get();
  const std::optional<uint32_t> known = flows_->Find(ip->flow.Reversed().Hash());
  return queues_[known.value_or(ip->flow.Hash() % queues_.size())]->fd.get();
}

// A frame that is being written. Its virtio header is put before it, where the packet has room.
struct TapPort::Write {
  VirtioNetHeader header;
  std::array<uint8_t, kVirtioHeader> covered;  // what the header was put over
  std::array<iovec, 2> parts;
  uint32_t count = 0;  // of parts
};

void TapPort::PrepareWrite(Packet* packet, Write* write) const {
  const uint32_t skipped = layer_ == HostLayer::kIp ? packet->l3_offset : 0;
  write->header = WriteVirtioHeader(*packet);
  VirtioNetHeader& header = write->header;
  if (packet->csum_partial) header.csum_start = static_cast<uint16_t>(header.csum_start - skipped);
  if (header.hdr_len != 0) header.hdr_len = static_cast<uint16_t>(header.hdr_len - skipped);
  uint8_t* frame = packet->data() + skipped;
  const uint32_t length = packet->length - skipped;
  write->count = packet->headroom() + skipped >= kVirtioHeader ? 1 : 2;
  if (write->count == 1) {
    std::memcpy(write->covered.data(), frame - kVirtioHeader, kVirtioHeader);
    std::memcpy(frame - kVirtioHeader, &header, kVirtioHeader);
    write->parts[0] = {frame - kVirtioHeader, length + kVirtioHeader};
  } else {
    write->parts = {iovec{&header, kVirtioHeader}, iovec{frame, length}};
  }
}

void TapPort::Transmit(uint32_t number, PacketBatch* batch, DropSink* sink) {
  Queue* queue = queues_[number].get();
  std::array<Write, kMaxBatch> writes;
  IoBatch& io = IoBatch::OfThread();
  for (uint32_t i = 0; i < batch->size(); ++i) {
    Packet* packet = (*batch)[i];
    PrepareWrite(packet, &writes[i]);
    io.Write(DescriptorFor(number, *packet), std::span(writes[i].parts).first(writes[i].count));
  }
  const std::span<const int32_t> results = io.Run();
  uint64_t sent = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < batch->size(); ++i) {
    Packet* packet = (*batch)[i];
    if (results[i] < 0) {
      // Who sees the drop sees the frame as it was.
      if (writes[i].count == 1) {
        std::memcpy(writes[i].parts[0].iov_base, writes[i].covered.data(), kVirtioHeader);
      }
      sink->Drop(packet, SendErrorReason(-results[i]));
      continue;
    }
    ++sent;
    bytes += static_cast<uint32_t>(results[i]) - kVirtioHeader;
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
  // A tunnel interface of a client's can be made again while this process runs.
  const char* until =
      layer_ == HostLayer::kIp
          ? " was removed: no traffic by it until it is made again (a [[tunnel]]: until cygnetd is "
            "restarted)"
          : " was removed: no traffic to or from the host until cygnetd is restarted";
  Log(LogLevel::kError, "interface " + name_ + until);
}

PortStats TapPort::stats() const {
  PortStats total;
  for (const auto& queue : queues_) {
    queue->counters.AddTo(&total);
  }
  return total;
}

}  // namespace cygnet
