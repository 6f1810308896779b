// SaSpec: an SA as a client requested it. A plain value without state; never prints keys. Fields
// have the meaning of struct xfrm_usersa_info and the XFRMA_* attributes, in host byte order.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/boxed.h"
#include "base/defaulted.h"
#include "base/ids.h"
#include "base/key_material.h"
#include "crypto/algorithm.h"
#include "net/address.h"
#include "net/offload_request.h"
#include "net/selector.h"
#include "sa/replay_bits.h"
#include "sa/sa_selector.h"

namespace cygnet {

enum class SaMode : uint8_t { kTransport = 0, kTunnel = 1, kRouteOptimization = 2, kBeet = 4 };
enum class SaDirection : uint8_t { kUnspec = 0, kIn = 1, kOut = 2 };  // XFRMA_SA_DIR

// usersa_info.flags
inline constexpr uint8_t kSaFlagNoEcn = 1;
inline constexpr uint8_t kSaFlagDecapDscp = 2;
inline constexpr uint8_t kSaFlagNoPmtuDisc = 4;
inline constexpr uint8_t kSaFlagWildRecv = 8;
inline constexpr uint8_t kSaFlagIcmp = 16;
// A selector without a family stays so and admits flows of both (Selector::Admits).
inline constexpr uint8_t kSaFlagAfUnspec = 32;
// Stored and shown, but without effect: it aligns the ICV of AH over IPv6; ESP always pads to 4.
inline constexpr uint8_t kSaFlagAlign4 = 64;
inline constexpr uint8_t kSaFlagEsn = 128;
// XFRMA_SA_EXTRA_FLAGS
inline constexpr uint32_t kSaExtraDontEncapDscp = 1;
inline constexpr uint32_t kSaExtraOseqMayWrap = 2;

inline constexpr uint64_t kUnlimited = ~uint64_t{0};  // XFRM_INF

// Bytes and packets: kUnlimited = no limit, 0 = expires at once. Seconds: 0 = no limit.
struct LifetimeLimits {
  uint64_t soft_bytes = kUnlimited;
  uint64_t hard_bytes = kUnlimited;
  uint64_t soft_packets = kUnlimited;
  uint64_t hard_packets = kUnlimited;
  uint64_t soft_add_seconds = 0;
  uint64_t hard_add_seconds = 0;
  uint64_t soft_use_seconds = 0;
  uint64_t hard_use_seconds = 0;
  bool operator==(const LifetimeLimits&) const = default;
};

// Current usage. Times are wall-clock seconds, 0 = not yet.
struct LifetimeUsage {
  uint64_t bytes = 0;
  uint64_t packets = 0;
  uint64_t add_time = 0;
  uint64_t use_time = 0;
  bool operator==(const LifetimeUsage&) const = default;
};

// UDP encapsulation (RFC 3948); ports in host order.
struct UdpEncap {
  static constexpr uint16_t kEspInUdp = 2;  // UDP_ENCAP_ESPINUDP, the only supported type
  uint16_t type = kEspInUdp;
  uint16_t sport = 0;  // inbound, 0: the peer sends from any port (per-CPU SAs of strongSwan)
  uint16_t dport = 0;
  IpAddress original_address;  // carried, not used
  // The port of a packet is one that the inbound SA's peer sends from.
  bool AdmitsSource(uint16_t port) const { return sport == 0 || sport == port; }
  bool operator==(const UdpEncap&) const = default;
};

// Replay counters of XFRMA_REPLAY_VAL / XFRMA_REPLAY_ESN_VAL. `bitmap` has the kernel's layout: one
// word in the legacy form (bit 0 = seq itself), bmp_len words in the extended form (the bit of
// sequence number s has index (s-1) mod window).
struct ReplayState {
  uint64_t oseq = 0;  // last sent, including its high word
  uint64_t seq = 0;   // highest received, including its high word
  uint32_t window = 0;
  bool extended_form = false;  // XFRMA_REPLAY_ESN_VAL rather than XFRMA_REPLAY_VAL
  ReplayBits bitmap;
  bool operator==(const ReplayState&) const = default;
};

struct SaAlgorithm {
  const AlgorithmDescriptor* descriptor = nullptr;  // nullptr: no algorithm of this kind
  KeyMaterial key;                                  // including the salt, if any, at the end
  uint16_t icv_bits = 0;
  bool explicit_truncation = false;  // auth: set by XFRMA_ALG_AUTH_TRUNC

  SaAlgorithm Clone() const;
};

// Cipher and authenticator of an SA without an AEAD. It takes eight bytes if there are none.
class SaPair {
 public:
  struct Both {
    SaAlgorithm cipher;
    SaAlgorithm auth;
  };
  bool empty() const { return both_ == nullptr; }
  // Without them: two algorithms without descriptors.
  const Both* operator->() const {
    static const Both none;
    return empty() ? &none : both_.get();
  }
  // For changes.
  Both* Change() {
    if (empty()) both_ = std::make_unique<Both>();
    return both_.get();
  }
  SaPair Clone() const;

 private:
  std::unique_ptr<Both> both_;
};

// What few SAs have.
struct SaRare {
  uint32_t extra_flags = 0;
  // XFRMA_SET_MARK. Outbound: the mark by which the outer packets are routed. Inbound: of the
  // opened packets.
  uint32_t set_mark_value = 0;
  uint32_t set_mark_mask = 0;
  uint32_t tfc_pad = 0;
  std::optional<uint32_t> cpu;  // XFRMA_SA_PCPU: outbound, only packets of this CPU (RFC 9611)
  uint32_t group = 0;           // of nodes that share its numbers, by the number store; 0: none
  std::optional<uint32_t> replay_max_diff;  // XFRMA_REPLAY_THRESH
  std::optional<uint32_t> replay_max_age;   // XFRMA_ETIMER_THRESH, 100 ms units
  std::optional<uint32_t> mapping_max_age;  // XFRMA_MTIMER_THRESH, seconds
  std::optional<uint32_t> nat_keepalive;    // seconds
  Boxed<LifetimeUsage> initial_usage;       // XFRMA_LTIME_VAL
  bool operator==(const SaRare&) const = default;
};

// What look-ups compare comes first: to if_id in one cache line, behind two pointers (Sa).
struct SaSpec {
  // Identity: daddr, spi, proto, family.
  IpAddress saddr;
  IpAddress daddr;
  Spi spi;
  IpFamily family = IpFamily::kUnspec;  // of the outer addresses
  uint8_t proto = 0;                    // 50 = ESP

  SaMode mode = SaMode::kTransport;
  Reqid reqid;
  // Outbound: policies with the same if_id use it, no others (kernel: xfrm_state_find). Inbound:
  // its packets come in by the tunnel interface with this id. 0: no tunnel's.
  uint32_t if_id = 0;
  // XFRMA_MARK. Outbound: for policies whose mark has these bits under the mask. Part of the
  // identity.
  uint32_t mark_value = 0;
  uint32_t mark_mask = 0;
  uint8_t flags = 0;
  SaDirection direction = SaDirection::kUnspec;
  uint16_t replay_above = 0;  // SetReplayAtLeast
  uint32_t acquire_seq = 0;   // usersa_info.seq: the number of the ACQUIRE that the SA answers
  SaSelector selector;
  ReplayState replay;  // window and starting counters
  SaAlgorithm aead;
  SaPair pair;
  Defaulted<LifetimeLimits> limits;
  Boxed<UdpEncap> encap;
  Boxed<OffloadRequest> offload;
  Defaulted<SaRare> rare;

  // Deep copy including keys. Explicit because copies of keys must be rare.
  SaSpec Clone() const;

  // Set by the operator: windows smaller than `window`, at most 65,536, are widened to it. 0: none.
  void SetReplayAtLeast(uint32_t window) {
    replay_above = static_cast<uint16_t>(std::max(window, 1u) - 1);  // no window is smaller than 1
  }
  // 1: no window is widened.
  uint32_t replay_at_least() const { return replay_above + 1u; }
  // The replay window in effect, here and in a device. 0 checks nothing.
  uint32_t replay_window() const {
    return replay.window == 0 ? 0 : std::max(replay.window, replay_at_least());
  }
  // The mark of a policy, or of a client's request, is for this SA (kernel: xfrm_state_lookup).
  bool HasMark(uint32_t mark) const { return (mark & mark_mask) == mark_value; }
  bool esn() const { return (flags & kSaFlagEsn) != 0; }
  // The algorithm that encrypts: the AEAD, otherwise the cipher. Its descriptor is nullptr in a
  // larval state.
  const SaAlgorithm& encryption() const { return aead.descriptor != nullptr ? aead : pair->cipher; }
  // The algorithm that makes the ICV; its descriptor is nullptr if there is none.
  const SaAlgorithm& integrity() const { return aead.descriptor != nullptr ? aead : pair->auth; }
};

// Identifies an SA to a client: the key of GETSA and DELSA. An SA without a mark has every mark.
struct SaId {
  IpAddress daddr;
  Spi spi;
  uint8_t proto = 0;
  IpFamily family = IpFamily::kUnspec;
  uint32_t mark = 0;  // value & mask
  bool operator==(const SaId&) const = default;
};

// "src 192.0.2.1 dst 192.0.2.2 spi 0x00001000 proto esp", for logs and reasons.
std::string Describe(const SaSpec& spec);

}  // namespace cygnet
