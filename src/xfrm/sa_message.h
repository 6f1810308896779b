// SA messages ⇄ SaSpec, SaId, SaView. Decoders need checked Requests. Their errors have the
// kernel's error number and text.
#pragma once

#include <cstdint>
#include <optional>

#include "base/result.h"
#include "netlink/attribute.h"
#include "netlink/buffer.h"
#include "sa/sa_spec.h"
#include "sa/sa_view.h"
#include "xfrm/request.h"

namespace cygnet::xfrm {

// The addressee of an answer or event.
struct ReplyTo {
  uint32_t seq = 0;
  uint32_t pid = 0;
};

enum class DumpPart : uint8_t { kNo, kYes };  // part of a dump: flagged NLM_F_MULTI

// NEWSA, UPDSA.
Result<SaSpec> DecodeSa(const Request& request);

// NEWSA as EncodeSa writes it for a state that has no keys yet.
Result<SaSpec> DecodeLarvalSa(const Request& request);

// DELSA, GETSA.
Result<SaId> DecodeSaId(const Request& request);

// ALLOCSPI: `spec` describes the SA of the SPI; min ≤ max.
struct AllocSpi {
  SaSpec spec;
  uint32_t min = 0;
  uint32_t max = 0;
};
Result<AllocSpi> DecodeAllocSpi(const Request& request);

// EXPIRE as a request.
struct ExpireSa {
  SaId id;
  bool hard = false;
};
ExpireSa DecodeExpire(const Request& request);

// XFRMA_REPLAY_VAL or XFRMA_REPLAY_ESN_VAL as received; `legacy_window` belongs to the former.
// REQUIRES: the length of the extended form was checked.
ReplayState DecodeReplay(const netlink::AttributeTable& attributes, uint32_t legacy_window);

// FLUSHSA: the protocol, 0 or 255 for all.
uint8_t DecodeFlushSa(const Request& request);

// The filter of a GETSA dump.
struct SaDumpFilter {
  uint8_t proto = 0;  // 0 or 255: any
  IpFamily family = IpFamily::kUnspec;
  IpAddress saddr;
  IpAddress daddr;
  uint8_t saddr_prefix = 0;
  uint8_t daddr_prefix = 0;
  bool Matches(const SaSpec& spec) const;
};
Result<SaDumpFilter> DecodeSaDumpFilter(const netlink::AttributeTable& attributes);

// NEWSA as an answer. Contains the keys: clients send them back when they move an SA. `behind`:
// messages that come before it in the same datagram.
netlink::Buffer EncodeSa(const SaView& sa, ReplyTo to, DumpPart part, netlink::Buffer behind = {});

}  // namespace cygnet::xfrm
