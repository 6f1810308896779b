// SimNicPacketSa: one half of an SA in packet offload: what the software NIC does for it besides
// the cryptography. Not thread-safe: protected by SimNic's lock.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "device/packet_offload.h"
#include "device/sim_nic/sim_nic_faults.h"
#include "device/sim_nic/sim_nic_policies.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "sa/sa.h"

namespace cygnet {

// What a card does otherwise than the stack would.
struct CardHabits {
  bool limits_by_poll = false;       // limits are compared with the counters in PollLimits only
  bool bytes_with_overhead = false;  // its bytes are those behind the outer IP header
  bool no_replay_check = false;
  bool operator==(const CardHabits&) const = default;
};

class SimNicPacketSa {
 public:
  static constexpr std::size_t kMaxKept = 1024;

  // A packet that waits for numbers. Outbound: in clear. Inbound: opened, its number above the
  // block.
  struct Kept {
    Packet* packet = nullptr;
    uint32_t queue = 0;       // outbound: that it came from
    uint64_t seq = 0;         // inbound
    uint32_t esp_offset = 0;  // inbound: from the start of the IP header
    Packet* copy = nullptr;   // inbound: to be handed up before it; nullptr: none
  };

  // `events` and `faults` outlive this. `faults` nullptr: none.
  SimNicPacketSa(const OffloadSa& sa, std::vector<PacketOffloadEvent>* events,
                 PendingFaults* faults = nullptr);

  // For its events.
  void set_handle(OffloadHandle handle) { handle_ = handle; }
  OffloadHandle handle() const { return handle_; }
  uint32_t number() const { return number_; }
  const OffloadSaFacts& facts() const { return facts_; }
  uint16_t encap_port() const { return encap_port_; }  // inbound; 0: none
  bool in_udp() const { return encap_port_ != 0; }
  void SetLimits(const LifetimeLimits& limits);
  void set_habits(const CardHabits& habits);
  const CardHabits& habits() const { return habits_; }
  void PollLimits();
  // Outbound: if `block` does not continue the present one, the rest of that is never used.
  // Inbound: the block begins and ends no earlier than this one.
  void Grant(const NumberBlock& block);
  bool has_block() const { return !numbers_.empty(); }
  SaReading Read(uint64_t now) const;
  // The counters that the device has kept if they are not older than `age_ns`. Numbers are
  // always fresh: they are not statistics.
  SaReading ReadKept(uint64_t now, uint64_t monotonic_ns, uint64_t age_ns);
  SaHandOver HandOver(uint64_t now) const;
  std::deque<Kept>& kept() { return kept_; }
  // True from a Grant until every kept packet was looked at. Packets that come meanwhile go behind
  // the kept ones, because they are younger.
  bool kept_go_first() const { return kept_go_first_ && !kept_.empty(); }
  void KeptWereLookedAt() { kept_go_first_ = false; }
  // A packet finds no number.
  void AskForNumbers();

  // --- Outbound ---
  bool has_number() const { return numbers_.contains(next_); }
  // The SA has no further number.
  bool used_up() const { return next_ > last_number_; }
  // Charges, numbers and builds the packet, up to the sealing. REQUIRES: it need not wait.
  DropReason Build(const IpPacketView& ip, uint64_t now, Packet* packet);
  // After the sealing.
  void Finish(Packet* packet) const;

  // --- Inbound ---
  enum class Place : uint8_t { kBelow, kInBlock, kAbove };
  Place PlaceOf(uint64_t seq) const {
    return seq < numbers_.first  ? Place::kBelow
           : seq > numbers_.last ? Place::kAbove
                                 : Place::kInBlock;
  }
  uint64_t Infer(uint32_t low) const;
  // kNone: a fault lets the packet through, whatever CheckReplay says.
  enum class ReplayCheck : uint8_t { kFull, kNone };
  // Before the ICV is verified.
  DropReason CheckReplay(uint64_t seq) const { return window_->Check(seq); }
  void CountReplayed() { ++replayed_; }
  // The ICV was wrong: counts it and returns the reason.
  DropReason RefuseIcv(uint32_t low, uint64_t seq);
  void NoteAuthentic(uint64_t seq) { wanted_ = seq > wanted_ ? seq : wanted_; }
  // The packet is opened and its number is in the block. On kNone it is the inner packet.
  DropReason Accept(uint64_t seq, const IpPacketView& outer, uint32_t esp_offset, uint64_t now,
                    ReplayCheck check, Packet* packet);

 private:
  void Raise(PacketOffloadEvent::Kind kind) { events_->push_back({handle_, kind}); }
  DropReason Charge(uint32_t bytes, uint64_t now);
  void GoOnBeyondLimit(uint32_t bytes, uint64_t now);
  void CountOverhead(uint64_t wire_bytes, uint32_t counted);
  bool HidesLimit() { return faults_ != nullptr && faults_->NextHidesLimit(); }
  void TellIfLow();
  void PlaceLowMark();

  std::vector<PacketOffloadEvent>* const events_;
  PendingFaults* const faults_;
  const OffloadSaFacts facts_;
  const uint32_t number_;
  OffloadHandle handle_;
  NumberBlock numbers_;
  uint64_t low_at_ = 0;  // number at which kNumbersLow is raised
  bool told_low_ = false;
  bool told_none_ = false;
  Lifetime lifetime_{LifetimeLimits{}, LifetimeUsage{}};
  std::deque<Kept> kept_;
  bool kept_go_first_ = false;
  CardHabits habits_;
  LifetimeLimits limits_;
  bool told_soft_ = false;
  bool expired_ = false;
  uint64_t overhead_ = 0;  // bytes_with_overhead: beyond those of lifetime_
  struct KeptReading {
    SaReading reading;
    uint64_t taken_ns = 0;
  };
  std::optional<KeptReading> kept_reading_;
  // Outbound.
  std::unique_ptr<OutboundSa> out_;
  uint64_t next_ = 1;
  uint64_t last_number_ = 0;
  // Inbound.
  std::unique_ptr<InboundSa> in_;
  std::unique_ptr<ReplayWindow> window_;
  uint32_t window_size_ = 0;
  uint16_t encap_port_ = 0;
  uint64_t highest_ = 0;  // accepted here; before that, by the stack
  uint64_t wanted_ = 0;
  uint32_t replayed_ = 0;
  uint32_t auth_failed_ = 0;
};

}  // namespace cygnet
