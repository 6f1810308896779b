// DropReason: why a packet was dropped. Every reason has a counter, a text, and the
// /proc/net/xfrm_stat counter that Linux would raise (empty if none).
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <span>
#include <string_view>

namespace cygnet {

enum class DropReason : uint8_t {
  kNone = 0,
  // Inbound
  kInTooShort,          // ESP packet without room for SPI and sequence number
  kInBadHeader,         // outer IP header malformed
  kInNoState,           // no SA for (destination, SPI)
  kInAcquireState,      // the SA is still larval
  kInStateInvalid,      // dead, or expired by time
  kInStateExpired,      // byte or packet limit reached
  kInWrongDirection,    // the SA is for output only
  kInTruncated,         // too short for IV and ICV
  kInReplayOld,         // behind the replay window
  kInReplayDuplicate,   // seen before
  kInReplayZero,        // sequence number 0
  kInAuthFailed,        // ICV wrong
  kInBadTrailer,        // pad length beyond the payload
  kInDummy,             // next header 59
  kInModeMismatch,      // next header or inner packet does not fit the SA's mode
  kInEncapMismatch,     // UDP encapsulation differs from the SA's
  kInSelectorMismatch,  // inner flow outside the SA's selector
  kInTemplateMismatch,  // policy requires other protection, or any (plaintext)
  kInNoPolicy,          // no policy covers it, and it came through a tunnel or the default blocks
  kInPolicyBlock,
  kInCryptoError,       // the engine could not run the job
  kInDeviceError,       // the device reported an error
  kInDeviceStale,       // the device opened it for an earlier SA
  kInFragmentTimeout,   // the remaining fragments did not arrive in time
  kInFragmentOverlap,   // fragments that overlap or do not fit together (RFC 5722, RFC 8200)
  kInFragmentMemory,    // no room to hold the fragments
  kInLateBeyondWindow,  // ICV wrong because ESN was inferred wrongly: older than the window
  kInNested,            // more transforms than supported
  kInRequired,          // the SA must be on a device, and no device opened it
  kInBlocked,           // no engine or device is allowed (trust, FIPS, a required device)
  kInEtherType,         // neither IP nor well-formed ARP, and not a listed ether type
  kInIpOptions,         // with a source route or malformed options
  kInHandOver,          // its number belongs to the device that the SA moves to or from
  kInDeviceFragment,    // in fragments, and only its device, which opens whole packets, may open it
  kInNumberUnknown,     // a lost device or an earlier start may have accepted its number
  kInNoNumbers,         // above the numbers that are reserved for this start
  kInVerify,            // the CPU came to another result than the device, or cannot verify it
  kInNoTunnel,          // the tunnel interface of its SA does not exist
  // Outbound
  kOutBadPacket,  // inner packet malformed
  kOutPolicyBlock,
  kOutNoState,       // policy requires an SA, but none exists
  kOutStateExpired,  // byte or packet limit reached
  kOutStateInvalid,
  kOutSequence,   // sequence numbers used up
  kOutNoNumbers,  // the number store has given no further numbers yet
  kOutTooBig,     // larger than the path allows; the sender is notified
  kOutNoRoom,     // the buffer cannot hold the ESP overhead
  kOutCryptoError,
  kOutModeError,       // the packet does not fit the SA's mode
  kOutDeviceError,     // the device could not seal it
  kOutFragment,        // a later fragment without the ports that the policy selects by
  kOutWrongDirection,  // the SA is for input only
  kOutHoldFull,        // no room to wait for an SA
  kOutHoldTimeout,     // no SA within the hold time
  kOutRequired,        // the SA must be on a device, but the device cannot seal this packet
  kOutBlocked,         // no engine or device is allowed (trust, FIPS, a required device)
  kOutGuard,           // clear packet of a protected flow, stopped at the wire
  kOutNotSealed,       // reported as sealed but was not, stopped at the wire
  kOutPolicyChanged,   // policy changed between the decision and transmit
  kOutEtherType,       // neither IP nor well-formed ARP, and not a listed ether type
  kOutDevicePolicy,    // packet offload: no policy of the device protects it by its SA
  kOutVerify,          // the CPU does not open what the device would send, or cannot verify it
  kOutNoTunnelPolicy,  // sent through a tunnel interface, and no policy of it protects the packet
  kOutNoNextHop,       // from a tunnel or inside interface, and the next hop is unknown yet
  kOutInsidePolicy,    // from an inside interface, and policy lets it pass in clear by now
  kOutInsideSource,    // from an inside interface that its source is not known to be behind
  // Ports
  kPortFull,      // the port accepted no more packets
  kPortTooBig,    // larger than a frame of the port
  kPortBadFrame,  // frame too short, or unfinished checksum out of bounds
  kPortDown,      // the port has no link, or its device is gone
  kPortRefused,   // the kernel or its driver rejected the frame
  kNoBuffers,
  kCount
};

inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(DropReason::kCount);

struct DropReasonInfo {
  std::string_view name;       // stable, for JSON and scripts: "in-auth-failed"
  std::string_view text;       // for people
  std::string_view xfrm_stat;  // "XfrmInStateProtoError"; empty if the kernel has no such counter
};

const DropReasonInfo& Describe(DropReason reason);

// The 32 lines of /proc/net/xfrm_stat, in the order of Linux 6.18.
std::span<const std::string_view> XfrmStatNames();

// Counters with one writing thread; any thread may read.
struct DropCounters {
  std::array<std::atomic<uint64_t>, kDropReasons> count{};
  void Add(DropReason reason, uint64_t n = 1) {
    auto& c = count[static_cast<std::size_t>(reason)];
    c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  uint64_t Get(DropReason reason) const {
    return count[static_cast<std::size_t>(reason)].load(std::memory_order_relaxed);
  }
};

}  // namespace cygnet
