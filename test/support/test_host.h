// TestHost: one machine's data path between two ports in memory, driven step by step without
// threads.
#pragma once

#include <cstdlib>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "crypto/engine_set.h"
#include "datapath/bind_half.h"
#include "datapath/shadow/device_shadow.h"
#include "datapath/wire_seal_guard.h"
#include "datapath/worker.h"
#include "device/segment.h"
#include "device/sim_nic/sim_nic.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/packet_builder.h"
#include "support/tamper_port.h"
#include "support/test_sa.h"

#ifdef CYGNET_NIC_BY_PLUGIN
#include "plugin/plugin_device.h"
#include "plugins/sim_nic_plugin.h"
#endif

namespace cygnet::test {

inline EngineSet MakeEngines(std::string_view cpu = "openssl") {
  auto engines = EngineSet::ForCpu(cpu);
  if (!engines) throw std::runtime_error(engines.error().message);
  return *std::move(engines);
}

struct TestHostOptions {
  uint32_t interfaces = 1;
  bool nic = false;        // a software NIC at every wire
  uint32_t sa_limit = 16;  // of each NIC
  uint32_t mtu = 1500;
  uint32_t verify = 0;  // each NIC: the CPU computes one of so many packets again
  std::optional<EngineOptions> look_aside = {};  // a device that takes all it supports
  bool super_packets = false;                    // each wire takes them
  std::optional<uint32_t> straight_from = {};    // DataPath's; StraightFrom() if not set
};

// All packets that may take the straight way do; with CYGNET_TEST_WAY=general in the environment,
// none does.
inline uint32_t StraightFrom() {
  const char* way = std::getenv("CYGNET_TEST_WAY");
  return way != nullptr && std::string_view(way) == "general" ? DataPath::kNeverStraight : 1;
}

class TestHost {
 public:
  static constexpr uint64_t kSeed = 0x5eed;
  static constexpr int32_t kIfindex = 100;        // of interface 0; further interfaces count up
  static constexpr uint32_t kFlowEntries = 2048;  // fewer than the daemon's: hosts begin sooner

  explicit TestHost(PacketPools* pools, const TestHostOptions& options = {}) : pools_(pools) {
    path.straight_from = options.straight_from.value_or(StraightFrom());
    path.flow_entries = kFlowEntries;
    for (uint32_t i = 0; i < options.interfaces; ++i) {
      Link link;
      link.capture = std::make_unique<CapturePoints>();
      link.capture->inner.CountReadersIn(&path.inner_readers);
      link.guard =
          std::make_unique<WireSealGuard>(&path, static_cast<uint8_t>(i), 1, &link.capture->guard);
      link.host = std::make_unique<MemoryPort>("host" + std::to_string(i), options.mtu);
      auto memory = std::make_unique<MemoryPort>("wire" + std::to_string(i), options.mtu);
      link.wire = memory.get();
      memory->takes_super_packets = options.super_packets;
      auto wire =
          std::make_unique<GuardedPort>(std::move(memory), link.guard.get(), link.capture.get());
      if (options.nic) {
        link.guarded = std::move(wire);
        auto below = std::make_unique<TamperPort>(link.guarded.get(), &below_nic, &unchanged_);
        AddNic("nic" + std::to_string(i), std::move(below), {.sa_limit = options.sa_limit}, &link);
        link.above = std::make_unique<TamperPort>(link.port.get(), &unchanged_, &above_nic);
      } else {
        link.port = std::move(wire);
      }
      const int32_t ifindex = kIfindex + static_cast<int32_t>(i);
      path.interfaces.push_back(
          {.host = link.host.get(),
           .wire = options.nic ? static_cast<Port*>(link.above.get()) : link.port.get(),
           .offload = link.offload,
           .ifindex = ifindex,
           .guard = link.guard.get(),
           .capture = link.capture.get(),
           .whole = !options.nic && link.port->TakesSuperPackets()});
      devices.push_back(
          {.device = link.offload, .mode = PlacementMode::kCrypto, .ifindex = ifindex});
      if (options.verify != 0) Verify(options.verify, &link);
      links_.push_back(std::move(link));
    }
    if (options.look_aside.has_value()) AddLookAside(*options.look_aside);
    worker = std::make_unique<Worker>(&path, 0, pools, &engines, &clock, kSeed);
  }
  ~TestHost() {
    for (auto& binding : bindings) {
      if (binding->device() != nullptr) binding->device()->ReleaseSa(binding->handle);
    }
  }

  MemoryPort& host_port(std::size_t i = 0) { return *links_[i].host; }
  MemoryPort& wire_port(std::size_t i = 0) { return *links_[i].wire; }
  SimNic& nic(std::size_t i = 0) { return *links_[i].nic; }
  // What the stack calls for packet offload.
  PacketOffload& nic_packet(std::size_t i = 0) { return *links_[i].offload->packet_offload(); }
  CapturePoints& capture(std::size_t i = 0) { return *links_[i].capture; }
  DeviceShadow& shadow(std::size_t i = 0) { return *links_[i].shadow; }
  SealGuardStats guard(std::size_t i = 0) const { return links_[i].guard->stats(); }

  // Binds both halves of the SA with BindHalf and inserts it. `number` identifies the SA in
  // events.
  SaPtr Add(const SaOptions& options) { return Add(MakeSpec(options)); }
  SaPtr Add(SaSpec spec) {
    auto sa = MakeSharedSa(std::move(spec), clock.WallSeconds(), kTestIvMask);
    sa->number = path.sad.NextNumber();
    if (sa->outbound() != nullptr) {
      sa->outbound()->binding = Bind(sa->spec(), Half::kOutbound, sa.get());
    }
    if (sa->inbound() != nullptr) {
      sa->inbound()->binding = Bind(sa->spec(), Half::kInbound, sa.get());
    }
    path.sad.Insert(sa);
    path.sad.IndexByNumber(sa);
    path.BumpGeneration();
    return sa;
  }
  // `sa`: for packet offload. The device is given kBlock numbers.
  static constexpr uint32_t kBlock = 1u << 20;
  const SaBinding* Bind(const SaSpec& spec, Half half, Sa* sa = nullptr) {
    const auto numbers = [half, sa](const OffloadDevice&) {
      if (IsInbound(half)) {
        const uint64_t highest = sa->inbound()->replay.highest();
        sa->inbound()->replay.Limit(highest);
        return NumberBlock{highest + 1, highest + kBlock};
      }
      const SequenceRange range = sa->outbound()->sequence.Reserve(kBlock);
      return NumberBlock{range.first, range.first + range.count - 1};
    };
    auto bound = BindHalf(spec, half,
                          {.request = ClientRequest(spec),
                           .devices = devices,
                           .engines = &engines,
                           .look_aside = look_aside,
                           .number = sa == nullptr ? 0 : static_cast<uint32_t>(sa->number),
                           .iv_mask = kTestIvMask,
                           .numbers = numbers});
    if (!bound) throw std::runtime_error(bound.error().message);
    bindings.push_back(bound->ReleaseNext());
    reasons.push_back(bound->reason);
    const SaBinding* binding = bindings.back().get();
    if (binding->on_device()) binding->device()->StartSa(binding->handle);
    if (binding->device_numbers()) {
      binding->device()->packet_offload()->SetLimits(binding->handle, spec.limits);
    }
    return binding;
  }
  std::shared_ptr<Policy> AddPolicy(PolicySpec spec) {
    // A NIC has the outbound policies, too.
    for (Link& link : links_) {
      if (link.nic == nullptr || spec.direction != PolicyDirection::kOut) continue;
      PacketOffload* packet = link.offload->packet_offload();
      OffloadPolicyHandle handle;
      // A refused one protects nothing there.
      if (packet != nullptr) (void)packet->AddPolicy({spec}, &handle);
    }
    auto policy = path.spd.Insert(std::move(spec), clock.WallSeconds());
    path.BumpGeneration();
    return policy;
  }
  void SetAddresses(const std::vector<std::string>& texts) {
    std::vector<ParsedAddress> all;
    for (const std::string& text : texts) all.push_back(Addr(text));
    path.SetHostAddresses(std::move(all));
  }

  // Frames enter; nothing moves before Run.
  void FromHost(const Bytes& frame, std::size_t i = 0) {
    host_port(i).arriving.push_back(MakePacket(pools_, frame));
  }
  void FromWire(const Bytes& frame, std::size_t i = 0) {
    wire_port(i).arriving.push_back(MakePacket(pools_, frame));
  }
  // Runs every component that has work, until none has.
  void Run() {
    for (uint32_t moved = 1; moved != 0 || worker->HasParked();) {
      moved = worker->RunOnce();
      for (Link& link : links_) {
        if (link.nic != nullptr) moved += link.nic->RunOnce();
      }
    }
  }
  std::vector<Bytes> ToHost(std::size_t i = 0) { return Take(&host_port(i)); }
  std::vector<Bytes> ToWire(std::size_t i = 0) { return Take(&wire_port(i)); }

  // The wire frames that result from one frame of the host.
  std::vector<Bytes> Send(const Bytes& frame) {
    FromHost(frame);
    Run();
    return ToWire();
  }
  std::vector<Bytes> Receive(const Bytes& frame) {
    FromWire(frame);
    Run();
    return ToHost();
  }

  uint64_t Drops(DropReason reason) const { return path.drops[0]->Get(reason); }
  // By the NIC, and by the wire behind it.
  uint64_t NicDrops(DropReason reason, std::size_t i = 0) const {
    const uint64_t behind = NicIsPlugin() ? links_[i].port->device_drops()->Get(reason) : 0;
    return links_[i].nic->device_drops()->Get(reason) + behind;
  }
  uint64_t AllDrops() const {
    uint64_t n = 0;
    for (std::size_t i = 0; i < kDropReasons; ++i) n += Drops(static_cast<DropReason>(i));
    return n;
  }
  std::vector<DataPathEvent> Events() {
    std::vector<DataPathEvent> out;
    DataPathEvent event;
    while (path.events[0]->Pop({&event, 1}) == 1) out.push_back(event);
    return out;
  }

  // A broken NIC: what changes below it, before the seal guard sees the frame, and above it, on the
  // way to the worker.
  Tamper below_nic;
  Tamper above_nic;

  DataPath path{1};
  FakeClock clock;
  EngineSet engines = MakeEngines();
  LookAsideMode look_aside = LookAsideMode::kNo;
  std::vector<PlacementDevice> devices;
  std::vector<std::unique_ptr<SaBinding>> bindings;
  std::vector<PlacementReason> reasons;  // of each binding: why it runs there
  std::unique_ptr<Worker> worker;

 private:
  void AddLookAside(const EngineOptions& options) {
    for (const EngineInfo* info : BuiltinEngines()) {
      if (info->kind == EngineKind::kLookAside) engines.Add(info, info->create(options));
    }
    look_aside = LookAsideMode::kAuto;
  }

  struct Link;
  // With CYGNET_NIC_BY_PLUGIN the NIC is behind the C table of drivers by others.
#ifdef CYGNET_NIC_BY_PLUGIN
  static constexpr bool NicIsPlugin() { return true; }
  void AddNic(const std::string& name, std::unique_ptr<Port> wire, const SimNicOptions& options,
              Link* link) {
    SimNicPluginSetup setup{.options = options, .clock = &clock, .by_steps = true};
    SetUpSimNicPlugin(&setup);
    const auto plugin = ReadDriver(SimNicPluginTable(), "sim_nic");
    auto device = PluginDevice::Open(*plugin, {.name = name,
                                               .pools = pools_,
                                               .wire = std::move(wire),
                                               .capture = link->capture.get(),
                                               .clock = &clock});
    if (!device) throw std::runtime_error(device.error().message);
    link->nic = setup.nic;
    link->offload = device->get();
    link->port = *std::move(device);
  }
#else
  static constexpr bool NicIsPlugin() { return false; }
  void AddNic(const std::string& name, std::unique_ptr<Port> wire, const SimNicOptions& options,
              Link* link) {
    auto nic = std::make_unique<SimNic>(name, std::move(wire), 1, pools_, link->capture.get(),
                                        options, FaultScript(), &clock);
    link->nic = nic.get();
    link->offload = nic.get();
    link->port = std::move(nic);
  }
#endif

  struct Link {
    std::unique_ptr<CapturePoints> capture;
    std::unique_ptr<WireSealGuard> guard;
    std::unique_ptr<MemoryPort> host;
    std::unique_ptr<GuardedPort> guarded;  // the wire, with a NIC
    std::unique_ptr<Port> port;            // the NIC, or the wire if there is none
    OffloadDevice* offload = nullptr;
    SimNic* nic = nullptr;
    std::unique_ptr<TamperPort> above;
    std::unique_ptr<DeviceShadow> shadow;
    MemoryPort* wire = nullptr;
  };
  // Device copies are required from the start: nothing is in the NIC yet.
  void Verify(uint32_t one_of, Link* link) {
    link->shadow = std::make_unique<DeviceShadow>(&path.control_bell);
    PacketOffload* packet = link->offload->packet_offload();
    const bool copies = packet != nullptr && packet->SetMirror(one_of);
    link->shadow->Set(one_of, copies, 0);
    link->guard->SetShadow(link->shadow.get(), engines);
    path.interfaces.back().shadow = link->shadow.get();
    devices.back().verify_one_of = one_of;
  }
  static std::vector<Bytes> Take(MemoryPort* port) {
    std::vector<Bytes> out;
    while (!port->sent.empty()) {
      Packet* packet = port->sent.front();
      port->sent.pop_front();
      // Finish work left to a device, because the receiver (a host or the next test) expects it
      // done.
      if (packet->gso_type == GsoType::kNone) (void)FinishChecksum(packet);
      out.push_back(ToBytes(packet->bytes()));
      FreePacket(packet);
    }
    return out;
  }

  PacketPools* const pools_;
  const Tamper unchanged_;
  std::vector<Link> links_;
};

// Two hosts on one wire: A is 192.0.2.1 and 2001:db8::1; B has the same addresses ending in 2.
// Behind A: 10.1/16 and fd01::/64; behind B: 10.2/16 and fd02::/64.
class TestPair {
 public:
  explicit TestPair(const TestHostOptions& options_a = {}, const TestHostOptions& options_b = {})
      : pools(1024, 16, options_a.mtu > kSmallMtu ? 1024 : 0),
        a(&pools, options_a),
        b(&pools, options_b) {
    a.SetAddresses({"192.0.2.1", "2001:db8::1", "10.1.0.1", "fd01::1"});
    b.SetAddresses({"192.0.2.2", "2001:db8::2", "10.2.0.1", "fd02::1"});
  }
  // Installs the SA from A to B at both ends, and the policies for it from src to dst.
  void Protect(const SaOptions& options, const std::string& src, const std::string& dst) {
    sa_a = a.Add(options);
    sa_b = b.Add(options);
    AddPolicies(options, src, dst);
  }
  void AddPolicies(const SaOptions& options, const std::string& src, const std::string& dst) {
    PolicySpec out = MakePolicy(PolicyDirection::kOut, src, dst, {TemplateFor(options)});
    // Only a policy with packet offload finds an SA whose client requested it.
    if (sa_a != nullptr && PacketDeviceOf(sa_a->spec().offload) != 0) {
      out.offload = sa_a->spec().offload;
    }
    a.AddPolicy(std::move(out));
    b.AddPolicy(MakePolicy(PolicyDirection::kIn, src, dst, {TemplateFor(options)}));
    b.AddPolicy(MakePolicy(PolicyDirection::kForward, src, dst, {TemplateFor(options)}));
  }
  // Frames that B's host receives for a frame that A's host sent; the wire frames stay in `wire`.
  std::vector<Bytes> Deliver(const Bytes& frame) {
    wire = a.Send(frame);
    std::vector<Bytes> out;
    for (const Bytes& w : wire) {
      for (Bytes& f : b.Receive(w)) out.push_back(std::move(f));
    }
    return out;
  }

  PacketPools pools;
  TestHost a;
  TestHost b;
  SaPtr sa_a;
  SaPtr sa_b;
  std::vector<Bytes> wire;
};

}  // namespace cygnet::test
