#include "device/sim_nic/sim_nic.h"

#include <poll.h>

#include "device/segment.h"
#include "net/frame.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kRingPackets = 2048;

bool IsCopy(const Packet* packet) { return packet->offload.status == OffloadStatus::kMirrored; }

std::unique_ptr<CryptoQueue> MakeQueue() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return info->create({})->CreateQueue(0);
  }
  return nullptr;
}

DeviceIdentity IdentityOf(const std::string& name, const SimNicOptions& options) {
  const auto or_else = [](const std::string& text, const std::string& other) {
    return text.empty() ? other : text;
  };
  return {.model = or_else(options.model, "Cygnet software NIC"),
          .serial = or_else(options.serial, name),
          .firmware = or_else(options.firmware, CYGNET_VERSION),
          .simulated = true};  // whatever card it imitates
}

// What receive-side scaling goes by. The flow of the packet as it is handed up: the inner one if
// the device decapsulated it, else that of the frame.
uint64_t SpreadHash(const Packet& packet) {
  IpPacketView ip;
  const Frame frame = ParseFrame(packet.bytes(), &ip);
  if (frame.kind != FrameKind::kIp) return 0;
  FlowKey flow = ip.flow;
  if (ip.fragment) {
    // All fragments of a datagram go to one worker, and only the first one shows the ports.
    flow.sport = 0;
    flow.dport = 0;
    flow.proto = 0;
  } else if (flow.proto == kProtoEsp && ip.total_length >= ip.header_length + sizeof(uint32_t)) {
    // The SPI, instead of ports, so that the tunnels between two hosts spread.
    const uint8_t* spi =
        packet.data() + frame.type.l3_offset + static_cast<std::size_t>(ip.header_length);
    flow.sport = LoadBe16(spi);
    flow.dport = LoadBe16(spi + 2);
  }
  // Once more, because the ports of many flows are consecutive, and their hashes then have patterns
  // in single bits.
  return FoldedMultiply(flow.Hash(), 0x9e3779b97f4a7c15);
}

const Clock* SystemTime() {
  static const SystemClock clock;
  return &clock;
}

}  // namespace

SimNic::SimNic(std::string name, std::unique_ptr<Port> wire, uint32_t queues, PacketPools* pools,
               CapturePoints* capture, const SimNicOptions& options, FaultScript script,
               const Clock* clock)
    : name_(std::move(name)),
      wire_(std::move(wire)),
      capture_(capture),
      clock_(clock != nullptr ? clock : SystemTime()),
      profile_(CardProfileNamed(options.profile)),
      card_conditions_(CardConditionsOf(options.card_conditions)),
      cards_(CardsOf(profile_, options.bond_cards)),
      caps_(CapsOf(profile_, cards_)),
      identity_(IdentityOf(name_, options)),
      to_wire_(queues, kRingPackets),
      faults_(options.fault_seed),
      table_(options.sa_limit, options.address_limit, &faults_),
      crypto_(MakeQueue()),
      caches_(pools),
      sink_(&caches_, &drops_, capture != nullptr ? capture->drops() : nullptr),
      script_(std::move(script)),
      script_next_ms_(script_.NextMs()),
      script_next_packets_(script_.NextPackets()) {
  for (uint32_t i = 0; i < queues; ++i) {
    to_host_.push_back(std::make_unique<Ring>(kRingPackets));
    host_bells_.push_back(std::make_unique<Doorbell>());
    progress_.push_back(std::make_unique<Progress>());
  }
}

SimNic::~SimNic() {
  stop_.store(true);
  wire_bell_.Ring();
  if (thread_.joinable()) thread_.join();
  Packet* packet = nullptr;
  for (uint32_t queue = 0; to_wire_.Pop({&packet, 1}, &queue) == 1;) caches_.Give(packet);
  for (auto& ring : to_host_) {
    while (ring->Pop({&packet, 1}) == 1) caches_.Give(packet);
  }
  table_.ForEachPacketSa([this](OffloadHandle, SimNicTable::Slot& slot) {
    for (const SimNicPacketSa::Kept& kept : slot.packet->kept()) {
      caches_.Give(kept.packet);
      FreeCopy(kept.copy);
    }
    slot.packet->kept().clear();
  });
  for (const SimNicPacketSa::Kept& kept : orphans_) {
    caches_.Give(kept.packet);
    FreeCopy(kept.copy);
  }
  for (SimNicReorder* reorder : {&reorder_out_, &reorder_in_}) {
    reorder->Mix(&faults_);
    PacketBatch rest;
    for (; reorder->Give(&rest); rest.ReleaseAll()) {
      for (Packet* left : rest.packets()) caches_.Give(left);
    }
  }
}

// What its script has at 0 ms is true before anybody uses the card.
void SimNic::Start() {
  if (script_next_ms_ == 0) PlayScript(clock_->MonotonicNs());
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), "cygnet-nic");  // from here, it needs no file of /proc
    Loop();
  });
}

void SimNic::Loop() {
  while (!stop_.load(std::memory_order_relaxed)) {
    if (RunOnce() == 0) Sleep();
  }
}

void SimNic::Sleep() {
  const bool paused = paused_.load();
  wire_bell_.Arm();
  bool idle = (paused && rests_.load()) || (!paused && wire_->PrepareWait(0));
  idle = idle && to_wire_.Empty() && !look_at_kept_.load();
  if (idle && !stop_.load()) {
    pollfd fds[2] = {{wire_bell_.fd(), POLLIN, 0}, {wire_->wait_fd(0), POLLIN, 0}};
    (void)poll(fds, paused ? 1 : 2, SleepMs());
  }
  if (!paused) wire_->FinishWait(0);
  wire_bell_.Disarm();
}

uint32_t SimNic::RunOnce() {
  RunTimers();
  // First, because they are older than what arrives.
  constexpr int kBatchesOfKept = 32;
  uint32_t moved = 0;
  for (int i = 0; i < kBatchesOfKept && look_at_kept_.load(std::memory_order_acquire); ++i) {
    const uint32_t kept = MoveKept();
    if (kept == 0) break;
    moved += kept;
  }
  const bool paused = paused_.load();
  if (!paused) moved += MoveToHost();
  if (rests_.load(std::memory_order_relaxed) != paused) rests_.store(paused);
  moved += MoveAllToWire();
  if (moved == 0 && reordering_.load(std::memory_order_acquire)) moved = EndReordering();
  packets_ += moved;
  if (releasing_.load(std::memory_order_acquire)) FinishReleases();
  return moved;
}

// --- Host to wire ---

// At most a batch for each worker, so that what arrives does not wait long.
uint32_t SimNic::MoveAllToWire() {
  uint32_t moved = 0;
  while (moved < kMaxBatch * queues()) {
    const uint32_t n = MoveToWire();
    if (n == 0) break;
    moved += n;
  }
  return moved;
}

// Packets that one worker handed over.
uint32_t SimNic::MoveToWire() {
  PacketBatch batch;
  std::array<Packet*, kMaxBatch> packets;
  uint32_t queue = 0;
  const std::size_t n = to_wire_.Pop(packets, &queue);
  if (n == 0) return 0;
  for (std::size_t i = 0; i < n; ++i) batch.Push(packets[i]);
  if (!frames_pass_.load(std::memory_order_acquire)) {
    batch.DropAll(DropReason::kPortDown, &sink_);
    progress_[queue]->done.fetch_add(n, std::memory_order_release);
    return static_cast<uint32_t>(n);
  }
  if (capture_ != nullptr) capture_->host.Offer(batch.packets(), CaptureDirection::kOutbound);
  Seal(queue, &batch);
  HandBack(queue, &batch);
  progress_[queue]->done.fetch_add(n, std::memory_order_release);
  ToWire(&batch);
  return static_cast<uint32_t>(n);
}

// Unsealed packets go back to the worker that handed them over; it can still seal them.
void SimNic::HandBack(uint32_t queue, PacketBatch* batch) {
  PacketBatch back;
  batch->Partition(
      [](const Packet* packet) {
        return packet->offload.status == OffloadStatus::kReturned ||
               packet->offload.status == OffloadStatus::kReturnedClear;
      },
      &back);
  if (back.empty()) return;
  const auto taken = static_cast<uint32_t>(to_host_[queue]->Push(back.packets()));
  back.ReleaseFront(taken);
  back.DropAll(DropReason::kOutDeviceError, &sink_);
  returned_.fetch_add(taken, std::memory_order_relaxed);
  host_bells_[queue]->Ring();
}

// --- Wire to host ---

uint32_t SimNic::MoveToHost() {
  PacketBatch batch;
  const uint32_t n = wire_->Receive(0, &batch, &sink_);
  if (n == 0) return 0;
  if (!frames_pass_.load(std::memory_order_acquire)) {
    batch.DropAll(DropReason::kPortDown, &sink_);
    return n;
  }
  if (capture_ != nullptr) capture_->wire.Offer(batch.packets(), CaptureDirection::kInbound);
  PacketBatch single;
  for (Packet* packet : batch.packets()) {
    if (packet->gso_type == GsoType::kUdp) {
      FromWireInPieces(packet, &single);
      continue;
    }
    if (single.full()) FromWire(&single);
    single.Push(packet);
  }
  batch.ReleaseAll();
  FromWire(&single);
  return n;
}

// A virtual wire hands over several datagrams as one. A card sees each.
void SimNic::FromWireInPieces(Packet* packet, PacketBatch* single) {
  IpPacketView ip;
  const Frame frame = ParseFrame(packet->bytes(), &ip);
  packet->l3_offset = frame.type.l3_offset;
  Segmenter segmenter;
  if (frame.kind != FrameKind::kIp || !segmenter.Begin(*packet, ip)) {
    sink_.Drop(packet, DropReason::kPortBadFrame);
    return;
  }
  while (!segmenter.Done()) {
    Packet* piece = segmenter.Next(&caches_, &ip);
    if (piece == nullptr) {
      sink_.Drop(packet, DropReason::kNoBuffers);
      return;
    }
    if (single->full()) FromWire(single);
    single->Push(piece);
  }
  sink_.Recycle(packet);
}

void SimNic::Arrive(PacketBatch* batch) {
  Up up;
  const std::span<Packet* const> packets{up.data(), Open(batch, &up)};
  if (capture_ != nullptr && capture_->host.readers() != 0) OfferUp(packets);
  DistributeAll(packets);
}

// Captures see each packet once.
void SimNic::OfferUp(std::span<Packet* const> packets) {
  for (Packet* const& packet : packets) {
    if (!IsCopy(packet)) capture_->host.Offer({&packet, 1}, CaptureDirection::kInbound);
  }
}

// A copy and its packet stay in one batch.
void SimNic::DistributeAll(std::span<Packet* const> packets) {
  PacketBatch batch;
  for (Packet* packet : packets) {
    const bool pair = packet->offload.status == OffloadStatus::kMirrored;
    if (batch.room() < (pair ? 2u : 1u)) Distribute(&batch);
    batch.Push(packet);
  }
  Distribute(&batch);
}

// Receive-side scaling: a flow always goes to the same worker, in the order of arrival. All workers
// are chosen before the first packet is handed over: after that a packet must not be read again.
void SimNic::Distribute(PacketBatch* batch) {
  const uint32_t workers = queues();
  std::array<uint32_t, kMaxBatch> targets{};
  for (uint32_t i = 0; workers > 1 && i < batch->size(); ++i) {
    targets[i] = static_cast<uint32_t>(SpreadHash(*(*batch)[i]) % workers);
    if (i > 0 && IsCopy((*batch)[i - 1])) targets[i - 1] = targets[i];
  }
  for (uint32_t w = 0; w < workers; ++w) {
    std::array<Packet*, kMaxBatch> mine;
    std::size_t n = 0;
    for (uint32_t i = 0; i < batch->size(); ++i) {
      if (targets[i] == w) mine[n++] = (*batch)[i];
    }
    std::size_t room = std::min(n, to_host_[w]->Room());
    if (room > 0 && IsCopy(mine[room - 1])) --room;  // never without its packet
    const std::size_t taken = to_host_[w]->Push({mine.data(), room});
    for (std::size_t i = taken; i < n; ++i) sink_.Drop(mine[i], DropReason::kPortFull);
    if (taken > 0) host_bells_[w]->Ring();
  }
  batch->ReleaseAll();
}

// --- Port, from control ---

void SimNic::PauseReceiving() {
  rests_.store(false);
  paused_.store(true);
  wire_bell_.Ring();
}

void SimNic::ResumeReceiving() {
  paused_.store(false);
  wire_bell_.Ring();
}

// --- Port, from the workers ---

// What the thread took before it rests is in the rings.
bool SimNic::Holds(uint32_t queue) const {
  if (!paused_.load()) return false;
  const Progress& progress = *progress_[queue];
  return !rests_.load() ||
         progress.done.load(std::memory_order_acquire) !=
             progress.given.load(std::memory_order_acquire) ||
         !to_host_[queue]->Empty();
}

uint32_t SimNic::Receive(uint32_t queue, PacketBatch* out, DropSink*) {
  std::array<Packet*, kMaxBatch> packets;
  const std::size_t n = to_host_[queue]->Pop({packets.data(), out->room()});
  for (std::size_t i = 0; i < n; ++i) out->Push(packets[i]);
  return static_cast<uint32_t>(n);
}

void SimNic::Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) {
  const auto taken = static_cast<uint32_t>(to_wire_.Push(queue, batch->packets()));
  progress_[queue]->given.fetch_add(taken, std::memory_order_release);
  batch->ReleaseFront(taken);
  batch->DropAll(DropReason::kPortFull, sink);
  if (taken > 0) wire_bell_.Ring();
}

bool SimNic::PrepareWait(uint32_t queue) {
  host_bells_[queue]->Arm();
  return to_host_[queue]->Empty();
}

}  // namespace cygnet
