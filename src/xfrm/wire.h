// Converts between structures of the protocol and Cygnet's types: addresses, selectors, lifetimes,
// marks. Used inside this folder only.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "net/address.h"
#include "net/selector.h"
#include "netlink/attribute.h"
#include "netlink/builder.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"
#include "xfrm/protocol.h"

namespace cygnet::xfrm {

// A structure with padding that will be sent. The padding is sent too and must be zero. It is
// filled in place, because a copy may not preserve padding.
template <typename T>
class Zeroed {
 public:
  T* operator->() { return reinterpret_cast<T*>(bytes_); }
  T& operator*() { return *reinterpret_cast<T*>(bytes_); }
  std::span<const uint8_t> bytes() const { return bytes_; }

 private:
  alignas(T) uint8_t bytes_[sizeof(T)] = {};
};

// Bytes beyond an IPv4 address are dropped, so that addresses compare as values.
IpAddress FromWire(const xfrm_address_t& address, IpFamily family);
xfrm_address_t ToWire(const IpAddress& address);

Selector FromWire(const xfrm_selector& selector);
// REQUIRES: `wire` is zero.
void Fill(const Selector& selector, xfrm_selector& wire);

LifetimeLimits LimitsFromWire(const xfrm_lifetime_cfg& lft);
xfrm_lifetime_cfg ToWire(const LifetimeLimits& limits);
PolicyLimits PolicyLimitsFromWire(const xfrm_lifetime_cfg& lft);
xfrm_lifetime_cfg ToWire(const PolicyLimits& limits);

LifetimeUsage FromWire(const xfrm_lifetime_cur& cur);
xfrm_lifetime_cur ToWire(const LifetimeUsage& usage);

// XFRMA_ENCAP
std::optional<UdpEncap> DecodeEncap(const netlink::AttributeTable& attributes);
void PutEncap(netlink::MessageBuilder& builder, const UdpEncap& encap);

// A valid value of XFRMA_SA_PCPU.
bool IsPossibleCpu(uint32_t number);

// XFRMA_MARK, unmodified; zeros if absent.
struct Mark {
  uint32_t value = 0;
  uint32_t mask = 0;
};
Mark MarkOf(const netlink::AttributeTable& attributes);
// The mark that identifies an SA in a request: the bits of XFRMA_MARK under its mask.
uint32_t MarkKeyOf(const netlink::AttributeTable& attributes);
// XFRMA_MARK and XFRMA_IF_ID for replies: absent if zero.
void PutMark(netlink::MessageBuilder& builder, const Mark& mark);
void PutIfId(netlink::MessageBuilder& builder, uint32_t if_id);

// Checks that prefix lengths fit the family. The texts are the same for SAs and policies.
Status CheckPrefixes(const xfrm_selector& selector, IpFamily family);

// Checks the length of XFRMA_SEC_CTX if present. Contexts are then dropped, as in a kernel without
// a security module: nothing here could enforce them.
Status CheckSecurityContext(const netlink::AttributeTable& attributes);

bool IsIpsecProto(uint8_t proto);      // AH, ESP, IPCOMP
bool IsTransformProto(uint8_t proto);  // those, and the Mobile IPv6 headers

}  // namespace cygnet::xfrm
