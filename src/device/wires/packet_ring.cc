#include "device/wires/packet_ring.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>
#include <utility>

#include "base/errno_error.h"
#include "device/host/host_link.h"
#include "device/wire_mark.h"
#include "device/wires/super_sender.h"
#include "packet/packet_pool.h"

namespace cygnet {
namespace {

constexpr uint32_t kRxFrames = 4096;
// Of 16 KiB: 30 MiB. Slots of more than 4 KiB. The kernel tells nothing of a ring that was kept but
// its length, so no two sizes of slots may make rings of one length, now or in earlier versions,
// whose lengths are powers of two.
constexpr uint32_t kRxJumboFrames = 1920;
static_assert(std::has_single_bit(kRxFrames) && !std::has_single_bit(kRxJumboFrames));
constexpr uint32_t kTxFrames = 1024;
constexpr uint32_t kTxDataOffset = TPACKET2_HDRLEN - sizeof(sockaddr_ll);
constexpr int kTxWaitMs = 2;

template <typename T>
bool SetOption(int fd, int option, const T& value) {
  return setsockopt(fd, SOL_PACKET, option, &value, sizeof(value)) == 0;
}

tpacket2_hdr* HeaderOf(uint8_t* frame) { return reinterpret_cast<tpacket2_hdr*>(frame); }

bool BindTo(int fd, int ifindex, uint16_t protocol) {
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(protocol);
  address.sll_ifindex = ifindex;
  return bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
}

bool MapFrames(uint32_t frame_bytes, uint32_t frames, PacketRing* ring) {
  const std::size_t bytes = std::size_t{frame_bytes} * frames;
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd.get(), 0);
  if (p == MAP_FAILED) return false;
  ring->memory = static_cast<uint8_t*>(p);
  ring->bytes = bytes;
  ring->frame_bytes = frame_bytes;
  ring->frames = frames;
  return true;
}

bool MapRing(int option, uint32_t frame_bytes, uint32_t frames, PacketRing* ring) {
  tpacket_req request{};
  request.tp_frame_size = frame_bytes;
  request.tp_frame_nr = frames;
  request.tp_block_size = frame_bytes * 32;
  request.tp_block_nr = frames / 32;
  return SetOption(ring->fd.get(), option, request) && MapFrames(frame_bytes, frames, ring);
}

uint32_t ReceiveFrames(uint32_t frame_bytes) {
  return frame_bytes > 4096 ? kRxJumboFrames : kRxFrames;
}

// The kernel does not ask the sockets of a fanout for PACKET_IGNORE_OUTGOING. Each drops them
// itself.
bool IgnoreOwnFrames(int fd) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, static_cast<uint32_t>(SKF_AD_OFF + SKF_AD_PKTTYPE)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, PACKET_OUTGOING, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0),
      BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
  };
  const sock_fprog program{.len = std::size(code), .filter = code};
  return SetOption(fd, PACKET_IGNORE_OUTGOING, int{1}) &&
         setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) == 0;
}

uint32_t FanoutOf(const RingParams& params) {
  return params.fanout_group == 0 ? 0 : params.fanout_group | PACKET_FANOUT_HASH << 16;
}

bool HasOption(int fd, int option, uint32_t expected) {
  uint32_t value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_PACKET, option, &value, &size) == 0 && value == expected;
}

int BoundIfindexOf(int fd) {
  sockaddr_ll address{};
  socklen_t size = sizeof(address);
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
  return address.sll_family == AF_PACKET ? address.sll_ifindex : -1;
}

// Errors of the interface, not of a frame.
bool MeansDown(int error) { return error == ENETDOWN || error == ENXIO || error == ENODEV; }

}  // namespace

PacketRing::~PacketRing() {
  if (memory != nullptr) munmap(memory, bytes);
}

uint32_t PacketRing::status(uint32_t i) const {
  return std::atomic_ref<uint32_t>(HeaderOf(frame(i))->tp_status).load(std::memory_order_acquire);
}

void PacketRing::set_status(uint32_t i, uint32_t status) const {
  std::atomic_ref<uint32_t>(HeaderOf(frame(i))->tp_status).store(status, std::memory_order_release);
}

// Longer frames than those of kLargestMtu come by the socket's queue.
uint32_t RingFrameBytes(uint32_t mtu) {
  constexpr uint32_t kEthernetAndTag = 18;
  return std::bit_ceil(std::min(mtu, kLargestMtu) + kEthernetAndTag + 128u);
}

Status OpenReceiveRing(const RingParams& params, PacketRing* ring) {
  ring->fd = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = ring->fd.get();
  if (fd < 0) return ErrnoError("open AF_PACKET socket");
  // Version 2 wakes the reader per frame; version 3 waits for blocks and costs milliseconds.
  if (!SetOption(fd, PACKET_VERSION, int{TPACKET_V2}) || !SetOption(fd, PACKET_VNET_HDR, int{1}) ||
      !SetOption(fd, PACKET_COPY_THRESH, int{1}) || !IgnoreOwnFrames(fd)) {
    return ErrnoError("set AF_PACKET receive options");
  }
  // Frames above the MTU (super-packets of a virtual wire) use the socket's queue instead.
  const int receive_bytes = 8 * 1024 * 1024;
  (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &receive_bytes, sizeof(receive_bytes));
  if (!SuperSender::Prepare(fd)) return ErrnoError("set socket mark");
  const uint32_t frame_bytes = RingFrameBytes(params.mtu);
  if (!MapRing(PACKET_RX_RING, frame_bytes, ReceiveFrames(frame_bytes), ring)) {
    return ErrnoError("map AF_PACKET receive ring");
  }
  if (!BindTo(fd, params.ifindex, ETH_P_ALL)) {
    return ErrnoError("bind AF_PACKET socket to " + params.name);
  }
  if (const uint32_t fanout = FanoutOf(params);
      fanout != 0 && !SetOption(fd, PACKET_FANOUT, fanout)) {
    return ErrnoError("set AF_PACKET fanout");
  }
  return {};
}

// The kernel maps a ring only as a whole, so one of another MTU fails here.
bool AdoptReceiveRing(const RingParams& params, UniqueFd fd, PacketRing* ring) {
  if (BoundIfindexOf(fd.get()) != params.ifindex ||
      !HasOption(fd.get(), PACKET_VERSION, TPACKET_V2) ||
      !HasOption(fd.get(), PACKET_FANOUT, FanoutOf(params))) {
    return false;
  }
  ring->fd = std::move(fd);
  ring->searching = true;
  // An earlier version did not send by it, and read its own frames.
  if (!SuperSender::Prepare(ring->fd.get()) || !IgnoreOwnFrames(ring->fd.get())) return false;
  const uint32_t frame_bytes = RingFrameBytes(params.mtu);
  return MapFrames(frame_bytes, ReceiveFrames(frame_bytes), ring);
}

// The kernel fills frames one after the other, so the frame before the oldest one is free. It fills
// more while this looks: a frame in front of one that was found free is looked at again.
bool FindOldest(PacketRing* ring) {
  const auto filled = [ring](uint32_t i) { return (ring->status(i) & TP_STATUS_USER) != 0; };
  uint32_t at = 0;
  while (at < ring->frames && !filled(at)) ++at;
  if (at == ring->frames) return false;
  for (uint32_t steps = 0; steps < ring->frames; ++steps) {
    const uint32_t before = ring->before(at);
    if (!filled(before)) break;
    at = before;
  }
  ring->next = at;
  ring->searching = false;
  return true;
}

// PACKET_LOSS stays off: with it the kernel silently discards frames that it considers malformed.
// Without it such a frame blocks the ring, and TakeOutFirst removes it.
Status TransmitRing::Open(const RingParams& params) {
  ring_.fd = UniqueFd(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int fd = ring_.fd.get();
  if (fd < 0) return ErrnoError("open AF_PACKET socket");
  if (!SetOption(fd, PACKET_VERSION, int{TPACKET_V2})) return ErrnoError("set AF_PACKET version");
  if (const uint32_t mark = WireMark();
      setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) != 0) {
    return ErrnoError("set socket mark");
  }
  const int send_bytes = 4 * 1024 * 1024;
  (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &send_bytes, sizeof(send_bytes));
  if (!MapRing(PACKET_TX_RING, RingFrameBytes(params.mtu), kTxFrames, &ring_)) {
    return ErrnoError("map AF_PACKET transmit ring");
  }
  if (!BindTo(fd, params.ifindex, 0)) {
    return ErrnoError("bind AF_PACKET socket to " + params.name);
  }
  FindPlace();
  return {};
}

bool TransmitRing::Adopt(const RingParams& params, UniqueFd fd) {
  uint32_t mark = 0;
  socklen_t size = sizeof(mark);
  if (BoundIfindexOf(fd.get()) != params.ifindex ||
      !HasOption(fd.get(), PACKET_VERSION, TPACKET_V2) ||
      getsockopt(fd.get(), SOL_SOCKET, SO_MARK, &mark, &size) != 0 || mark != WireMark()) {
    return false;
  }
  ring_.fd = std::move(fd);
  if (!MapFrames(RingFrameBytes(params.mtu), kTxFrames, &ring_)) return false;
  FindPlace();
  return true;
}

// The kernel writes these fields only if time stamps are requested.
void TransmitRing::SetNumber(uint32_t slot, uint64_t number) const {
  static_assert(offsetof(tpacket2_hdr, tp_nsec) == offsetof(tpacket2_hdr, tp_sec) + 4);
  auto* const place = reinterpret_cast<uint64_t*>(&HeaderOf(ring_.frame(slot))->tp_sec);
  std::atomic_ref<uint64_t>(*place).store(number, std::memory_order_release);
}

uint64_t TransmitRing::NumberOf(uint32_t slot) const {
  auto* const place = reinterpret_cast<uint64_t*>(&HeaderOf(ring_.frame(slot))->tp_sec);
  return std::atomic_ref<uint64_t>(*place).load(std::memory_order_acquire);
}

// The process before may have been killed at any instruction. A frame is marked for sending before
// its slot gets its number, and a slot gets its earlier number before its frame is removed: a
// marked frame behind the newest number counts as one more.
void TransmitRing::FindPlace() {
  const auto ours = [this](uint32_t i) {
    return (ring_.status(i) & (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT)) != 0;
  };
  number_ = kTxFrames;
  for (uint32_t i = 0; i < ring_.frames; ++i) number_ = std::max(number_, NumberOf(i) + 1);
  ring_.next = static_cast<uint32_t>(number_ % kTxFrames);
  while (waiting_ < ring_.frames && ours(ring_.next)) {
    ring_.next = ring_.after(ring_.next);
    ++number_;
    ++waiting_;
  }
  first_ = ring_.next;
  waiting_ = 0;
  while (waiting_ < ring_.frames && ours(ring_.before(first_))) {
    first_ = ring_.before(first_);
    ++waiting_;
  }
  DropCounters of_another;
  TakeOutAll(DropReason::kPortFull, &of_another);
  batch_ = {};
}

int TransmitRing::BoundIfindex() const { return BoundIfindexOf(ring_.fd.get()); }

uint32_t TransmitRing::room() const { return ring_.frame_bytes - kTxDataOffset; }

bool TransmitRing::Put(const Packet& packet, DropCounters* drops) {
  if (ring_.status(ring_.next) != TP_STATUS_AVAILABLE) {
    // Full: pushes the frames to the kernel, and waits briefly for the oldest to leave.
    Push(drops);
    if (ring_.status(ring_.next) != TP_STATUS_AVAILABLE) Wait();
    if (ring_.status(ring_.next) != TP_STATUS_AVAILABLE) return false;
  }
  uint8_t* frame = ring_.frame(ring_.next);
  HeaderOf(frame)->tp_len = packet.length;
  std::memcpy(frame + kTxDataOffset, packet.data(), packet.length);
  ring_.set_status(ring_.next, TP_STATUS_SEND_REQUEST);
  SetNumber(ring_.next, number_++);
  ring_.next = ring_.after(ring_.next);
  ++waiting_;
  ++batch_.frames;
  batch_.bytes += packet.length;
  return true;
}

SentFrames TransmitRing::HandOver(DropCounters* drops) {
  Push(drops);
  return std::exchange(batch_, {});
}

// The kernel takes frames in order. It stops at the first one without send memory, and at the first
// one that the driver refuses, which it would retry forever.
void TransmitRing::Push(DropCounters* drops) {
  int waits = 0;
  bool again = false;  // one retry of the same frame: the cause may have been temporary
  while (waiting_ > 0) {
    const int error = send(ring_.fd.get(), nullptr, 0, MSG_DONTWAIT) < 0 ? errno : 0;
    const uint32_t before = waiting_;
    SkipTaken();
    if (waiting_ < before) again = false;
    if (waiting_ == 0 || error == EINTR) continue;
    if (error == 0 || error == EAGAIN) {
      if (waits++ == kLongestWaitMs / kTxWaitMs) {
        TakeOutAll(DropReason::kPortFull, drops);
      } else {
        Wait();
      }
    } else if (!again && ring_.status(first_) == TP_STATUS_SEND_REQUEST) {
      again = true;
      (void)sched_yield();
    } else if (MeansDown(error)) {
      TakeOutAll(DropReason::kPortDown, drops);
    } else {
      TakeOutFirst();
      drops->Add(DropReason::kPortRefused);
      again = false;
    }
  }
}

// Skips frames that the kernel has taken; it would still send the others.
void TransmitRing::SkipTaken() {
  const auto ours = [this](uint32_t i) {
    return (ring_.status(i) & (TP_STATUS_SEND_REQUEST | TP_STATUS_WRONG_FORMAT)) != 0;
  };
  const uint32_t last = ring_.before(ring_.next);
  if (!ours(last)) {
    waiting_ = 0;
    first_ = ring_.next;
  }
  for (; waiting_ > 0 && !ours(first_); --waiting_) first_ = ring_.after(first_);
}

void TransmitRing::Wait() const {
  pollfd wait{ring_.fd.get(), POLLOUT, 0};
  (void)poll(&wait, 1, kTxWaitMs);
}

// The kernel continues with this slot: the frames behind it move up by one.
void TransmitRing::TakeOutFirst() {
  --batch_.frames;
  batch_.bytes -= HeaderOf(ring_.frame(first_))->tp_len;
  uint32_t to = first_;
  for (uint32_t i = 1; i < waiting_; ++i) {
    const uint32_t from = ring_.after(to);
    const uint32_t length = HeaderOf(ring_.frame(from))->tp_len;
    HeaderOf(ring_.frame(to))->tp_len = length;
    std::memcpy(ring_.frame(to) + kTxDataOffset, ring_.frame(from) + kTxDataOffset, length);
    ring_.set_status(to, TP_STATUS_SEND_REQUEST);
    to = from;
  }
  RemoveLast();
}

void TransmitRing::TakeOutAll(DropReason reason, DropCounters* drops) {
  drops->Add(reason, waiting_);
  while (waiting_ > 0) {
    const uint32_t last = ring_.before(ring_.next);
    --batch_.frames;
    batch_.bytes -= HeaderOf(ring_.frame(last))->tp_len;
    RemoveLast();
  }
}

void TransmitRing::RemoveLast() {
  ring_.next = ring_.before(ring_.next);
  --number_;
  --waiting_;
  SetNumber(ring_.next, number_ - kTxFrames);
  ring_.set_status(ring_.next, TP_STATUS_AVAILABLE);
}

}  // namespace cygnet
