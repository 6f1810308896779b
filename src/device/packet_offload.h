// PacketOffload: what a device offers that does the whole of ESP (packet offload), beyond the
// contract of device/offload_device.h. The stack gives it policies and SAs. It looks up the policy,
// encapsulates, numbers, seals, checks replay, opens, decapsulates and counts.
//
// A packet-mode SA has its numbers from the stack in blocks (Grant): a device that dies has used
// and accepted no number outside its block. Therefore a successor that begins behind the block
// repeats no number outbound, and accepts no packet a second time inbound.
//
// A packet travels as follows.
// - Outbound: the stack hands over the packet in clear with OffloadStatus::kProtectRequested and
//   the handle of its SA. The device looks up its own policies. It protects the packet with that SA
//   if the policy's template admits it, or drops it. It never sends such a packet in clear.
//   Without a number it keeps a bounded number of packets of the SA until Grant, in order.
//   It encapsulates and seals in place: the protected bytes stay where they are in the buffer.
//   After StopSa, or when it cannot protect the packet, it returns it unchanged by Port::Receive as
//   kReturnedClear: the stack decides anew.
// - Inbound: the device hands up the inner packet as kDecapsulated, with the number of its SA
//   (Packet::SetSaNumber) and the handle. A packet with a number below the block is passed up
//   unchanged, as are all packets before StartSa and after StopSa. An authentic packet above the
//   block waits, bounded in number, until Grant; after StopSa it goes up as kOpened. Replayed and
//   forged packets are dropped and counted in its readings.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/ids.h"
#include "device/offload_device.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"

namespace cygnet {

// A policy for the device's own table; valid during the call only. The lowest priority number wins;
// of equal numbers the policy that was added first.
struct OffloadPolicy {
  const PolicySpec& spec;
};

// The device's counters for one half. Times are wall-clock seconds.
struct SaReading {
  uint64_t packets = 0;
  uint64_t bytes = 0;        // as the device counts them (a card may include its overhead)
  uint64_t highest = 0;      // outbound: last number used; inbound: highest number accepted
  uint64_t wanted = 0;       // inbound: highest authentic number seen, in the block or above it
  uint32_t replayed = 0;     // inbound: dropped as seen before or older than the window
  uint32_t auth_failed = 0;  // inbound: dropped because the ICV did not verify
  uint64_t taken_at = 0;     // when the device took this reading; cards cache them
};

// The final state of a half after StopSa: exact, no packet changes it any more.
struct SaHandOver {
  SaReading reading;
  // Inbound: the numbers accepted within the replay window, in the kernel's extended layout.
  std::vector<uint32_t> bitmap;
};

struct PacketOffloadEvent {
  enum class Kind : uint8_t {
    kNumbersLow,  // half of the block, or more, is used; again when a packet finds no number
    kSoftLimit,   // bytes or packets reached the soft limit; raised once per SetLimits
    kHardLimit,   // the device protects and accepts no more packets of the SA
  };
  OffloadHandle handle;
  Kind kind = Kind::kNumbersLow;
  bool operator==(const PacketOffloadEvent&) const = default;
};

// Control thread, all of it. The device rings the bell (OffloadDevice::SetBell) when TakeEvents()
// would return something. A stale handle is ignored.
class PacketOffload {
 public:
  virtual ~PacketOffload() = default;

  // Copies the policy. On a refusal the device holds nothing of it. Directions in and out; forward
  // is not given to devices, as in the kernel.
  virtual std::optional<DeviceRefusal> AddPolicy(const OffloadPolicy& policy,
                                                 OffloadPolicyHandle* handle) = 0;
  // Policies do not survive a reset: OffloadDevice::resets() invalidates their handles, too.
  virtual void RemovePolicy(OffloadPolicyHandle handle) = 0;

  // More numbers, behind those of the SA. Outbound: a block that does not continue the present one
  // replaces it. The first block is used only after packets that were handed over before this call
  // have left, because they have lower numbers. Inbound: the block grows to block.last, and what
  // lies below block.first goes to the stack from now on.
  virtual void Grant(OffloadHandle handle, const NumberBlock& block) = 0;
  // Limits of packets and bytes that the device counts; times stay with the stack.
  virtual void SetLimits(OffloadHandle handle, const LifetimeLimits& limits) = 0;
  // nullopt: stale handle, or the device does not answer.
  virtual std::optional<SaReading> Read(OffloadHandle handle) const = 0;
  // REQUIRES: StopSa(handle), not yet ReleaseSa. nullopt: the state is lost, as after a crash.
  virtual std::optional<SaHandOver> TakeState(OffloadHandle handle) = 0;
  virtual std::vector<PacketOffloadEvent> TakeEvents() = 0;

  // Shadow verification: of one of `n` inbound packets that it decapsulates, the device hands up a
  // copy of the ESP packet as it came (OffloadStatus::kMirrored, with handle and SA number),
  // directly before the inner packet and by the same queue. 0: of none. False: the device cannot
  // do that. Any thread may run packets meanwhile.
  virtual bool SetMirror(uint32_t n) {
    (void)n;
    return false;
  }
};

}  // namespace cygnet
