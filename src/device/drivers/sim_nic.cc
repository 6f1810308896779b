#include "device/drivers/sim_nic.h"

#include <poll.h>

#include "device/drivers/packet_socket.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "net/ip_protocol.h"
#include "sa/replay_window.h"

namespace cygnet {
namespace {

constexpr uint32_t kRingPackets = 2048;
constexpr uint32_t kDefaultSaLimit = 1024;

OffloadCaps DefaultCaps() {
  return {.crypto_offload = true,
          .inbound = true,
          .outbound = true,
          .transport = true,
          .tunnel = true,
          .ipv4 = true,
          .ipv6 = true,
          .esn = true,
          .algorithms = {"rfc4106(gcm(aes))"},
          .key_bytes = {16, 32},
          .icv_bytes = {16},
          .max_replay_window = kMaxReplayWindow};
}

std::unique_ptr<CryptoQueue> MakeQueue() {
  for (const EngineInfo* info : BuiltinEngines()) {
    if (info->name == "openssl") return info->create({})->CreateQueue(0);
  }
  return nullptr;
}

void Add(std::atomic<uint64_t>* counter, uint64_t n) {
  counter->fetch_add(n, std::memory_order_relaxed);
}

}  // namespace

SimNic::SimNic(std::string name, std::unique_ptr<Port> wire, uint32_t queues, uint32_t sa_limit,
               PacketPools* pools, CapturePoints* capture)
    : name_(std::move(name)),
      wire_(std::move(wire)),
      capture_(capture),
      caps_(DefaultCaps()),
      identity_{.model = "Cygnet software NIC", .serial = name_, .firmware = CYGNET_VERSION},
      table_(sa_limit),
      crypto_(MakeQueue()),
      caches_(pools),
      sink_(&caches_, &drops_) {
  for (uint32_t i = 0; i < queues; ++i) {
    to_wire_.push_back(std::make_unique<Ring>(kRingPackets));
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
  for (auto* rings : {&to_wire_, &to_host_}) {
    for (auto& ring : *rings) {
      while (ring->Pop({&packet, 1}) == 1) caches_.Give(packet);
    }
  }
}

void SimNic::Start() {
  thread_ = std::thread([this] { Loop(); });
  pthread_setname_np(thread_.native_handle(), "cygnet-nic");
}

void SimNic::Loop() {
  while (!stop_.load(std::memory_order_relaxed)) {
    if (RunOnce() == 0) Sleep();
  }
}

void SimNic::Sleep() {
  wire_bell_.Arm();
  bool idle = wire_->PrepareWait(0);
  for (auto& ring : to_wire_) idle = idle && ring->Empty();
  if (idle && !stop_.load()) {
    pollfd fds[2] = {{wire_bell_.fd(), POLLIN, 0}, {wire_->wait_fd(0), POLLIN, 0}};
    (void)poll(fds, 2, 500);
  }
  wire_->FinishWait(0);
  wire_bell_.Disarm();
}

uint32_t SimNic::RunOnce() {
  uint32_t moved = MoveToHost();
  for (uint32_t queue = 0; queue < queues(); ++queue) moved += MoveToWire(queue);
  if (releasing_.load(std::memory_order_acquire)) FinishReleases();
  return moved;
}

// --- Host to wire ---

uint32_t SimNic::MoveToWire(uint32_t queue) {
  PacketBatch batch;
  std::array<Packet*, kMaxBatch> packets;
  const std::size_t n = to_wire_[queue]->Pop(packets);
  if (n == 0) return 0;
  for (std::size_t i = 0; i < n; ++i) batch.Push(packets[i]);
  if (capture_ != nullptr) capture_->host.Offer(batch.packets(), CaptureDirection::kOutbound);
  Seal(&batch);
  progress_[queue]->done.fetch_add(n, std::memory_order_release);
  wire_->Transmit(0, &batch, &sink_);
  return static_cast<uint32_t>(n);
}

// Seals what asks for it. What asks and cannot be sealed (its SA was released while it was on its
// way, or the unit is down) is dropped here: nothing leaves that was not sealed.
void SimNic::Seal(PacketBatch* batch) {
  const std::lock_guard lock(mutex_);
  const bool up = offload_up();
  uint32_t jobs = 0;
  uint64_t stale = 0;
  batch->Filter(
      [&](Packet* packet, uint32_t) {
        OffloadMeta& meta = packet->offload;
        if (meta.status != OffloadStatus::kSealRequested) return DropReason::kNone;
        SimNicTable::Slot* slot = up ? table_.Find(meta.handle) : nullptr;
        const std::size_t esp_length =
            packet->length > meta.esp_offset ? packet->length - meta.esp_offset : 0u;
        if (slot == nullptr || slot->inbound ||
            !esp::HasRoomForJob(slot->params.layout, esp_length)) {
          ++stale;
          return DropReason::kOutDeviceError;
        }
        CryptoJob& job = jobs_[jobs++];
        esp::BuildJob(slot->params, packet->bytes().subspan(meta.esp_offset), meta.esn_high, &job);
        return DropReason::kNone;
      },
      &sink_);
  if (jobs > 0) (void)crypto_->Submit({jobs_.data(), jobs});  // a CPU engine takes all of them
  uint32_t next = 0;
  uint64_t sealed = 0;
  batch->Filter(
      [&](Packet* packet, uint32_t) {
        if (packet->offload.status != OffloadStatus::kSealRequested) return DropReason::kNone;
        if (jobs_[next++].status != CryptoStatus::kOk) return DropReason::kOutDeviceError;
        packet->offload.status = OffloadStatus::kSealed;
        ++sealed;
        return DropReason::kNone;
      },
      &sink_);
  Add(&sealed_, sealed);
  Add(&dropped_stale_, stale);
}

// --- Wire to host ---

uint32_t SimNic::MoveToHost() {
  PacketBatch batch;
  const uint32_t n = wire_->Receive(0, &batch, &sink_);
  if (n == 0) return 0;
  if (capture_ != nullptr) capture_->wire.Offer(batch.packets(), CaptureDirection::kInbound);
  if (offload_up()) Open(&batch);
  if (capture_ != nullptr) capture_->host.Offer(batch.packets(), CaptureDirection::kInbound);
  Distribute(&batch);
  return n;
}

bool SimNic::BuildOpenJob(Packet* packet, SimNicTable::Slot** slot, CryptoJob* job, uint64_t* seq) {
  // The frame must say that it is IP: what a tag or another protocol carries is not looked into as
  // if it were.
  const auto type = ParseEtherType(packet->bytes());
  if (!type || !type->IsIp() || packet->csum_partial) return false;
  packet->l3_offset = type->l3_offset;
  const auto ip = ParseIpPacket(packet->l3());
  if (!ip || ip->fragment || ip->flow.proto != kProtoEsp ||
      (type->type == kEtherTypeIpv4) != (ip->flow.family == IpFamily::kV4)) {
    return false;
  }
  const EspView esp = ClassifyWirePacket(*ip, packet->l3(), {});
  if (esp.kind != WireKind::kEsp) return false;
  OffloadHandle handle;
  *slot = table_.FindInbound(esp.spi, ip->flow.daddr, ip->flow.family, &handle);
  if (*slot == nullptr) {
    Add(&passed_unknown_, 1);
    return false;
  }
  const esp::JobParams& params = (*slot)->params;
  const std::size_t length = ip->total_length - esp.esp_offset;
  if (!esp::HasRoomForJob(params.layout, length)) return false;
  *seq = params.esn ? InferEsn(esp.seq_low, (*slot)->highest, (*slot)->window) : esp.seq_low;
  packet->offload.handle = handle;
  esp::BuildJob(params, packet->l3().subspan(esp.esp_offset, length),
                static_cast<uint32_t>(*seq >> 32), job);
  return true;
}

// Opens in place what it holds the SA for. One packet after the other: an ESN number is inferred
// from those authenticated before it.
void SimNic::Open(PacketBatch* batch) {
  const std::lock_guard lock(mutex_);
  for (Packet* packet : batch->packets()) {
    SimNicTable::Slot* slot = nullptr;
    CryptoJob& job = jobs_[0];
    uint64_t seq = 0;
    if (!BuildOpenJob(packet, &slot, &job, &seq)) continue;
    (void)crypto_->Submit({&job, 1});
    switch (job.status) {
      case CryptoStatus::kOk:
        packet->offload.status = OffloadStatus::kOpened;
        packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
        slot->highest = seq > slot->highest ? seq : slot->highest;
        Add(&opened_, 1);
        break;
      case CryptoStatus::kAuthFailed:
        packet->offload.status = OffloadStatus::kAuthFailed;
        Add(&auth_failed_, 1);
        break;
      default:
        packet->offload.status = OffloadStatus::kError;
    }
  }
}

// Receive-side scaling: a flow always goes to the same worker. The choice is made for all packets
// before the first is handed over: what a worker has is not looked at again.
void SimNic::Distribute(PacketBatch* batch) {
  const uint32_t workers = queues();
  std::array<uint32_t, kMaxBatch> targets{};
  for (uint32_t i = 0; workers > 1 && i < batch->size(); ++i) {
    const auto ip = ParseIpPacket((*batch)[i]->l3());
    targets[i] = ip ? static_cast<uint32_t>(ip->flow.Hash() % workers) : 0;
  }
  for (uint32_t w = 0; w < workers; ++w) {
    std::array<Packet*, kMaxBatch> mine;
    std::size_t n = 0;
    for (uint32_t i = 0; i < batch->size(); ++i) {
      if (targets[i] == w) mine[n++] = (*batch)[i];
    }
    const std::size_t taken = to_host_[w]->Push({mine.data(), n});
    for (std::size_t i = taken; i < n; ++i) sink_.Drop(mine[i], DropReason::kPortFull);
    if (taken > 0) host_bells_[w]->Ring();
  }
  batch->ReleaseAll();
}

// --- Port, from the workers ---

uint32_t SimNic::Receive(uint32_t queue, PacketBatch* out, DropSink*) {
  std::array<Packet*, kMaxBatch> packets;
  const std::size_t n = to_host_[queue]->Pop({packets.data(), out->room()});
  for (std::size_t i = 0; i < n; ++i) out->Push(packets[i]);
  return static_cast<uint32_t>(n);
}

void SimNic::Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) {
  const auto taken = static_cast<uint32_t>(to_wire_[queue]->Push(batch->packets()));
  progress_[queue]->given.fetch_add(taken, std::memory_order_release);
  batch->ReleaseFront(taken);
  batch->DropAll(DropReason::kPortFull, sink);
  if (taken > 0) wire_bell_.Ring();
}

bool SimNic::PrepareWait(uint32_t queue) {
  host_bells_[queue]->Arm();
  return to_host_[queue]->Empty();
}

// --- OffloadDevice ---

void SimNic::SetState(DeviceState state) {
  state_.store(state, std::memory_order_release);
  RingBell();
}

void SimNic::RingBell() {
  if (Doorbell* bell = bell_.load(std::memory_order_acquire)) bell->Ring();
}

std::optional<DeviceRefusal> SimNic::AddSa(const OffloadSa& sa, OffloadHandle* handle) {
  std::optional<DeviceRefusal> refusal;
  if (!offload_up()) {
    refusal = DeviceRefusal{AddSaError::kDeviceDown, Errc::kNotSupported, "offload unit is down"};
  } else {
    const std::lock_guard lock(mutex_);
    refusal = table_.Add(sa, handle);
  }
  if (refusal.has_value()) Add(&refusals_, 1);
  return refusal;
}

void SimNic::StartSa(OffloadHandle handle) {
  const std::lock_guard lock(mutex_);
  table_.Start(handle);
}

void SimNic::StopSa(OffloadHandle handle) {
  const std::lock_guard lock(mutex_);
  table_.Stop(handle);
}

// No worker will name the handle again, but what they handed over before may still be in the rings:
// it was charged and numbered, and leaves sealed. The slot goes when that has passed.
void SimNic::ReleaseSa(OffloadHandle handle) {
  const std::lock_guard lock(mutex_);
  PendingRelease release{handle, {}};
  for (const auto& queue : progress_) {
    release.given.push_back(queue->given.load(std::memory_order_acquire));
  }
  if (Passed(release.given)) {
    table_.Release(handle);
    return;
  }
  releases_.push_back(std::move(release));
  releasing_.store(true, std::memory_order_release);
}

std::vector<OffloadHandle> SimNic::TakeErased() {
  const std::lock_guard lock(mutex_);
  return table_.TakeErased();
}

bool SimNic::Passed(const std::vector<uint64_t>& given) const {
  for (std::size_t q = 0; q < given.size(); ++q) {
    if (progress_[q]->done.load(std::memory_order_acquire) < given[q]) return false;
  }
  return true;
}

void SimNic::FinishReleases() {
  const std::lock_guard lock(mutex_);
  const std::size_t released = std::erase_if(releases_, [this](const PendingRelease& release) {
    if (!Passed(release.given)) return false;
    table_.Release(release.handle);
    return true;
  });
  if (released > 0) RingBell();
  releasing_.store(!releases_.empty(), std::memory_order_release);
}

OffloadStats SimNic::offload_stats() const {
  OffloadStats s;
  {
    const std::lock_guard lock(mutex_);
    s.slots_used = table_.used();
    s.slots_high_water = table_.high_water();
    s.slots_limit = table_.limit() * 2;
    s.outbound_used = table_.used(false);
    s.inbound_used = table_.used(true);
    s.direction_limit = table_.limit();
  }
  s.sealed = sealed_.load(std::memory_order_relaxed);
  s.opened = opened_.load(std::memory_order_relaxed);
  s.auth_failed = auth_failed_.load(std::memory_order_relaxed);
  s.passed_unknown = passed_unknown_.load(std::memory_order_relaxed);
  s.refusals = refusals_.load(std::memory_order_relaxed);
  s.dropped_stale = dropped_stale_.load(std::memory_order_relaxed);
  return s;
}

std::vector<SaId> SimNic::HeldSas() const {
  const std::lock_guard lock(mutex_);
  return table_.Held();
}

void SimNic::AdvanceEsn(OffloadHandle handle, uint64_t highest) {
  const std::lock_guard lock(mutex_);
  SimNicTable::Slot* slot = table_.Find(handle);
  if (slot != nullptr && highest > slot->highest) slot->highest = highest;
}

void SimNic::FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) {
  const bool up = offload_up();
  for (std::size_t i = 0; i < packets.size(); ++i) {
    // As cards do: IPv4 without options, IPv6 without extension headers.
    const Packet& packet = *packets[i];
    const uint32_t header = packet.offload.esp_offset - uint32_t{packet.l3_offset};
    eligible[i] = up && (packet.l3()[0] >> 4 == 4 ? header == 20 : header == 40);
  }
}

namespace {

Result<Device> Create(const DriverParams& params) {
  auto wire = PacketSocketPort::Create(params.wire, 1, params.guard, params.capture);
  if (!wire) return wire.error();
  const uint32_t limit = params.sa_limit != 0 ? params.sa_limit : kDefaultSaLimit;
  auto nic = std::make_unique<SimNic>(params.name, *std::move(wire), params.queues, limit,
                                      params.pools, params.capture);
  nic->Start();
  Device device;
  device.offload = nic.get();
  device.port = std::move(nic);
  return device;
}

}  // namespace

extern const DriverInfo kSimNicDriver;
const DriverInfo kSimNicDriver = {
    .name = "sim_nic",
    .help = "the software NIC: crypto offload with its own key store, SA table and thread",
    .create = Create,
};

}  // namespace cygnet
