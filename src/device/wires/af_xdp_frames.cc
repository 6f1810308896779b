// The AF_XDP port: frames.
#include <linux/if_xdp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "device/wires/af_xdp.h"

namespace cygnet {
namespace {

constexpr uint32_t kMorePieces = 1;  // XDP_PKT_CONTD: the next descriptor continues this frame

}  // namespace

// The packet at an address that the kernel returns.
Packet* XdpPort::Reclaim(uint64_t address) {
  const auto index =
      static_cast<uint32_t>(xsk_umem__add_offset_to_addr(address) / pool_->capacity());
  CYGNET_CHECK(index < held_.size() && held_[index] != 0);
  held_[index] = 0;
  return pool_->at(index);
}

void XdpPort::TakeBackSent(Queue* queue, DropSink* sink) {
  uint32_t at = 0;
  const uint32_t n = xsk_ring_cons__peek(&queue->completion, kRing, &at);
  if (n == 0) return;
  for (uint32_t i = 0; i < n; ++i) {
    sink->Recycle(Reclaim(*xsk_ring_cons__comp_addr(&queue->completion, at + i)));
  }
  xsk_ring_cons__release(&queue->completion, n);
}

// Gives the kernel packets to receive into, as many as it may have: what comes while this thread
// does not run, and finds none, is lost.
void XdpPort::Refill(Queue* queue, DropSink* sink) {
  if (fill_limit_ - queue->filled < fill_limit_ / 4) return;
  while (queue->filled < fill_limit_) {
    std::array<Packet*, kMaxBatch> packets;
    uint32_t n = 0;
    while (n < std::min(fill_limit_ - queue->filled, kMaxBatch)) {
      packets[n] = sink->caches()->small.Take();
      if (packets[n] == nullptr) break;
      ++n;
    }
    if (GiveToKernel(queue, {packets.data(), n})) continue;
    for (uint32_t i = 0; i < n; ++i) sink->Recycle(packets[i]);
    return;
  }
}

// The same before frames can come.
void XdpPort::FillFirst(Queue* queue) {
  while (queue->filled < fill_limit_) {
    std::array<Packet*, kMaxBatch> packets;
    const uint32_t most = std::min(fill_limit_ - queue->filled, kMaxBatch);
    const uint32_t n = pool_->Take(packets.data(), most);
    if (GiveToKernel(queue, {packets.data(), n})) continue;
    pool_->Give(packets.data(), n);
    return;
  }
}

// False: there is no room, and the packets stay the caller's.
bool XdpPort::GiveToKernel(Queue* queue, std::span<Packet* const> packets) {
  const auto n = static_cast<uint32_t>(packets.size());
  uint32_t at = 0;
  if (n == 0 || xsk_ring_prod__reserve(&queue->fill, n, &at) != n) return false;
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t index = pool_->index(packets[i]);
    held_[index] = 1;
    *xsk_ring_prod__fill_addr(&queue->fill, at + i) = uint64_t{index} * pool_->capacity();
  }
  xsk_ring_prod__submit(&queue->fill, n);
  queue->filled += n;
  return true;
}

uint32_t XdpPort::Receive(uint32_t number, PacketBatch* out, DropSink* sink) {
  Queue* queue = queues_[number].get();
  TakeBackSent(queue, sink);
  uint32_t at = 0;
  const uint32_t n = xsk_ring_cons__peek(&queue->receive, out->room(), &at);
  uint32_t received = 0;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < n; ++i) {
    const xdp_desc& frame = *xsk_ring_cons__rx_desc(&queue->receive, at + i);
    Packet* packet = Reclaim(frame.addr);
    const uint64_t start = xsk_umem__add_offset_to_addr(frame.addr);
    packet->head = static_cast<uint32_t>(start % pool_->capacity());
    packet->length = frame.len;
    const bool more = (frame.options & kMorePieces) != 0;
    const bool piece = more || queue->joined != nullptr || queue->skipping;
    if (piece || (jumbo_ && frame.len > kSmallFrame)) {
      packet = Join(queue, packet, more, sink);
      if (packet == nullptr) continue;
    } else if (frame.len < kEthernetHeader ||
               frame.len + kPacketTailroom > packet->capacity - packet->head) {
      sink->Drop(packet,
                 frame.len < kEthernetHeader ? DropReason::kPortBadFrame : DropReason::kPortTooBig);
      continue;
    }
    packet->l3_offset = kEthernetHeader;
    out->Push(packet);
    ++received;
    bytes += packet->length;
  }
  if (n > 0) xsk_ring_cons__release(&queue->receive, n);
  queue->filled -= n;
  Refill(queue, sink);
  if (xsk_ring_prod__needs_wakeup(&queue->fill) != 0) {
    (void)recvfrom(xsk_socket__fd(queue->socket), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
  }
  queue->counters.Received(received, bytes);
  return received;
}

Packet* XdpPort::Join(Queue* queue, Packet* piece, bool more, DropSink* sink) {
  const bool first = queue->joined == nullptr && !queue->skipping;
  if (first) queue->joined = sink->caches()->TakeLong(kLargeFrame);
  Packet* whole = queue->joined;
  if (first && whole == nullptr) sink->counters()->Add(DropReason::kNoBuffers);
  if (whole != nullptr && piece->length + kPacketTailroom <= whole->tailroom()) {
    std::memcpy(whole->Append(piece->length), piece->data(), piece->length);
  } else if (whole != nullptr) {
    sink->Drop(std::exchange(whole, nullptr), DropReason::kPortTooBig);
  }
  sink->Recycle(piece);
  queue->skipping = more && whole == nullptr;
  queue->joined = more ? whole : nullptr;
  return more ? nullptr : whole;
}

// Copies a packet of another pool into this one.
Packet* XdpPort::IntoPool(Queue* queue, Packet* packet, DropSink* sink) {
  if (packet->pool == pool_) return packet;
  Packet* copy = sink->caches()->small.Take();
  if (copy == nullptr) {
    sink->Drop(packet, DropReason::kNoBuffers);
    return nullptr;
  }
  std::memcpy(copy->Append(packet->length), packet->data(), packet->length);
  sink->Recycle(packet);
  queue->tx_copied.fetch_add(1, std::memory_order_relaxed);
  return copy;
}

// Copies a jumbo frame into packets of this pool; gives up the packet. False: dropped.
bool XdpPort::Cut(Queue* queue, Packet* packet, Pieces* pieces, DropSink* sink) {
  for (uint32_t at = 0; at < packet->length;) {
    Packet* piece = pieces->count < pieces->packets.size() ? sink->caches()->small.Take() : nullptr;
    if (piece == nullptr) {
      const bool too_big = pieces->count == pieces->packets.size();
      for (uint32_t i = 0; i < pieces->count; ++i) sink->Recycle(pieces->packets[i]);
      sink->Drop(packet, too_big ? DropReason::kPortTooBig : DropReason::kNoBuffers);
      return false;
    }
    const uint32_t length = std::min(packet->length - at, piece->tailroom());
    std::memcpy(piece->Append(length), packet->data() + at, length);
    pieces->packets[pieces->count++] = piece;
    at += length;
  }
  sink->Recycle(packet);
  queue->tx_copied.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool XdpPort::Post(Queue* queue, const Pieces& pieces, DropSink* sink) {
  const uint32_t n = pieces.count;
  uint32_t at = 0;
  if (xsk_ring_prod__reserve(&queue->transmit, n, &at) != n) {
    (void)Kick(queue, sink);
    TakeBackSent(queue, sink);
    if (xsk_ring_prod__reserve(&queue->transmit, n, &at) != n) return false;
  }
  for (uint32_t i = 0; i < n; ++i) {
    const Packet& packet = *pieces.packets[i];
    const uint32_t index = pool_->index(&packet);
    held_[index] = 1;
    xdp_desc* frame = xsk_ring_prod__tx_desc(&queue->transmit, at + i);
    frame->addr = uint64_t{index} * pool_->capacity() + packet.head;
    frame->len = packet.length;
    frame->options = i + 1 < n ? kMorePieces : 0;
  }
  xsk_ring_prod__submit(&queue->transmit, n);
  return true;
}

// The kernel sends a few frames per call. Calls it until all are sent or none makes progress. A
// frame that the driver refuses is gone, too, and reported as an error.
XdpPort::Kicked XdpPort::Kick(Queue* queue, DropSink* sink) {
  Kicked result;
  if (xsk_ring_prod__needs_wakeup(&queue->transmit) == 0) return result;
  for (uint32_t tries = 0; tries < 2 * kRing / 16; ++tries) {
    if (sendto(xsk_socket__fd(queue->socket), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0) break;
    result.down = tries == 0 && (errno == ENETDOWN || errno == ENXIO);
    if (errno != EAGAIN && errno != EBUSY) break;
    if (errno == EBUSY) ++result.refused;
    if (xsk_prod_nb_free(&queue->transmit, kRing) == kRing) break;
  }
  if (result.refused > 0) sink->counters()->Add(DropReason::kPortRefused, result.refused);
  return result;
}

// Takes back the last `count` pieces of frames in the ring. The kernel has not read them, because
// it reads only when this thread kicks it. Otherwise they would leave when the interface comes
// back.
void XdpPort::TakeBackUnsent(Queue* queue, uint32_t count, DropSink* sink) {
  xsk_ring_prod& ring = queue->transmit;
  for (uint32_t at = ring.cached_prod - count; at != ring.cached_prod; ++at) {
    const xdp_desc& piece = *xsk_ring_prod__tx_desc(&ring, at);
    Packet* packet = Reclaim(piece.addr);
    if ((piece.options & kMorePieces) != 0) {
      sink->Recycle(packet);
    } else {
      sink->Drop(packet, DropReason::kPortDown);
    }
  }
  ring.cached_prod -= count;
  __atomic_store_n(ring.producer, ring.cached_prod, __ATOMIC_RELEASE);
}

void XdpPort::Transmit(uint32_t number, PacketBatch* batch, DropSink* sink) {
  Queue* queue = queues_[number].get();
  TakeBackSent(queue, sink);
  if (!wire_.up()) {
    batch->DropAll(DropReason::kPortDown, sink);
    return;
  }
  uint64_t sent = 0;
  uint64_t bytes = 0;
  uint32_t posted = 0;  // pieces
  for (Packet* packet : batch->packets()) {
    const uint32_t length = packet->length;
    if (!wire_.Fits(*packet) || (length > kSmallFrame && !jumbo_)) {
      sink->Drop(packet, DropReason::kPortTooBig);
      continue;
    }
    Pieces pieces;
    if (length <= kSmallFrame) {
      pieces.packets[0] = IntoPool(queue, packet, sink);
      if (pieces.packets[0] == nullptr) continue;
      pieces.count = 1;
    } else if (!Cut(queue, packet, &pieces, sink)) {
      continue;
    }
    if (!Post(queue, pieces, sink)) {
      for (uint32_t i = 1; i < pieces.count; ++i) sink->Recycle(pieces.packets[i]);
      sink->Drop(pieces.packets[0], DropReason::kPortFull);
      continue;
    }
    ++sent;
    posted += pieces.count;
    bytes += length;
  }
  batch->ReleaseAll();
  if (sent == 0) return;
  const Kicked kicked = Kick(queue, sink);
  if (kicked.down && xsk_prod_nb_free(&queue->transmit, kRing) == kRing - posted) {
    TakeBackUnsent(queue, posted, sink);
    return;
  }
  // The kernel does not report which frames were refused: their bytes stay counted.
  queue->counters.Sent(sent - std::min<uint64_t>(sent, kicked.refused), bytes);
}

}  // namespace cygnet
