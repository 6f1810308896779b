// Sa: one security association: its spec, its state, and the hot halves for workers. The control
// thread makes and changes it; workers use only the members marked so.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>

#include "base/boxed.h"
#include "base/counted_ptr.h"
#include "base/huge_memory.h"
#include "base/ids.h"
#include "net/ethernet.h"
#include "packet/drop_reason.h"
#include "sa/lifetime.h"
#include "sa/replay_window.h"
#include "sa/sa_drops.h"
#include "sa/sa_spec.h"
#include "sa/sequence_counter.h"

namespace cygnet {

class Sa;
struct SaBinding;  // datapath/: the engine or device that does the work. The SA only stores the
                   // pointer.

// Layout of an SA's ESP packets (RFC 4303 section 2), derived once from its algorithms.
struct EspLayout {
  uint8_t iv = 0;
  uint8_t icv = 0;
  uint8_t align = 4;  // the padded payload is a multiple of this
  uint8_t udp = 0;    // 8 with UDP encapsulation
  uint8_t salt = 0;   // bytes in front of the IV in the nonce
  IvForm iv_form = IvForm::kNone;
  bool iv_in_aad = false;  // RFC 4543
  bool encrypts = false;   // false: the payload stays in clear (RFC 2410, RFC 4543)
};
EspLayout LayoutOf(const SaSpec& spec);
// The salt, zero-padded at the end.
std::array<uint8_t, 4> SaltOf(const SaSpec& spec);

// Next hop of the outer packet, from the kernel's FIB and neighbour tables. One word, so that
// workers read it atomically: the bytes of the MAC as in memory, then interface + 1; 0 = unknown.
class NextHop {
 public:
  void Set(const MacAddress& mac, uint8_t interface) {
    uint64_t word = 0;
    std::memcpy(&word, mac.data(), mac.size());
    word_.store(word | (uint64_t{interface} + 1) << kInterfaceShift, std::memory_order_relaxed);
  }
  void Clear() { word_.store(0, std::memory_order_relaxed); }
  bool Get(MacAddress* mac, uint8_t* interface) const {
    const uint64_t word = word_.load(std::memory_order_relaxed);
    if (word == 0) return false;
    std::memcpy(mac->data(), &word, mac->size());
    *interface = static_cast<uint8_t>((word >> kInterfaceShift) - 1);
    return true;
  }

 private:
  static constexpr int kInterfaceShift = 48;  // little-endian: the MAC is in the low bits
  std::atomic<uint64_t> word_{0};
};

// Outbound half (workers). Fields that every run reads come first, fields that it writes last, so
// that workers sharing the SA contend only for the last cache line.
struct alignas(kCacheLine) OutboundSa : FromSlab<OutboundSa> {
  OutboundSa(const SaSpec& spec, Sa* owner, uint64_t iv_mask);

  Sa* const sa;
  std::atomic<const SaBinding*> binding{nullptr};
  // The IV is the 64-bit sequence number XOR this mask. It is unique within the SA because the
  // number is, and differs between two uses of one key because the mask is random (RFC 4106 section
  // 3.1 lets the sender choose the form of the IV).
  const uint64_t iv_mask;
  NextHop next_hop;
  // Path MTU to the peer in bytes of IP packet, learnt from ICMP; 0 = the MTU of the wire.
  std::atomic<uint32_t> path_mtu{0};
  std::array<uint8_t, 4> salt{};
  const uint32_t tfc_pad;  // tunnel: inner packets are padded to this length; 0 = no padding
  const IpFamily family;   // of the outer header
  const EspLayout layout;
  const SaMode mode;
  const bool esn;
  const uint8_t flags;
  const bool copy_dscp;
  uint8_t header_length = 0;  // of `header`
  // Tunnel and BEET: outer IP header, UDP header if any, then SPI; transport: UDP header if any,
  // then SPI.
  alignas(kCacheLine) std::array<uint8_t, 64> header{};
  SequenceCounter sequence;
  std::atomic<uint64_t> path_mtu_until{0};  // wall-clock seconds: when path_mtu expires
  // UDP encapsulation: source port in the high half, destination port in the low half; UPDSA may
  // change them.
  std::atomic<uint32_t> udp_ports{0};
  const IpFamily inner_family;  // BEET: of the inner packets; otherwise unspecified
};
static_assert(sizeof(OutboundSa) == 3 * kCacheLine);

// BEET mode: the inner addresses at both ends, which are not sent; they come from the SA's
// selector. It should hold two hosts; of a network, its address is used, as in the kernel.
struct BeetInner {
  IpFamily family = IpFamily::kUnspec;
  IpAddress saddr;
  IpAddress daddr;
};
BeetInner BeetInnerOf(const SaSpec& spec);

// Inbound half (workers). One cache line that runs read, then the replay window, which they write.
struct alignas(kCacheLine) InboundSa : FromSlab<InboundSa> {
  InboundSa(const SaSpec& spec, Sa* owner);

  Sa* const sa;
  std::atomic<const SaBinding*> binding{nullptr};
  const EspLayout layout;
  const SaMode mode;
  const bool esn;
  const uint8_t flags;
  const uint32_t spi;  // host order
  std::array<uint8_t, 4> salt{};
  // UDP encapsulation: the peer's expected source port, 0: any; UPDSA may change it.
  std::atomic<uint16_t> peer_port{0};
  const Boxed<BeetInner> beet;  // BEET only
  alignas(kCacheLine) ReplayWindow replay;
};
static_assert(sizeof(InboundSa) == 3 * kCacheLine);

enum class SaState : uint8_t { kLarval, kValid, kDying, kExpired, kDead };

struct SaStats {
  uint32_t replay_window = 0;     // older than the window
  uint32_t replay = 0;            // duplicates
  uint32_t integrity_failed = 0;  // ICV wrong, for any reason
};

// The first cache line has all that a run needs; a look-up of nearly every SA (serves_all) needs it
// and the second.
class alignas(kCacheLine) Sa : public FromSlab<Sa> {
  [[no_unique_address]] Lifetime lifetime_;  // what follows begins in its padding
  std::atomic<uint8_t> state_;               // SaState, and kServesAll

 public:
  // Number of the tunnel interface that its packets come in by (datapath/tunnels.h); 0: none;
  // Tunnels::kMissing: it does not exist.
  // Control may change it at any time.
  std::atomic<uint16_t> tunnel{0};
  const OwnerCount owner_count;
  uint64_t number = 0;  // Sad::NextNumber; the newest has the largest

 private:
  std::unique_ptr<OutboundSa> outbound_;
  std::unique_ptr<InboundSa> inbound_;
  SaSpec spec_;
  SaDrops drops_;

 public:
  // Larval: key management has reserved an SPI, but there are no keys yet.
  struct Larval {};
  Sa(SaSpec spec, uint64_t now, Larval);
  // A complete SA. `iv_mask` is random, except in tests that compare wire bytes.
  Sa(SaSpec spec, uint64_t now, uint64_t iv_mask);
  Sa(const Sa&) = delete;
  Sa& operator=(const Sa&) = delete;

  const SaSpec& spec() const { return spec_; }
  SaId id() const;
  OutboundSa* outbound() const { return outbound_.get(); }
  InboundSa* inbound() const { return inbound_.get(); }
  Lifetime& lifetime() { return lifetime_; }
  const Lifetime& lifetime() const { return lifetime_; }

  // Any thread.
  SaState state() const {
    return static_cast<SaState>(state_.load(std::memory_order_acquire) & ~kServesAll);
  }
  bool usable() const {
    const SaState s = state();
    return s == SaState::kValid || s == SaState::kDying;
  }
  SaStats stats() const;
  ReplayState ExportReplay() const;
  uint64_t drops(DropReason reason) const { return drops_.Of(reason); }

  // Workers.
  void CountDrop(DropReason reason, uint32_t n = 1) { drops_.Count(reason, n); }
  // Prefetch for a coming look-up (PrefetchIdentity) or run (PrefetchUse).
  void PrefetchIdentity() const {
    __builtin_prefetch(this);
    __builtin_prefetch(reinterpret_cast<const char*>(this) + kCacheLine);
  }
  void PrefetchUse() const { __builtin_prefetch(this, 1); }
  // True if the flow may use the SA; an empty selector admits every flow.
  bool Admits(const FlowKey& flow, int32_t ifindex) const {
    return serves_all() || spec_.selector->Admits(flow, ifindex);
  }
  bool admits_all() const { return serves_all() || spec_.selector->SaysNothing(); }
  int32_t packet_device() const { return PacketDeviceOf(spec_.offload); }
  // True if a look-up need not compare what follows if_id in the spec: every flow, mark and CPU may
  // use the SA, no device of packet offload was asked for, and it does not have the flag
  // "wildrecv".
  bool serves_all() const { return (state_.load(std::memory_order_relaxed) & kServesAll) != 0; }

  // Control thread.
  void set_state(SaState state) {
    const auto kept = static_cast<uint8_t>(state_.load(std::memory_order_relaxed) & kServesAll);
    state_.store(static_cast<uint8_t>(kept | static_cast<uint8_t>(state)),
                 std::memory_order_release);
  }
  // The fields of a valid SA that UPDSA may change.
  void UpdateLimits(const LifetimeLimits& limits);
  void UpdateEncapPorts(const UdpEncap& encap);
  // Continues where `from`, an SA with the same keys, stops for good: sequence numbers, window,
  // usage. REQUIRES: no worker can find this SA yet.
  void TakeOver(Sa* from);

 private:
  static constexpr uint8_t kServesAll = 0x80;  // never changes
  static uint8_t StateBits(SaState state, const SaSpec& spec);
};

// Owners of an SA, one word each.
using SaPtr = CountedPtr<Sa>;
using ConstSaPtr = CountedPtr<const Sa>;

static_assert(sizeof(Lifetime) + 8 == kCacheLine && sizeof(Sa) == 4 * kCacheLine);
static_assert(2 * sizeof(void*) + offsetof(SaSpec, mark_value) == kCacheLine);

inline SaPtr MakeSharedSa(SaSpec spec, uint64_t now, uint64_t iv_mask) {
  return SaPtr(new Sa(std::move(spec), now, iv_mask));
}
inline SaPtr MakeSharedSa(SaSpec spec, uint64_t now, Sa::Larval larval) {
  return SaPtr(new Sa(std::move(spec), now, larval));
}

// True if the SA may carry outgoing (incoming) packets: decided by XFRMA_SA_DIR, otherwise by the
// direction of the offload request, otherwise both are true.
bool MayBeOutbound(const SaSpec& spec);
bool MayBeInbound(const SaSpec& spec);

// True if the SA's packets would leave from UDP port 0, which names no port: peers and NATs drop
// them. The text is for clients.
bool LeavesFromNoPort(const SaSpec& spec);
inline constexpr const char* kNoSourcePort =
    "UDP encapsulation needs a source port: port 0 means any port, and only of an inbound SA "
    "(SA_DIR in)";

}  // namespace cygnet
