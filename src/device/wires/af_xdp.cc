#include "device/wires/af_xdp.h"

#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr uint32_t kRing = 4096;
constexpr uint32_t kKernelHeadroom = 256;  // XDP_PACKET_HEADROOM
constexpr uint32_t kVlanTag = WireState::kVlanTag;
constexpr uint32_t kSmallRoom = kSmallPacketBytes - kPacketHeadroom - kPacketTailroom;
static_assert(kPacketHeadroom >= kKernelHeadroom);

template <typename Level>
int ToDebugLog(Level, const char* format, va_list arguments) {
  char text[256];
  const int n = std::vsnprintf(text, sizeof(text), format, arguments);
  std::string_view line(text, std::min(sizeof(text) - 1, static_cast<std::size_t>(std::max(n, 0))));
  while (line.ends_with('\n')) line.remove_suffix(1);
  Log(LogLevel::kDebug, std::string("xdp: ").append(line));
  return n;
}

// Adds advice for errors that an operator can fix.
std::string Explain(int error) {
  std::string text = std::strerror(error);
  switch (error) {
    case EPERM:
    case EACCES:
      return text +
             " (AF_XDP needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF, and not in a user "
             "namespace: the kernel loads no XDP program from there)";
    case ENOBUFS:
    case ENOMEM:
      return text +
             " (the packet pool must be locked in memory: CAP_IPC_LOCK, or LimitMEMLOCK= of "
             "the service)";
    case EBUSY:
      return text + " (another program has an XDP program or an AF_XDP socket on this interface)";
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return text + " (the kernel is built without CONFIG_XDP_SOCKETS)";
    default:
      return text;
  }
}

void AllowLockedMemory() {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  (void)setrlimit(RLIMIT_MEMLOCK, &all);  // without CAP_SYS_RESOURCE the limit is unchanged
}

Status CheckRoom(const std::string& interface, const WireFacts& facts) {
  if (facts.mtu + kEthernetHeader + kVlanTag > kSmallRoom) {
    return MakeError(Errc::kNotSupported,
                     "MTU " + std::to_string(facts.mtu) + " of " + interface + " is above " +
                         std::to_string(kSmallRoom - kEthernetHeader - kVlanTag) +
                         ", the room in a packet of the pool");
  }
  return {};
}

Status CheckQueues(const std::string& interface, const WireFacts& facts, uint32_t queues) {
  // Frames of a queue without a socket would reach the kernel and be dropped by the fence.
  if (facts.receive_queues != queues) {
    return MakeError(Errc::kInvalid,
                     interface + " has " + std::to_string(facts.receive_queues) +
                         " receive queues, but " + std::to_string(queues) +
                         " threads serve it: AF_XDP needs one queue per thread (ethtool -L " +
                         interface + " combined " + std::to_string(queues) +
                         ", or daemon.workers)");
  }
  return {};
}

// From measurements: bench/README.md, "Which port on which wire".
WireVerdict Probe(const WireFacts& facts) {
  const std::string& driver = facts.kernel_driver;
  if (driver == "veth" || driver == "tun") {
    return {
        false,
        driver + " delivers super-packets and unfinished checksums, which AF_XDP does not support"};
  }
  if (driver == "virtio_net") {
    return {false,
            "virtio_net leaves checksums unfinished between guests, which AF_XDP does not report"};
  }
  return {false, "AF_XDP has not been measured on " +
                     (driver.empty() ? "this kind of interface" : driver) +
                     "; set af_xdp to try it"};
}

}  // namespace

Result<std::unique_ptr<Port>> XdpPort::Create(const DriverParams& params) {
  const uint32_t queues = params.queues;
  auto facts = TakeWire(params.wire);
  if (!facts) return facts.error();
  CYGNET_RETURN_IF_ERROR(CheckRoom(params.wire, *facts));
  CYGNET_RETURN_IF_ERROR(CheckQueues(params.wire, *facts, queues));
  std::unique_ptr<XdpPort> port(new XdpPort(&params.pools->small));
  port->Start(params.wire, *facts, queues);
  std::string mode = "native";
  const int native = port->Open(queues, XDP_FLAGS_DRV_MODE);
  if (native != 0) {
    mode = std::string("generic (native: ") + std::strerror(native) + ")";
    const int generic = port->Open(queues, XDP_FLAGS_SKB_MODE);
    if (generic != 0) {
      return MakeError(static_cast<Errc>(generic),
                       "AF_XDP on " + params.wire + ": " + Explain(generic));
    }
  }
  Log(LogLevel::kInfo, "device " + params.name + ": AF_XDP on " + params.wire + ": mode " + mode +
                           ", copied by the kernel, " + std::to_string(queues) + " queues");
  return std::unique_ptr<Port>(std::move(port));
}

Result<std::unique_ptr<XdpPort>> XdpPort::OpenSockets(const std::string& interface,
                                                      const WireFacts& facts, PacketPool* pool,
                                                      uint32_t sharers) {
  CYGNET_RETURN_IF_ERROR(CheckRoom(interface, facts));
  std::unique_ptr<XdpPort> port(new XdpPort(pool));
  port->Start(interface, facts, facts.receive_queues * sharers);
  const int error = port->Open(facts.receive_queues, 0, XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD);
  if (error == 0) return port;
  return MakeError(static_cast<Errc>(error), "AF_XDP on " + interface + ": " + Explain(error));
}

// `shares`: into which the part of the pool is divided that all wires receive into.
void XdpPort::Start(const std::string& interface, const WireFacts& facts, uint32_t shares) {
  libbpf_set_print(ToDebugLog<libbpf_print_level>);
  libxdp_set_print(ToDebugLog<libxdp_print_level>);
  AllowLockedMemory();
  name_ = interface;
  wire_.Start(facts.mac, facts.mtu);
  ifindex_ = facts.ifindex;
  fill_limit_ = std::clamp(pool_->count() / (8 * shares), 64u, kRing);
}

// Returns 0 or an errno. The size of the pool's chunks is not a power of two, hence "unaligned".
// Zero-copy would need them in huge pages, so the kernel is set to copy.
int XdpPort::Open(uint32_t queues, uint32_t mode, uint32_t library_flags) {
  const xsk_umem_config umem_config{.fill_size = kRing,
                                    .comp_size = kRing,
                                    .frame_size = pool_->capacity(),
                                    .frame_headroom = pool_->headroom() - kKernelHeadroom,
                                    .flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG};
  xsk_socket_config config{};
  config.rx_size = kRing;
  config.tx_size = kRing;
  config.libxdp_flags = library_flags;
  config.xdp_flags = mode;
  config.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
  int error = 0;
  for (uint32_t i = 0; i < queues && error == 0; ++i) {
    queues_.push_back(std::make_unique<Queue>());
    Queue& q = *queues_.back();
    if (i == 0) {
      const auto memory = pool_->memory();
      error = -xsk_umem__create(&umem_, memory.data(), memory.size(), &q.fill, &q.completion,
                                &umem_config);
      if (error != 0) break;
    }
    error = -xsk_socket__create_shared(&q.socket, name_.c_str(), i, umem_, &q.receive, &q.transmit,
                                       &q.fill, &q.completion, &config);
  }
  if (error != 0) Close();
  return error;
}

void XdpPort::Close() {
  for (auto& queue : queues_) {
    if (queue->socket != nullptr) xsk_socket__delete(queue->socket);
  }
  queues_.clear();
  if (umem_ != nullptr) (void)xsk_umem__delete(umem_);
  umem_ = nullptr;
}

XdpPort::~XdpPort() {
  Close();
  for (uint32_t i = 0; i < held_.size(); ++i) {
    if (held_[i] == 0) continue;
    Packet* packet = pool_->at(i);
    pool_->Give(&packet, 1);
  }
}

int XdpPort::wait_fd(uint32_t queue) const { return xsk_socket__fd(queues_[queue]->socket); }

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

// Gives the kernel packets to receive into.
void XdpPort::Refill(Queue* queue, DropSink* sink) {
  const uint32_t want = fill_limit_ - queue->filled;
  if (want < fill_limit_ / 4) return;
  std::array<Packet*, kMaxBatch> packets;
  uint32_t n = 0;
  while (n < std::min(want, kMaxBatch)) {
    packets[n] = sink->caches()->small.Take();
    if (packets[n] == nullptr) break;
    ++n;
  }
  uint32_t at = 0;
  if (n == 0 || xsk_ring_prod__reserve(&queue->fill, n, &at) != n) {
    for (uint32_t i = 0; i < n; ++i) sink->Recycle(packets[i]);
    return;
  }
  for (uint32_t i = 0; i < n; ++i) {
    const uint32_t index = pool_->index(packets[i]);
    held_[index] = 1;
    *xsk_ring_prod__fill_addr(&queue->fill, at + i) = uint64_t{index} * pool_->capacity();
  }
  xsk_ring_prod__submit(&queue->fill, n);
  queue->filled += n;
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
    if (frame.len < kEthernetHeader ||
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

bool XdpPort::Post(Queue* queue, Packet* packet, DropSink* sink) {
  uint32_t at = 0;
  if (xsk_ring_prod__reserve(&queue->transmit, 1, &at) != 1) {
    (void)Kick(queue, sink);
    TakeBackSent(queue, sink);
    if (xsk_ring_prod__reserve(&queue->transmit, 1, &at) != 1) return false;
  }
  const uint32_t index = pool_->index(packet);
  held_[index] = 1;
  xdp_desc* frame = xsk_ring_prod__tx_desc(&queue->transmit, at);
  frame->addr = uint64_t{index} * pool_->capacity() + packet->head;
  frame->len = packet->length;
  frame->options = 0;
  xsk_ring_prod__submit(&queue->transmit, 1);
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

// Takes back the last `count` frames of the ring. The kernel has not read them, because it reads
// only when this thread kicks it. Otherwise they would leave when the interface comes back.
void XdpPort::TakeBackUnsent(Queue* queue, uint32_t count, DropSink* sink) {
  xsk_ring_prod& ring = queue->transmit;
  for (uint32_t at = ring.cached_prod - count; at != ring.cached_prod; ++at) {
    sink->Drop(Reclaim(xsk_ring_prod__tx_desc(&ring, at)->addr), DropReason::kPortDown);
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
  for (Packet* packet : batch->packets()) {
    if (!wire_.Fits(*packet) || packet->length > kSmallRoom) {
      sink->Drop(packet, DropReason::kPortTooBig);
      continue;
    }
    packet = IntoPool(queue, packet, sink);
    if (packet == nullptr) continue;
    const uint32_t length = packet->length;
    if (!Post(queue, packet, sink)) {
      sink->Drop(packet, DropReason::kPortFull);
      continue;
    }
    ++sent;
    bytes += length;
  }
  batch->ReleaseAll();
  if (sent == 0) return;
  const Kicked kicked = Kick(queue, sink);
  if (kicked.down && xsk_prod_nb_free(&queue->transmit, kRing) == kRing - sent) {
    TakeBackUnsent(queue, static_cast<uint32_t>(sent), sink);
    return;
  }
  // The kernel does not report which frames were refused: their bytes stay counted.
  queue->counters.Sent(sent - std::min<uint64_t>(sent, kicked.refused), bytes);
}

Status XdpPort::Follow(const PortLink& link) {
  lost_ = lost_ || link.status == LinkStatus::kGone || link.ifindex != ifindex_;
  if (lost_ && link.status != LinkStatus::kGone) {
    wire_.SetStatus(LinkStatus::kBarred);
    return MakeError(
        Errc::kNotSupported,
        "an AF_XDP port cannot reopen an interface that was removed: restart cygnetd, or "
        "use wire driver af_packet");
  }
  wire_.Set(link);
  return {};
}

PortStats XdpPort::stats() const {
  PortStats total;
  for (const auto& queue : queues_) {
    queue->counters.AddTo(&total);
    total.tx_copied += queue->tx_copied.load(std::memory_order_relaxed);
    xdp_statistics kernel{};
    socklen_t size = sizeof(kernel);
    if (getsockopt(xsk_socket__fd(queue->socket), SOL_XDP, XDP_STATISTICS, &kernel, &size) == 0) {
      total.rx_dropped += kernel.rx_dropped + kernel.rx_ring_full;
    }
  }
  total.link_changes = wire_.changes();
  return total;
}

extern const DriverInfo kAfXdpDriver = {
    .name = "af_xdp",
    .help =
        "a plain wire interface through AF_XDP, past the kernel's stack; all cryptography on the "
        "CPU",
    .open = XdpPort::Create,
    .probe = Probe,
};

}  // namespace cygnet
