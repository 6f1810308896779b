// SimNic: a NIC in software with its own thread, key store, SA table and rings. It seals packets
// that the host hands over with a handle, and opens arriving packets of its SAs. Everything else
// passes unchanged.
//
//   host (workers) ── to_wire_ ─────► thread ──► wire port
//                  ◄─ to_host_[w] ──        ◄──
//
// Packets leave in the order in which workers handed them over: numbers of an SA that several
// workers share have no other order (datapath/departures.h).
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/doorbell.h"
#include "base/ordered_rings.h"
#include "base/spsc_ring.h"
#include "device/device_extras.h"
#include "device/driver.h"
#include "device/packet_offload.h"
#include "device/sim_nic/card_profile.h"
#include "device/sim_nic/sim_nic_faults.h"
#include "device/sim_nic/sim_nic_policies.h"
#include "device/sim_nic/sim_nic_reorder.h"
#include "device/sim_nic/sim_nic_script.h"
#include "device/sim_nic/sim_nic_table.h"
#include "device/wires/wire_port.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "settings/fields.h"

namespace cygnet {

// Its keys in a [[device]] table.
struct SimNicOptions {
  std::string wire_driver{kAutoWire};
  std::string profile = "generic";  // the card that it plays
  std::vector<std::string> card_conditions = {};
  std::vector<std::string> bond_cards = {"ixgbe", "mlx5-crypto"};  // of the profile "bond"
  uint32_t sa_limit = 1024;                                        // SA slots of each direction
  uint32_t address_limit = 128;   // receive addresses: destinations of inbound SAs; 0 = none
  std::string fault_script = {};  // file (sim_nic_script.h); empty: no faults
  uint32_t fault_seed = 1;
  // The identity that it reports; empty: its own as the software NIC.
  std::string model = {};
  std::string serial = {};
  std::string firmware = {};
};
const std::vector<Field<SimNicOptions>>& SimNicFields();

class SimNic final : public Port,
                     public OffloadDevice,
                     public PacketOffload,
                     public DeviceRecords,
                     public SaFindings,
                     public Loopback,
                     public FaultInjection {
 public:
  // `wire` is owned and behind its guard (GuardedPort, which also feeds `capture`). `capture`
  // nullptr: none; `clock` nullptr: the system's. Start() starts the thread.
  SimNic(std::string name, std::unique_ptr<Port> wire, uint32_t queues, PacketPools* pools,
         CapturePoints* capture, const SimNicOptions& options = {}, FaultScript script = {},
         const Clock* clock = nullptr);
  ~SimNic() override;
  void Start();
  // One turn of the thread's loop, for tests and benchmarks without a thread. Returns packets
  // moved.
  uint32_t RunOnce();
  Port& wire() { return *wire_; }

  // Port: the host side, used by the workers.
  std::string_view name() const override { return name_; }
  MacAddress mac() const override { return wire_->mac(); }
  uint32_t mtu() const override { return wire_->mtu(); }
  uint32_t queues() const override { return static_cast<uint32_t>(to_host_.size()); }
  PortStats stats() const override { return wire_->stats(); }
  bool TakesSuperPackets() const override { return wire_->TakesSuperPackets(); }
  const DropCounters* device_drops() const override { return &drops_; }
  LinkStatus link() const override;
  // The card has no link while its wire has none.
  Status Follow(const PortLink& link) override;
  void PauseReceiving() override;
  void ResumeReceiving() override;
  bool Holds(uint32_t queue) const override;
  uint32_t Receive(uint32_t queue, PacketBatch* out, DropSink* sink) override;
  void Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) override;
  int wait_fd(uint32_t queue) const override { return host_bells_[queue]->fd(); }
  bool PrepareWait(uint32_t queue) override;
  void FinishWait(uint32_t queue) override { host_bells_[queue]->Disarm(); }

  // OffloadDevice.
  std::string_view device_name() const override { return name_; }
  const OffloadCaps& caps() const override { return caps_; }
  DeviceIdentity identity() const override { return identity_; }
  DeviceState state() const override { return state_.load(std::memory_order_acquire); }
  uint32_t resets() const override { return resets_.load(std::memory_order_acquire); }
  void SetBell(Doorbell* bell) override;
  std::optional<DeviceRefusal> InstallSa(const OffloadSa& sa, OffloadHandle* handle) override;
  std::optional<DeviceRefusal> OwnRefusal(const SaSpec& spec, Half half,
                                          OffloadMode mode) const override;
  void StartSa(OffloadHandle handle) override;
  void StopSa(OffloadHandle handle) override;
  void ReleaseSa(OffloadHandle handle) override;
  std::vector<OffloadHandle> TakeErased() override;
  OffloadStats offload_stats() const override;
  void AdvanceEsn(OffloadHandle handle, uint64_t highest) override;
  void FilterEligible(std::span<Packet* const> packets, std::span<bool> eligible) override;

  // PacketOffload.
  PacketOffload* packet_offload() override { return caps_.packet_offload ? this : nullptr; }
  std::optional<DeviceRefusal> AddPolicy(const OffloadPolicy& policy,
                                         OffloadPolicyHandle* handle) override;
  void RemovePolicy(OffloadPolicyHandle handle) override;
  void Grant(OffloadHandle handle, const NumberBlock& block) override;
  void SetLimits(OffloadHandle handle, const LifetimeLimits& limits) override;
  std::optional<SaReading> Read(OffloadHandle handle) const override;
  std::optional<SaHandOver> TakeState(OffloadHandle handle) override;
  std::vector<PacketOffloadEvent> TakeEvents() override;
  bool SetMirror(uint32_t n) override;

  // DeviceRecords, SaFindings, Loopback (sim_nic_loopback.cc), FaultInjection.
  const DeviceRecords* records() const override { return this; }
  FaultInjection* faults() override { return this; }
  SaFindings* findings() override { return this; }
  std::string DriverView() const override;
  std::vector<DeviceStatistic> Statistics() const override;
  std::vector<SaFinding> TakeFindings() override;
  Loopback* loopback() override { return this; }
  Status Loop(const OffloadSa& sa, std::span<Packet* const> packets,
              std::span<DropReason> drops) override;
  std::vector<SaId> HeldSas() const override;
  std::vector<KeyLogEntry> KeyLog() const override;
  // Any thread. Accepts the forms of FaultForms().
  Status InjectFault(std::string_view fault) override;

  // The last 4096 faults played, as they were written.
  std::vector<std::string> FaultsPlayed() const;
  void SetOffloadUp(bool up) { (void)InjectFault(up ? "up" : "down"); }
  // Simulates a card with fewer capabilities. Call before the first SA.
  void set_caps(const OffloadCaps& caps) { caps_ = caps; }

 private:
  using Ring = SpscRing<Packet*>;

  void Loop();
  void Sleep();
  int SleepMs() const;
  void HandBack(uint32_t queue, PacketBatch* batch);
  uint32_t MoveAllToWire();
  uint32_t MoveToWire();
  uint32_t MoveToHost();
  void FromWireInPieces(Packet* packet, PacketBatch* single);
  void Arrive(PacketBatch* batch);
  void Seal(uint32_t queue, PacketBatch* batch);
  void SealLocked(uint32_t queue, PacketBatch* batch);
  DropReason PrepareSeal(Packet* packet, uint32_t* jobs);
  void PretendToSeal(Packet* packet, const SimNicTable::Slot& slot, bool with_icv);
  // Packets that go up: those of a batch, and their copies.
  using Up = std::array<Packet*, 2 * kMaxBatch>;
  uint32_t Open(PacketBatch* batch, Up* up);
  uint32_t OpenLocked(PacketBatch* batch, Up* up);
  // An arriving ESP packet of an SA in the table.
  struct Arrival {
    SimNicTable::Slot* slot = nullptr;
    OffloadHandle handle;
    IpPacketView ip;
    EspView esp;
  };
  bool FindSa(Packet* packet, Arrival* arrival);
  // These require mutex_. Of the card's statistics; CountOpened also of the device's.
  void CountSealed(const Packet& packet);
  void CountOpened(uint64_t frame_bytes);
  void OpenInPlace(const Arrival& arrival, Packet* packet);
  void Distribute(PacketBatch* batch);
  void DistributeAll(std::span<Packet* const> packets);
  void OfferUp(std::span<Packet* const> packets);

  // --- Packets that stay here (sim_nic_loopback.cc). These require mutex_ ---
  class LoopScope;
  void LoopBatch(const OffloadSa& sa, std::span<Packet* const> packets);
  void TakeLoopKept(SimNicTable::Slot* slot);

  // --- What it does wrongly on command (sim_nic_wrong.cc) ---
  void Swallow(PacketBatch* batch);
  void AddSealJob(const SimNicTable::Slot& slot, std::span<uint8_t> esp, uint32_t esn_high,
                  uint32_t n);
  void RunSealJobs(uint32_t n);
  CryptoStatus OpenEsp(SimNicTable::Slot* slot, std::span<uint8_t> esp, uint32_t esn_high);
  bool OpenUnchecked(SimNicTable::Slot* slot, std::span<const uint8_t> as_it_came,
                     uint32_t esn_high, std::span<uint8_t> esp);
  void ToWire(PacketBatch* batch);
  void FromWire(PacketBatch* batch);
  uint32_t PassReordered();
  uint32_t EndReordering();
  void TakeTimeToAdd();
  uint64_t ReadingAgeNs() const;

  // --- The card that it plays (sim_nic_card.cc). These require mutex_ ---
  CardRequest RequestFor(const SaSpec& spec, Half half, OffloadMode mode) const;
  std::optional<DeviceRefusal> CardRefusal(const CardRequest& request) const;
  uint32_t CardSlots() const;
  // After an add that the table took: what the card really does with it.
  void NoteTruth(const CardRequest& request, const std::optional<DeviceRefusal>& firmware,
                 OffloadHandle handle);
  void NoteFinding(OffloadHandle handle, ClaimGap gap, std::string text);
  void FailOver();
  void TakeHabits(const CardRequest& request, OffloadHandle handle);
  void PollLimits();
  // --- Packet offload (sim_nic_protect.cc, sim_nic_decapsulate.cc) ---
  enum class Fate : uint8_t { kPass, kKept, kDropped };
  // Packets that are built and not sealed yet.
  struct Building {
    std::array<Packet*, kMaxBatch> packets;
    std::array<const SimNicPacketSa*, kMaxBatch> sas;
    uint32_t size = 0;
  };
  void Protect(uint32_t queue, PacketBatch* in, PacketBatch* out);
  Fate ProtectOne(uint32_t queue, Packet* packet, Building* building);
  DropReason BuildOne(SimNicTable::Slot* slot, const IpPacketView& ip, Packet* packet,
                      Building* building);
  void SealBuilt(Building* building, PacketBatch* out);
  SimNicPacketSa::ReplayCheck ReplayCheckOf(const SimNicTable::Slot& slot, DropReason replay);
  Fate Decapsulate(const Arrival& arrival, Packet* packet, Packet** copy);
  // Copies that go up before the packets that they were made of (sim_nic_mirror.cc).
  bool DrawCopy(const Packet& packet, Packet** copy);
  static void MarkCopy(const Packet& inner, Packet* copy);
  void FreeCopy(Packet* copy);
  Fate DropOne(Packet* packet, DropReason reason);
  Fate Keep(SimNicTable::Slot* slot, const SimNicPacketSa::Kept& kept);
  uint32_t MoveKept();
  void TakeKept(PacketBatch* to_wire, std::vector<SimNicPacketSa::Kept>* back, PacketBatch* up);
  void TakeKeptOutbound(SimNicTable::Slot* slot, Building* building, PacketBatch* to_wire);
  void TakeKeptInbound(OffloadHandle handle, SimNicTable::Slot* slot, PacketBatch* up);
  void LookAtKept();
  void FinishGrants();
  bool HasState() const;

  // --- States and faults (sim_nic_conditions.cc) ---
  // The conditions of the card; several may apply at once.
  struct Conditions {
    bool down = false;
    bool link_down = false;  // caused by a fault
    bool wire_down = false;
    bool removed = false;
    bool failed = false;
    bool resetting = false;
  };
  void RunTimers();
  void FinishReset();
  void PlayScript(uint64_t now_ns);
  Status Play(const Fault& fault, std::string_view text, const std::string& from);
  // These require mutex_:
  Status Change(const Fault& fault);
  void ChangeConditions(const Fault& fault);
  void Wipe();
  void ShowState();
  void RingBell();

  const std::string name_;
  const std::unique_ptr<Port> wire_;
  CapturePoints* const capture_;
  const Clock* const clock_;
  const CardProfile& profile_;
  const uint32_t card_conditions_;               // bits of CardCondition
  const std::vector<const CardProfile*> cards_;  // the card itself, or those of the bond
  std::size_t active_ = 0;                       // of cards_; under mutex_
  OffloadCaps caps_;
  const DeviceIdentity identity_;
  std::atomic<DeviceState> state_{DeviceState::kUp};
  std::atomic<bool> frames_pass_{true};
  std::atomic<uint32_t> resets_{0};

  OrderedRings<Packet*> to_wire_;
  std::vector<std::unique_ptr<Ring>> to_host_;
  std::vector<std::unique_ptr<Doorbell>> host_bells_;
  Doorbell wire_bell_;

  // Packets that each worker handed over, and how many of those are sealed or dropped.
  struct Progress {
    std::atomic<uint64_t> given{0};
    std::atomic<uint64_t> done{0};
  };
  // A slot whose last packets are still in the rings.
  struct PendingRelease {
    OffloadHandle handle;
    std::vector<uint64_t> given;  // by queue, at the time of the release
  };
  bool Passed(const std::vector<uint64_t>& given) const;
  void FinishReleases();
  std::vector<std::unique_ptr<Progress>> progress_;
  std::vector<PendingRelease> releases_;  // under mutex_
  // The first block of an SA, until the packets handed over before have passed.
  struct PendingGrant {
    OffloadHandle handle;
    std::vector<uint64_t> given;
    NumberBlock block;
  };
  std::vector<PendingGrant> grants_;  // under mutex_
  std::vector<uint64_t> Given() const;
  std::atomic<bool> releasing_{false};

  // Held by the thread for one batch, by control for one change. Protects the members up to
  // crypto_.
  mutable std::mutex mutex_;
  PendingFaults faults_;
  SimNicTable table_;
  SimNicPolicies policies_;
  std::vector<OffloadHandle> keeping_;  // SAs that keep packets, or did
  // Packets kept for SAs that were wiped since.
  std::deque<SimNicPacketSa::Kept> orphans_;
  std::atomic<bool> look_at_kept_{false};
  Conditions conditions_;
  std::deque<std::string> played_;
  std::vector<SaFinding> findings_;
  CardCounts counts_;
  Doorbell* bell_ = nullptr;
  std::atomic<uint64_t> reset_due_ns_{FaultScript::kNever};  // written under the lock
  std::atomic<uint64_t> poll_due_ns_{FaultScript::kNever};   // of limits; written under the lock
  std::unique_ptr<CryptoQueue> crypto_;

  PacketCaches caches_;
  DropCounters drops_;
  DropSink sink_;
  DropSink* drops_to_ = &sink_;  // of packets under mutex_
  std::array<CryptoJob, kMaxBatch> jobs_;
  std::array<bool, kMaxBatch> wrong_icv_{};  // of the jobs that seal
  std::atomic<bool> reordering_{false};      // written under the lock
  std::atomic<uint64_t> sealed_{0}, opened_{0}, auth_failed_{0}, passed_unknown_{0}, refusals_{0},
      dropped_stale_{0}, returned_{0};
  // Used by the thread only.
  FaultScript script_;
  uint64_t script_next_ms_;
  uint64_t script_next_packets_;
  std::optional<uint64_t> started_ns_;
  uint64_t packets_ = 0;
  uint64_t false_icv_ = 1;
  SimNicReorder reorder_out_;
  SimNicReorder reorder_in_;
  uint64_t copy_draw_ = 1;
  std::atomic<uint32_t> mirror_{0};  // one of so many decapsulated packets is copied; 0: none
  std::atomic<bool> paused_{false};
  std::atomic<bool> rests_{false};  // the thread knows that it is paused
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace cygnet
