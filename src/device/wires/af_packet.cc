// Driver "af_packet": a wire interface through AF_PACKET sockets with memory-mapped rings, one
// receive and one transmit ring per queue. Receives frames before the host's stack, which the wire
// fence keeps away from them. Its socket mark lets its own frames pass the fence.
#include <linux/if_packet.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "device/host/host_link.h"
#include "device/port_counters.h"
#include "device/wires/packet_ring.h"
#include "device/wires/ring_frame.h"
#include "device/wires/super_sender.h"
#include "device/wires/wire_port.h"
#include "device/wires/wire_state.h"

namespace cygnet {
namespace {

enum class Segmentation : uint8_t { kAuto, kOn, kOff };

constexpr std::array<NamedValue<Segmentation>, 3> kSegmentations = {{
    {"auto", Segmentation::kAuto},
    {"on", Segmentation::kOn},
    {"off", Segmentation::kOff},
}};

struct PacketOptions {
  Segmentation segmentation = Segmentation::kAuto;
};

const std::vector<Field<PacketOptions>>& PacketFields() {
  static const std::vector<Field<PacketOptions>> kFields = {
      {"udp_segmentation", &PacketOptions::segmentation,
       OneOf(std::span<const NamedValue<Segmentation>>(kSegmentations)),
       "whether ESP in UDP is handed over in runs that kernel or NIC cut"},
  };
  return kFields;
}

// Virtual wires hand frames to the other end uncut, where a capture would see one long datagram.
bool JoinsDatagrams(Segmentation segmentation, const WireFacts& facts) {
  const bool uncut = facts.kernel_driver == "veth" || facts.kernel_driver == "tun";
  return segmentation == Segmentation::kOn || (segmentation == Segmentation::kAuto && !uncut);
}

class PacketSocketPort final : public Port {
 public:
  static Result<std::unique_ptr<Port>> Create(const DriverParams& params);

  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return wire_.mac(); }
  uint32_t mtu() const override { return wire_.mtu(); }
  uint32_t queues() const override { return static_cast<uint32_t>(queues_.size()); }
  PortStats stats() const override;
  bool TakesSuperPackets() const override { return true; }
  LinkStatus link() const override { return wire_.status(); }
  Status Follow(const PortLink& link) override;

  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override;
  // Otherwise the descriptor itself becomes readable.
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override;

 private:
  struct Rings {
    explicit Rings(bool joins) : supers(joins) {}
    PacketRing rx;  // its socket sends super-packets
    TransmitRing tx;
    SuperSender supers;
  };
  struct Queue {
    // Owned by the thread, which replaces it under the lock. Other threads read it under the lock.
    std::unique_ptr<Rings> rings;
    PortCounters counters;
    std::atomic<uint64_t> rx_dropped{0};
    std::atomic<bool> renewed{false};  // the thread should switch to `fresh`
    std::mutex mutex;
    std::unique_ptr<Rings> fresh;
  };
  PacketSocketPort() = default;
  RingParams ParamsOf(const PortLink& link) const;
  Result<std::unique_ptr<Rings>> OpenRings(const PortLink& link) const;
  std::vector<std::unique_ptr<Rings>> AdoptRings(const PortLink& link) const;
  Result<std::vector<std::unique_ptr<Rings>>> OpenAll(const PortLink& link) const;
  Status AdoptSender(std::size_t queue, const PortLink& link, TransmitRing* tx) const;
  void KeepAll(const std::vector<std::unique_ptr<Rings>>& rings) const;
  std::string KeptName(std::size_t queue) const {
    return "wire-" + device_ + "-" + std::to_string(queue);
  }
  std::string SenderName(std::size_t queue) const { return KeptName(queue) + "-out"; }
  bool Serves(const PortLink& link) const;
  Rings& RingsOf(Queue* queue);
  static void TakeUp(Queue* queue);
  static uint32_t SendFirst(Rings* rings, std::span<Packet* const> packets, DropSink* sink,
                            SentFrames* sent);
  static bool SendWhole(Rings* rings, std::span<Packet* const> packets, DropSink* sink,
                        SentFrames* sent);

  std::string name_;
  std::string device_;
  DescriptorKeeper* keeper_ = nullptr;  // nullptr: no socket outlives the process
  uint32_t count_ = 0;                  // queues
  bool joins_ = false;                  // datagrams of ESP, for the kernel to cut
  WireState wire_;
  std::vector<std::unique_ptr<Queue>> queues_;
};

Result<std::unique_ptr<Port>> PacketSocketPort::Create(const DriverParams& params) {
  const auto options = ReadOptions(params.options, PacketFields());
  if (!options) return options.error();
  const auto facts = TakeWire(params.wire);
  if (!facts) return facts.error();
  std::unique_ptr<PacketSocketPort> port(new PacketSocketPort);
  port->name_ = params.wire;
  port->device_ = params.name;
  port->keeper_ = params.keeper;
  port->count_ = params.queues;
  port->joins_ = JoinsDatagrams(options->segmentation, *facts);
  port->wire_.Start(facts->mac, facts->mtu);
  const PortLink link{.ifindex = facts->ifindex, .mtu = facts->mtu};
  Result<std::vector<std::unique_ptr<Rings>>> rings = port->AdoptRings(link);
  if (rings->empty()) rings = port->OpenAll(link);
  if (!rings) return rings.error();
  for (auto& one : *rings) {
    auto queue = std::make_unique<Queue>();
    queue->rings = std::move(one);
    port->queues_.push_back(std::move(queue));
  }
  return std::unique_ptr<Port>(std::move(port));
}

RingParams PacketSocketPort::ParamsOf(const PortLink& link) const {
  RingParams params{.name = name_, .ifindex = link.ifindex, .mtu = link.mtu};
  if (count_ > 1) params.fanout_group = static_cast<uint32_t>(link.ifindex & 0xffff);
  return params;
}

Result<std::unique_ptr<PacketSocketPort::Rings>> PacketSocketPort::OpenRings(
    const PortLink& link) const {
  auto rings = std::make_unique<Rings>(joins_);
  CYGNET_RETURN_IF_ERROR(OpenReceiveRing(ParamsOf(link), &rings->rx));
  CYGNET_RETURN_IF_ERROR(rings->tx.Open(ParamsOf(link)));
  return rings;
}

Result<std::vector<std::unique_ptr<PacketSocketPort::Rings>>> PacketSocketPort::OpenAll(
    const PortLink& link) const {
  std::vector<std::unique_ptr<Rings>> all;
  while (all.size() < count_) {
    auto rings = OpenRings(link);
    if (!rings) return rings.error();
    all.push_back(*std::move(rings));
  }
  KeepAll(all);
  return all;
}

// --- Sockets that outlive the process ---

void PacketSocketPort::KeepAll(const std::vector<std::unique_ptr<Rings>>& rings) const {
  if (keeper_ == nullptr) return;
  for (std::size_t i = 0; i < rings.size(); ++i) {
    keeper_->Keep(KeptName(i), rings[i]->rx.fd.get());
    keeper_->Keep(SenderName(i), rings[i]->tx.fd());
  }
}

// One of another interface or MTU does not fit; an earlier version left none.
Status PacketSocketPort::AdoptSender(std::size_t queue, const PortLink& link,
                                     TransmitRing* tx) const {
  UniqueFd fd = keeper_->Take(SenderName(queue));
  if (fd.valid() && tx->Adopt(ParamsOf(link), std::move(fd))) return {};
  CYGNET_RETURN_IF_ERROR(tx->Open(ParamsOf(link)));
  keeper_->Keep(SenderName(queue), tx->fd());
  return {};
}

// The receive rings that an earlier process left, with frames that it did not read, and the
// transmit rings. Empty: there are none, or they do not fit and are closed everywhere.
std::vector<std::unique_ptr<PacketSocketPort::Rings>> PacketSocketPort::AdoptRings(
    const PortLink& link) const {
  std::vector<std::unique_ptr<Rings>> all;
  if (keeper_ == nullptr) return all;
  bool fit = true;
  for (;;) {
    UniqueFd fd = keeper_->Take(KeptName(all.size()));
    if (!fd.valid()) break;
    auto rings = std::make_unique<Rings>(joins_);
    fit = fit && AdoptReceiveRing(ParamsOf(link), std::move(fd), &rings->rx) &&
          AdoptSender(all.size(), link, &rings->tx).has_value();
    all.push_back(std::move(rings));
  }
  if (fit && all.size() == count_) return all;
  const std::size_t found = all.size();
  all.clear();
  for (std::size_t i = 0; i < found; ++i) {
    keeper_->Discard(KeptName(i));
    keeper_->Discard(SenderName(i));
  }
  return all;
}

// --- Control thread ---

// A socket whose interface disappeared never gets a new one, even of the same name, and one with a
// fanout cannot be bound again. So Follow makes new sockets, and each queue's thread switches to
// them.
Status PacketSocketPort::Follow(const PortLink& link) {
  if (link.ifindex != 0 && !Serves(link)) {
    auto fresh = OpenAll(link);
    if (!fresh) return fresh.error();
    for (std::size_t i = 0; i < queues_.size(); ++i) {
      const std::lock_guard lock(queues_[i]->mutex);
      queues_[i]->fresh = std::move((*fresh)[i]);
      queues_[i]->renewed.store(true, std::memory_order_release);
    }
  }
  wire_.Set(link);
  return {};
}

bool PacketSocketPort::Serves(const PortLink& link) const {
  for (const auto& queue : queues_) {
    const std::lock_guard lock(queue->mutex);
    const Rings& rings = queue->fresh != nullptr ? *queue->fresh : *queue->rings;
    if (rings.tx.BoundIfindex() != link.ifindex) return false;
    if (rings.rx.frame_bytes < RingFrameBytes(link.mtu)) return false;
  }
  return true;
}

// --- The threads of the queues ---

PacketSocketPort::Rings& PacketSocketPort::RingsOf(Queue* queue) {
  if (queue->renewed.load(std::memory_order_acquire)) TakeUp(queue);
  return *queue->rings;
}

void PacketSocketPort::TakeUp(Queue* queue) {
  std::unique_ptr<Rings> old;  // closed after the lock is released
  const std::lock_guard lock(queue->mutex);
  queue->renewed.store(false, std::memory_order_relaxed);
  if (queue->fresh == nullptr) return;
  old = std::exchange(queue->rings, std::move(queue->fresh));
}

int PacketSocketPort::wait_fd(uint32_t queue) const { return queues_[queue]->rings->rx.fd.get(); }

bool PacketSocketPort::PrepareWait(uint32_t queue) {
  return !queues_[queue]->renewed.load(std::memory_order_acquire);
}

// A link that goes down leaves an error on the socket. Until it is read, waits return at once.
void PacketSocketPort::FinishWait(uint32_t queue) {
  int error = 0;
  socklen_t size = sizeof(error);
  (void)getsockopt(queues_[queue]->rings->rx.fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
}

uint32_t PacketSocketPort::Receive(uint32_t number, PacketBatch* out, DropSink* sink) {
  Queue* queue = queues_[number].get();
  PacketRing& ring = RingsOf(queue).rx;
  if (ring.searching && !FindOldest(&ring)) return 0;
  uint32_t received = 0;
  uint64_t bytes = 0;
  while (!out->full()) {
    uint8_t* frame = ring.frame(ring.next);
    if ((ring.status(ring.next) & TP_STATUS_USER) == 0) break;
    Packet* packet = TakeFrame(ring, frame, sink);
    ring.set_status(ring.next, TP_STATUS_KERNEL);
    ring.next = ring.after(ring.next);
    if (packet == nullptr) continue;
    packet->l3_offset = kEthernetHeader;
    out->Push(packet);
    ++received;
    bytes += packet->length;
  }
  queue->counters.Received(received, bytes);
  return received;
}

void PacketSocketPort::Transmit(uint32_t number, PacketBatch* batch, DropSink* sink) {
  Queue* queue = queues_[number].get();
  Rings& rings = RingsOf(queue);
  if (!wire_.up()) {
    batch->DropAll(DropReason::kPortDown, sink);
    return;
  }
  SentFrames sent;
  rings.supers.BeginBatch();
  std::span<Packet* const> rest = batch->packets();
  while (!rest.empty()) {
    const Packet& first = *rest[0];
    const bool super = first.gso_type != GsoType::kNone;
    if (!super && (first.length > rings.tx.room() || !wire_.Fits(first))) {
      sink->Drop(rest[0], DropReason::kPortTooBig);
      rest = rest.subspan(1);
    } else {
      rest = rest.subspan(SendFirst(&rings, rest, sink, &sent));
    }
  }
  batch->ReleaseAll();
  sent += rings.tx.HandOver(sink->counters());
  queue->counters.Sent(sent.frames, sent.bytes);
}

// Puts a packet into the ring, or sends a super-packet, or what may go as one. Returns the number
// of packets that are done with.
uint32_t PacketSocketPort::SendFirst(Rings* rings, std::span<Packet* const> packets, DropSink* sink,
                                     SentFrames* sent) {
  Packet* first = packets[0];
  const uint32_t run = rings->supers.RunOf(packets);
  const bool super = first->gso_type != GsoType::kNone;
  if ((super || run > 1) && SendWhole(rings, packets.first(run), sink, sent)) return run;
  if (rings->tx.Put(*first, sink->counters())) {
    sink->Recycle(first);
  } else {
    sink->Drop(first, DropReason::kPortFull);
  }
  return 1;
}

// Behind what the ring still holds. False: the kernel cannot cut them, and they are the caller's.
bool PacketSocketPort::SendWhole(Rings* rings, std::span<Packet* const> packets, DropSink* sink,
                                 SentFrames* sent) {
  *sent += rings->tx.HandOver(sink->counters());
  const int fd = rings->rx.fd.get();
  const bool run = packets.size() > 1;
  const DropReason reason =
      run ? rings->supers.SendRun(fd, packets) : rings->supers.Send(fd, *packets[0]);
  if (run && reason == DropReason::kPortRefused) return false;
  for (Packet* packet : packets) {
    if (reason != DropReason::kNone) {
      sink->Drop(packet, reason);
      continue;
    }
    ++sent->frames;
    sent->bytes += packet->length;
    sink->Recycle(packet);
  }
  return true;
}

PortStats PacketSocketPort::stats() const {
  PortStats total;
  for (const auto& queue : queues_) {
    queue->counters.AddTo(&total);
    // Reading resets the kernel's counter.
    tpacket_stats lost{};
    socklen_t size = sizeof(lost);
    const std::lock_guard lock(queue->mutex);
    if (getsockopt(queue->rings->rx.fd.get(), SOL_PACKET, PACKET_STATISTICS, &lost, &size) == 0) {
      queue->rx_dropped.fetch_add(lost.tp_drops, std::memory_order_relaxed);
    }
    total.rx_dropped += queue->rx_dropped.load(std::memory_order_relaxed);
  }
  total.link_changes = wire_.changes();
  return total;
}

}  // namespace

extern const DriverInfo kAfPacketDriver = {
    .name = "af_packet",
    .help = "a plain wire interface through AF_PACKET rings; all cryptography on the CPU",
    .keys = [] { return InfoOf(PacketFields()); },
    .check = [](const Options& options) -> Result<DeviceOptions> {
      const auto read = ReadOptions(options, PacketFields());
      if (!read) return read.error();
      return DeviceOptions{.options = ShowOptions(options, PacketFields(), *read)};
    },
    .open = PacketSocketPort::Create,
    .probe =
        [](const WireFacts&) {
          return WireVerdict{true, "it works with any interface"};
        },
};

}  // namespace cygnet
