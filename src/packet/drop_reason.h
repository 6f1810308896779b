// DropReason: why a packet went no further. Every reason has a counter, a text, and the
// /proc/net/xfrm_stat counter that a Linux kernel would raise (empty where it has none).
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
  kInStateInvalid,      // dying out: dead or expired by time
  kInStateExpired,      // byte or packet limit reached
  kInWrongDirection,    // an SA marked for output
  kInTruncated,         // too short for IV and ICV
  kInReplayOld,         // behind the replay window
  kInReplayDuplicate,   // seen before
  kInReplayZero,        // sequence number 0
  kInAuthFailed,        // ICV wrong
  kInBadTrailer,        // pad length beyond the payload
  kInDummy,             // next header 59
  kInModeMismatch,      // next header or inner packet does not fit the SA's mode
  kInEncapMismatch,     // UDP-encapsulated or not, the SA says otherwise
  kInSelectorMismatch,  // inner flow outside the SA's selector
  kInTemplateMismatch,  // policy wants other protection (or any: plaintext where ESP is needed)
  kInNoPolicy,          // came by a tunnel, no policy covers it
  kInPolicyBlock,
  kInCryptoError,       // the engine could not run the job
  kInDeviceError,       // the device said so
  kInDeviceStale,       // opened by the device for another SA than the one that is there
  kInFragmentTimeout,   // the rest of the datagram did not come in time
  kInFragmentOverlap,   // fragments that overlap or do not fit together (RFC 5722, RFC 8200)
  kInFragmentMemory,    // no room to wait for the rest of the datagram
  kInLateBeyondWindow,  // ICV wrong because the high word was guessed: older than the window (ESN)
  kInNested,            // more transforms than supported
  kInRequired,          // the SA must be on a device, and no device opened it
  kInBlocked,           // nothing may do the SA's cryptography (trust, FIPS, a required device)
  kInEtherType,         // neither IP nor well-formed ARP nor on the list of what may pass
  kInIpOptions,         // opened, and it has a source route or malformed options
  // Outbound
  kOutBadPacket,  // inner packet malformed
  kOutPolicyBlock,
  kOutNoState,       // policy wants an SA, none is there
  kOutStateExpired,  // byte or packet limit reached
  kOutStateInvalid,
  kOutSequence,  // sequence numbers used up
  kOutTooBig,    // larger than the path allows; the sender is told
  kOutNoRoom,    // the buffer cannot hold the ESP overhead
  kOutCryptoError,
  kOutModeError,       // the packet does not fit the SA's mode
  kOutDeviceError,     // the device could not seal it
  kOutFragment,        // a later fragment, and policy asks for ports that it does not carry
  kOutWrongDirection,  // an SA marked for input
  kOutHoldFull,        // no room to wait for key management
  kOutHoldTimeout,     // waited for key management in vain
  kOutRequired,        // the SA must be on a device, which cannot take the packet
  kOutBlocked,         // nothing may do the SA's cryptography (trust, FIPS, a required device)
  kOutGuard,           // clear packet of a protected flow at the wire: never leaves
  kOutNotSealed,       // a device or engine said that it sealed it and did not: never leaves
  kOutPolicyChanged,   // policy let it leave in clear; before it did, policy said otherwise
  kOutEtherType,       // neither IP nor well-formed ARP nor on the list of what may pass
  // Ports
  kPortFull,      // the port took no more
  kPortTooBig,    // larger than a frame of the port
  kPortBadFrame,  // frame too short, or unfinished checksum out of bounds
  kPortDown,      // the port has no link, or its device is gone
  kPortRefused,   // the kernel or its driver would not take the frame
  kNoBuffers,
  kCount
};

inline constexpr std::size_t kDropReasons = static_cast<std::size_t>(DropReason::kCount);

struct DropReasonInfo {
  std::string_view name;       // stable, for JSON and scripts: "in-auth-failed"
  std::string_view text;       // for people
  std::string_view xfrm_stat;  // "XfrmInStateProtoError"; empty if the kernel counts no such thing
};

const DropReasonInfo& Describe(DropReason reason);

// The 32 lines of /proc/net/xfrm_stat in the order of Linux 6.18.
std::span<const std::string_view> XfrmStatNames();

// Counters of one writer thread; any thread may read.
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
