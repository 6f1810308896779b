// SA messages ⇄ SaSpec, SaId, SaView. Decoders take checked Requests; what they refuse carries the
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

// Where an answer or event goes back to.
struct ReplyTo {
  uint32_t seq = 0;
  uint32_t pid = 0;
};

enum class DumpPart : uint8_t { kNo, kYes };  // part of a dump: flagged NLM_F_MULTI

// NEWSA, UPDSA.
Result<SaSpec> DecodeSa(const Request& request);

// DELSA, GETSA.
Result<SaId> DecodeSaId(const Request& request);

// ALLOCSPI: the spec holds what an SPI is wanted for; min ≤ max.
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

// XFRMA_REPLAY_VAL or XFRMA_REPLAY_ESN_VAL as they came; `legacy_window` goes with the former.
// REQUIRES: the extended form was checked for its length.
ReplayState DecodeReplay(const netlink::AttributeTable& attributes, uint32_t legacy_window);

// FLUSHSA: the protocol, 0 or 255 for all.
uint8_t DecodeFlushSa(const Request& request);

// What a GETSA dump is to show.
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

// NEWSA as an answer. Holds the keys: clients copy them back when they move an SA.
netlink::Buffer EncodeSa(const SaView& sa, ReplyTo to, DumpPart part);

}  // namespace cygnet::xfrm
