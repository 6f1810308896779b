#include "plugins/sim_nic_plugin.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <thread>

#include "plugins/from_c.h"

namespace cygnet::test {
namespace {

SimNicPluginSetup* next_setup = nullptr;

// The packets of the NIC, and the host's packet that each is a copy of.
class Copies {
 public:
  explicit Copies(const cygnet_driver_host* services)
      : services_(services), of_(kPackets + kLarge), cache_(&pools_) {}
  ~Copies() {
    for (cygnet_packet*& view : of_) Free(&view);
  }
  PacketPools* pools() { return &pools_; }

  // nullptr: no packet is free.
  Packet* Copy(cygnet_packet* view) {
    const std::lock_guard lock(mutex_);
    const bool small = view->capacity == pools_.small.capacity();
    Packet* packet = small ? cache_.small.Take() : cache_.large.Take();
    if (packet == nullptr) return nullptr;
    if (view->capacity != packet->capacity) {
      cache_.Give(packet);
      return nullptr;
    }
    cygnet_packet** original = &of_[IndexOf(*packet)];
    Free(original);  // the NIC has dropped its copy
    *original = view;
    packet->head = view->head;
    packet->length = view->length;
    packet->l3_offset = view->l3_offset;
    packet->csum_partial = (view->flags & CYGNET_PACKET_CSUM_PARTIAL) != 0;
    if (!packet->csum_partial) packet->SetSaNumber(view->sa_number);
    packet->offload = {.handle = OffloadHandle(view->handle),
                       .esn_high = view->esn_high,
                       .esp_offset = view->esp_offset,
                       .status = static_cast<OffloadStatus>(view->status)};
    std::memcpy(packet->data(), view->buffer + view->head, view->length);
    return packet;
  }
  // The host's packet with what the NIC made of the copy, which is free again; nullptr: the host
  // has no packet for one that the NIC has made itself.
  cygnet_packet* Return(Packet* packet) {
    const std::lock_guard lock(mutex_);
    cygnet_packet* view = std::exchange(of_[IndexOf(*packet)], nullptr);
    if (view == nullptr && services_->packet_alloc(context(), &view, 1) == 0) view = nullptr;
    if (view != nullptr && view->capacity < packet->head + packet->length) Free(&view);
    if (view != nullptr) {
      view->head = packet->head;
      view->length = packet->length;
      view->l3_offset = packet->l3_offset;
      view->handle = packet->offload.handle.value;
      view->esn_high = packet->offload.esn_high;
      view->sa_number = packet->sa_number();
      view->status = static_cast<uint8_t>(packet->offload.status);
      std::memcpy(view->buffer + view->head, packet->data(), packet->length);
    }
    cache_.Give(packet);
    return view;
  }
  void Drop(cygnet_packet* view, const char* reason) {
    services_->packet_drop(context(), &view, 1, reason);
  }
  void* context() const { return services_->host->context; }

 private:
  static constexpr uint32_t kPackets = 4096;
  static constexpr uint32_t kLarge = 1024;  // for jumbo frames
  std::size_t IndexOf(const Packet& packet) const {
    const bool small = packet.pool == &pools_.small;
    return small ? pools_.small.index(&packet) : kPackets + pools_.large.index(&packet);
  }
  void Free(cygnet_packet** view) {
    if (*view != nullptr) services_->packet_free(context(), view, 1);
    *view = nullptr;
  }
  const cygnet_driver_host* const services_;
  std::mutex mutex_;
  PacketPools pools_{kPackets, 1, kLarge};
  std::vector<cygnet_packet*> of_;
  PacketCaches cache_;
};

// The host's wire, for the NIC.
class HostWire final : public Port {
 public:
  HostWire(const cygnet_driver_host* services, Copies* copies)
      : services_(services), copies_(copies) {}
  std::string_view name() const override { return "host"; }
  MacAddress mac() const override { return {2, 0, 0, 0, 0, 1}; }
  uint32_t mtu() const override { return 1500; }
  uint32_t queues() const override { return 1; }
  PortStats stats() const override { return {}; }
  uint32_t Receive(uint32_t, PacketBatch* out, DropSink*) override {
    std::array<cygnet_packet*, CYGNET_BURST> views;
    const uint32_t n = services_->wire_receive(copies_->context(), 0, views.data(), out->room());
    for (uint32_t i = 0; i < n; ++i) {
      Packet* packet = copies_->Copy(views[i]);
      if (packet != nullptr) packet->offload = OffloadMeta{};
      if (packet != nullptr) out->Push(packet);
      if (packet == nullptr) copies_->Drop(views[i], "no-buffers");
    }
    return out->size();
  }
  void Transmit(uint32_t, PacketBatch* batch, DropSink*) override {
    std::array<cygnet_packet*, CYGNET_BURST> views;
    uint32_t n = 0;
    for (Packet* packet : batch->packets()) {
      cygnet_packet* view = copies_->Return(packet);
      if (view != nullptr) views[n++] = view;
    }
    batch->ReleaseAll();
    if (n > 0) services_->wire_send(copies_->context(), 0, views.data(), n);
  }
  int wait_fd(uint32_t) const override { return services_->wire_wait_fd(copies_->context(), 0); }
  bool PrepareWait(uint32_t) override {
    return services_->wire_prepare_wait(copies_->context(), 0) != 0;
  }
  void FinishWait(uint32_t) override { services_->wire_finish_wait(copies_->context(), 0); }

 private:
  const cygnet_driver_host* const services_;
  Copies* const copies_;
};

struct PluginNic {
  explicit PluginNic(const cygnet_driver_host* host) : services(host), copies(host) {
    arrived.resize(host->queues);
  }
  ~PluginNic() {
    stop.store(true);
    if (ringer.joinable()) ringer.join();
    nic.reset();  // ends its thread, and gives its copies back
  }
  // The NIC rings a doorbell, the host wants a call.
  void PassTheBellOn() {
    nic->SetBell(&bell);
    bell.Arm();
    ringer = std::thread([this] {
      while (!stop.load()) {
        pollfd fd{bell.fd(), POLLIN, 0};
        if (poll(&fd, 1, 20) <= 0) continue;
        bell.Disarm();
        bell.Arm();  // before the call: the host then looks at whatever came in between
        services->host->ring(copies.context());
      }
    });
  }
  const cygnet_driver_host* const services;
  Copies copies;
  std::vector<std::vector<Packet*>> arrived;  // of each queue: what the host had no room for
  Doorbell bell;
  std::atomic<bool> stop{false};
  std::thread ringer;
  PacketCaches caches{copies.pools()};
  DropCounters drops;
  DropSink sink{&caches, &drops};
  cygnet_caps caps{};
  std::vector<cygnet_algorithm_caps> rows;
  DeviceIdentity identity;
  std::vector<OffloadHandle> erased;
  std::vector<PacketOffloadEvent> events;
  std::vector<SaFinding> found;
  std::unique_ptr<SimNic> nic;
};

SimNic* Nic(void* device) { return static_cast<PluginNic*>(device)->nic.get(); }

// Of the lengths that the NIC names for all algorithms, those that this one has.
cygnet_algorithm_caps RowOf(const AlgorithmDescriptor& known, const OffloadCaps& from) {
  cygnet_algorithm_caps row{};
  row.name = known.name.data();
  uint32_t n = 0;
  for (const uint16_t bytes : from.key_bytes) {
    const bool has = known.AcceptsKeyMaterial(std::size_t{bytes} + known.salt_bytes);
    if (has && n < std::size(row.key_bytes)) row.key_bytes[n++] = bytes;
  }
  n = 0;
  for (const uint8_t bytes : from.icv_bytes) {
    if (known.AcceptsIcv(bytes) && n < std::size(row.icv_bytes)) row.icv_bytes[n++] = bytes;
  }
  return row;
}

void FillCaps(PluginNic* p) {
  const OffloadCaps& from = p->nic->caps();
  for (const AlgorithmDescriptor& known : AllAlgorithms()) {
    const auto& names = from.algorithms;
    if (std::find(names.begin(), names.end(), known.name) == names.end()) continue;
    p->rows.push_back(RowOf(known, from));
  }
  p->caps = CapsToC(from);
  p->caps.algorithms = p->rows.data();
  p->caps.algorithm_count = static_cast<uint32_t>(p->rows.size());
}

int32_t Open(const cygnet_driver_open* params, void** device, cygnet_refusal*) {
  SimNicPluginSetup* setup = std::exchange(next_setup, nullptr);
  auto p = std::make_unique<PluginNic>(params->services);
  p->nic = std::make_unique<SimNic>(params->name,
                                    std::make_unique<HostWire>(params->services, &p->copies),
                                    params->services->queues, p->copies.pools(), nullptr,
                                    setup != nullptr ? setup->options : SimNicOptions(),
                                    setup != nullptr ? std::move(setup->script) : FaultScript(),
                                    setup != nullptr ? setup->clock : nullptr);
  FillCaps(p.get());
  p->identity = p->nic->identity();
  if (setup != nullptr) setup->nic = p->nic.get();
  if (setup == nullptr || !setup->by_steps) {
    p->PassTheBellOn();
    p->nic->Start();
  }
  *device = p.release();
  return 0;
}

void Close(void* device) { delete static_cast<PluginNic*>(device); }

const cygnet_caps* Caps(void* device) { return &static_cast<PluginNic*>(device)->caps; }

void Identity(void* device, cygnet_identity* out) {
  const DeviceIdentity& identity = static_cast<PluginNic*>(device)->identity;
  out->model = identity.model.c_str();
  out->serial = identity.serial.c_str();
  out->version = identity.firmware.c_str();
  out->simulated = identity.simulated ? 1 : 0;
}

void Status(void* device, cygnet_status* out) {
  out->state = static_cast<uint32_t>(Nic(device)->state());
  out->resets = Nic(device)->resets();
}

void Stats(void* device, cygnet_driver_stats* out) {
  const OffloadStats s = Nic(device)->offload_stats();
  out->outbound_used = s.outbound_used;
  out->inbound_used = s.inbound_used;
  out->addresses_used = s.addresses_used;
  out->sealed = s.sealed;
  out->opened = s.opened;
  out->auth_failed = s.auth_failed;
  out->passed_unknown = s.passed_unknown;
  out->refusals = s.refusals;
  out->dropped_stale = s.dropped_stale;
  out->returned = s.returned;
  out->resets = s.resets;
}

int32_t Refuse(const DeviceRefusal& refusal, cygnet_refusal* out) {
  out->kind = refusal.kind == InstallError::kTableFull          ? CYGNET_REFUSED_TABLE_FULL
              : refusal.kind == InstallError::kAddressTableFull ? CYGNET_REFUSED_ADDRESS_TABLE_FULL
              : refusal.kind == InstallError::kDeviceDown       ? CYGNET_REFUSED_DOWN
                                                                : CYGNET_REFUSED;
  std::strncpy(out->text, refusal.text.c_str(), sizeof(out->text) - 1);
  return -static_cast<int32_t>(refusal.code);
}

int32_t Install(void* device, const cygnet_sa* sa, uint32_t* handle, cygnet_refusal* refusal) {
  const SaSpec spec = SpecFromC(*sa);
  OffloadHandle given;
  const auto refused = Nic(device)->InstallSa(
      {.spec = spec,
       .half = HalfFor(sa->half == CYGNET_INBOUND),
       .highest = sa->highest,
       .mode = sa->offload == CYGNET_OFFLOAD_PACKET ? OffloadMode::kPacket : OffloadMode::kCrypto,
       .numbers = {sa->numbers.first, sa->numbers.last},
       .number = sa->number,
       .iv_mask = sa->iv_mask},
      &given);
  if (refused.has_value()) return Refuse(*refused, refusal);
  *handle = given.value;
  return 0;
}

// Moves up to `room` entries of `list` out; `more` fills it first.
template <typename From, typename To, typename Fill>
uint32_t TakeSome(std::vector<From>* list, std::vector<From> more, To* out, uint32_t room,
                  Fill fill) {
  list->insert(list->end(), more.begin(), more.end());
  const auto n = static_cast<uint32_t>(std::min<std::size_t>(room, list->size()));
  for (uint32_t i = 0; i < n; ++i) fill((*list)[i], &out[i]);
  list->erase(list->begin(), list->begin() + n);
  return n;
}

uint32_t TakeErased(void* device, uint32_t* handles, uint32_t room) {
  return TakeSome(&static_cast<PluginNic*>(device)->erased, Nic(device)->TakeErased(), handles,
                  room, [](OffloadHandle from, uint32_t* to) { *to = from.value; });
}

uint32_t Tx(void* device, uint32_t queue, cygnet_packet* const* packets, uint32_t n) {
  auto* p = static_cast<PluginNic*>(device);
  PacketBatch batch;
  for (uint32_t i = 0; i < n; ++i) {
    Packet* packet = p->copies.Copy(packets[i]);
    if (packet != nullptr) batch.Push(packet);
    if (packet == nullptr) p->copies.Drop(packets[i], "no-buffers");
  }
  p->nic->Transmit(queue, &batch, &p->sink);
  return n;
}

uint32_t Rx(void* device, uint32_t queue, cygnet_packet** packets, uint32_t room) {
  auto* p = static_cast<PluginNic*>(device);
  std::vector<Packet*>& arrived = p->arrived[queue];
  if (arrived.empty()) {
    PacketBatch batch;
    (void)p->nic->Receive(queue, &batch, &p->sink);
    arrived.assign(batch.packets().begin(), batch.packets().end());
    batch.ReleaseAll();
  }
  const auto taken = static_cast<uint32_t>(std::min<std::size_t>(room, arrived.size()));
  uint32_t n = 0;
  for (uint32_t i = 0; i < taken; ++i) {
    cygnet_packet* view = p->copies.Return(arrived[i]);
    if (view != nullptr) packets[n++] = view;
  }
  arrived.erase(arrived.begin(), arrived.begin() + taken);
  return n;
}

void Eligible(void* device, cygnet_packet* const* packets, uint32_t n, uint8_t* eligible) {
  std::array<Packet, CYGNET_BURST> shown;
  std::array<Packet*, CYGNET_BURST> pointers;
  std::array<bool, CYGNET_BURST> answers;
  for (uint32_t i = 0; i < n; ++i) {
    shown[i].buffer = packets[i]->buffer;
    shown[i].head = packets[i]->head;
    shown[i].length = packets[i]->length;
    shown[i].l3_offset = packets[i]->l3_offset;
    shown[i].offload.esp_offset = packets[i]->esp_offset;
    pointers[i] = &shown[i];
  }
  Nic(device)->FilterEligible({pointers.data(), n}, {answers.data(), n});
  for (uint32_t i = 0; i < n; ++i) eligible[i] = answers[i] ? 1 : 0;
}

// --- Packet offload ---

int32_t AddPolicy(void* device, const cygnet_policy* policy, uint32_t* handle,
                  cygnet_refusal* refusal) {
  const PolicySpec spec = PolicyFromC(*policy);
  OffloadPolicyHandle given;
  const auto refused = Nic(device)->AddPolicy({spec}, &given);
  if (refused.has_value()) return Refuse(*refused, refusal);
  *handle = given.value;
  return 0;
}

void FillReading(const SaReading& from, cygnet_reading* to) {
  to->packets = from.packets;
  to->bytes = from.bytes;
  to->highest = from.highest;
  to->wanted = from.wanted;
  to->replayed = from.replayed;
  to->auth_failed = from.auth_failed;
  to->taken_at = from.taken_at;
}

int32_t Read(void* device, uint32_t handle, cygnet_reading* out) {
  const auto reading = Nic(device)->Read(OffloadHandle(handle));
  if (reading.has_value()) FillReading(*reading, out);
  return reading.has_value() ? 0 : -ENOENT;
}

int32_t TakeState(void* device, uint32_t handle, cygnet_reading* out, uint32_t* bitmap,
                  uint32_t* words) {
  const auto state = Nic(device)->TakeState(OffloadHandle(handle));
  if (!state.has_value() || state->bitmap.size() > *words) return -ENODATA;
  FillReading(state->reading, out);
  std::copy(state->bitmap.begin(), state->bitmap.end(), bitmap);
  *words = static_cast<uint32_t>(state->bitmap.size());
  return 0;
}

uint32_t TakeEvents(void* device, cygnet_event* events, uint32_t room) {
  return TakeSome(&static_cast<PluginNic*>(device)->events, Nic(device)->TakeEvents(), events, room,
                  [](const PacketOffloadEvent& from, cygnet_event* to) {
                    *to = {from.handle.value, static_cast<uint32_t>(from.kind)};
                  });
}

int32_t Inject(void* device, const char* fault, cygnet_refusal* refusal) {
  const auto status = Nic(device)->InjectFault(fault);
  if (status) return 0;
  return Refuse({InstallError::kRefused, status.error().code, status.error().message}, refusal);
}

uint32_t TakeFindings(void* device, cygnet_finding* findings, uint32_t room) {
  return TakeSome(&static_cast<PluginNic*>(device)->found, Nic(device)->TakeFindings(), findings,
                  room, [](const SaFinding& from, cygnet_finding* to) {
                    to->handle = from.handle.value;
                    to->gap = static_cast<uint32_t>(from.gap);
                    std::strncpy(to->text, from.text.c_str(), sizeof(to->text) - 1);
                  });
}

cygnet_packet_mode MakePacketMode() {
  cygnet_packet_mode t{};
  t.size = sizeof(t);
  t.add_policy = AddPolicy;
  t.remove_policy = [](void* d, uint32_t h) { Nic(d)->RemovePolicy(OffloadPolicyHandle(h)); };
  t.grant = [](void* d, uint32_t h, const cygnet_numbers* block) {
    Nic(d)->Grant(OffloadHandle(h), {block->first, block->last});
  };
  t.set_limits = [](void* d, uint32_t h, const cygnet_limits* limits) {
    Nic(d)->SetLimits(OffloadHandle(h), LimitsFromC(*limits));
  };
  t.read = Read;
  t.take_state = TakeState;
  t.take_events = TakeEvents;
  return t;
}

cygnet_driver MakeTable() {
  static const cygnet_packet_mode packet = MakePacketMode();
  static const cygnet_faults faults = {sizeof(faults), 0, Inject};
  static const cygnet_findings findings = {sizeof(findings), 0, TakeFindings};
  cygnet_driver t{};
  t.abi = CYGNET_ABI;
  t.size = sizeof(t);
  t.name = "sim_nic";
  t.version = CYGNET_VERSION;
  t.vendor = "Cygnet";
  t.wire = CYGNET_WIRE_ONE;
  t.open = Open;
  t.close = Close;
  t.caps = Caps;
  t.identity = Identity;
  t.status = Status;
  t.stats = Stats;
  t.install_sa = Install;
  t.start_sa = [](void* d, uint32_t h) { Nic(d)->StartSa(OffloadHandle(h)); };
  t.stop_sa = [](void* d, uint32_t h) { Nic(d)->StopSa(OffloadHandle(h)); };
  t.release_sa = [](void* d, uint32_t h) { Nic(d)->ReleaseSa(OffloadHandle(h)); };
  t.take_erased = TakeErased;
  t.advance_esn = [](void* d, uint32_t h, uint64_t n) { Nic(d)->AdvanceEsn(OffloadHandle(h), n); };
  t.filter_eligible = Eligible;
  t.tx_burst = Tx;
  t.rx_burst = Rx;
  t.wait_fd = [](void* d, uint32_t queue) { return Nic(d)->wait_fd(queue); };
  t.prepare_wait = [](void* d, uint32_t queue) -> int32_t {
    return Nic(d)->PrepareWait(queue) ? 1 : 0;
  };
  t.finish_wait = [](void* d, uint32_t queue) { Nic(d)->FinishWait(queue); };
  t.packet = &packet;
  t.faults = &faults;
  t.findings = &findings;
  return t;
}

}  // namespace

const cygnet_driver* SimNicPluginTable() {
  static const cygnet_driver table = MakeTable();
  return &table;
}

void SetUpSimNicPlugin(SimNicPluginSetup* setup) { next_setup = setup; }

}  // namespace cygnet::test
