#include "xfrm/request.h"

#include <algorithm>
#include <array>

#include "xfrm/protocol.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeKind;
using netlink::AttributeRule;

static_assert(static_cast<int>(RequestType::kNewSa) == XFRM_MSG_NEWSA);
static_assert(static_cast<int>(RequestType::kAllocSpi) == XFRM_MSG_ALLOCSPI);
static_assert(static_cast<int>(RequestType::kFlushPolicy) == XFRM_MSG_FLUSHPOLICY);
static_assert(static_cast<int>(RequestType::kMapping) == XFRM_MSG_MAPPING);
static_assert(static_cast<int>(RequestType::kGetDefault) == XFRM_MSG_GETDEFAULT);
static_assert(kLastRequestType == kMsgMigrateState && kFirstRequestType == XFRM_MSG_BASE);
static_assert(static_cast<int>(EventGroup::kMapping) == XFRMNLGRP_MAPPING);

constexpr AttributeRule AtLeast(std::size_t length) {
  return {.min_length = static_cast<uint16_t>(length)};
}
constexpr AttributeRule Strict(AttributeKind kind) { return {.kind = kind, .strict = true}; }

// xfrma_policy of the kernel. Types from XFRMA_SA_DIR on are strict.
constexpr auto kXfrmRules = [] {
  std::array<AttributeRule, kAttributeTypes> r{};
  constexpr AttributeRule kAnyU32{.kind = AttributeKind::kU32};
  r[XFRMA_SA] = AtLeast(sizeof(xfrm_usersa_info));
  r[XFRMA_POLICY] = AtLeast(sizeof(xfrm_userpolicy_info));
  r[XFRMA_LASTUSED] = {.kind = AttributeKind::kU64};
  r[XFRMA_ALG_AUTH_TRUNC] = AtLeast(sizeof(xfrm_algo_auth));
  r[XFRMA_ALG_AEAD] = AtLeast(sizeof(xfrm_algo_aead));
  r[XFRMA_ALG_AUTH] = AtLeast(sizeof(xfrm_algo));
  r[XFRMA_ALG_CRYPT] = AtLeast(sizeof(xfrm_algo));
  r[XFRMA_ALG_COMP] = AtLeast(sizeof(xfrm_algo));
  r[XFRMA_ENCAP] = AtLeast(sizeof(xfrm_encap_tmpl));
  r[XFRMA_TMPL] = AtLeast(sizeof(xfrm_user_tmpl));
  r[XFRMA_SEC_CTX] = AtLeast(sizeof(xfrm_user_sec_ctx));
  r[XFRMA_LTIME_VAL] = AtLeast(sizeof(xfrm_lifetime_cur));
  r[XFRMA_REPLAY_VAL] = AtLeast(sizeof(xfrm_replay_state));
  r[XFRMA_REPLAY_THRESH] = kAnyU32;
  r[XFRMA_ETIMER_THRESH] = kAnyU32;
  r[XFRMA_SRCADDR] = AtLeast(sizeof(xfrm_address_t));
  r[XFRMA_COADDR] = AtLeast(sizeof(xfrm_address_t));
  r[XFRMA_POLICY_TYPE] = AtLeast(sizeof(xfrm_userpolicy_type));
  r[XFRMA_MIGRATE] = AtLeast(sizeof(xfrm_user_migrate));
  r[XFRMA_KMADDRESS] = AtLeast(sizeof(xfrm_user_kmaddress));
  r[XFRMA_MARK] = AtLeast(sizeof(xfrm_mark));
  r[XFRMA_TFCPAD] = kAnyU32;
  r[XFRMA_REPLAY_ESN_VAL] = AtLeast(sizeof(xfrm_replay_state_esn));
  r[XFRMA_SA_EXTRA_FLAGS] = kAnyU32;
  r[XFRMA_PROTO] = {.kind = AttributeKind::kU8};
  r[XFRMA_ADDRESS_FILTER] = AtLeast(sizeof(xfrm_address_filter));
  r[XFRMA_OFFLOAD_DEV] = AtLeast(sizeof(xfrm_user_offload));
  r[XFRMA_SET_MARK] = kAnyU32;
  r[XFRMA_SET_MARK_MASK] = kAnyU32;
  r[XFRMA_IF_ID] = kAnyU32;
  r[XFRMA_MTIMER_THRESH] = kAnyU32;
  r[kAttrSaDir] = {.kind = AttributeKind::kU8, .strict = true, .min_value = 1, .max_value = 2};
  r[kAttrNatKeepalive] = Strict(AttributeKind::kU32);
  r[kAttrSaPcpu] = Strict(AttributeKind::kU32);
  r[kAttrIptfsDropTime] = Strict(AttributeKind::kU32);
  r[kAttrIptfsReorderWindow] = Strict(AttributeKind::kU16);
  r[kAttrIptfsDontFragment] = Strict(AttributeKind::kFlag);
  r[kAttrIptfsInitDelay] = Strict(AttributeKind::kU32);
  r[kAttrIptfsMaxQueueSize] = Strict(AttributeKind::kU32);
  r[kAttrIptfsPacketSize] = Strict(AttributeKind::kU32);
  return r;
}();
static_assert(kAttributeTypes <= netlink::AttributeTable::kTypes);

// NEWSPDINFO has its own attribute numbers (xfrma_spd_policy).
constexpr auto kSpdInfoRules = [] {
  std::array<AttributeRule, XFRMA_SPD_MAX + 1> r{};
  r[XFRMA_SPD_IPV4_HTHRESH] = AtLeast(sizeof(xfrmu_spdhthresh));
  r[XFRMA_SPD_IPV6_HTHRESH] = AtLeast(sizeof(xfrmu_spdhthresh));
  return r;
}();

// Size of the fixed part by type (xfrm_msg_min).
std::size_t FixedSize(RequestType type) {
  switch (type) {
    case RequestType::kNewSa:
    case RequestType::kUpdSa:
      return sizeof(xfrm_usersa_info);
    case RequestType::kDelSa:
    case RequestType::kGetSa:
      return sizeof(xfrm_usersa_id);
    case RequestType::kNewPolicy:
    case RequestType::kUpdPolicy:
      return sizeof(xfrm_userpolicy_info);
    case RequestType::kDelPolicy:
    case RequestType::kGetPolicy:
    case RequestType::kMigrate:
      return sizeof(xfrm_userpolicy_id);
    case RequestType::kAllocSpi:
      return sizeof(xfrm_userspi_info);
    case RequestType::kAcquire:
      return sizeof(xfrm_user_acquire);
    case RequestType::kExpire:
      return sizeof(xfrm_user_expire);
    case RequestType::kPolExpire:
      return sizeof(xfrm_user_polexpire);
    case RequestType::kFlushSa:
      return sizeof(xfrm_usersa_flush);
    case RequestType::kNewAe:
    case RequestType::kGetAe:
      return sizeof(xfrm_aevent_id);
    case RequestType::kReport:
      return sizeof(xfrm_user_report);
    case RequestType::kMapping:
      return sizeof(xfrm_user_mapping);
    case RequestType::kGetSadInfo:
    case RequestType::kNewSpdInfo:
    case RequestType::kGetSpdInfo:
      return sizeof(uint32_t);
    case RequestType::kSetDefault:
    case RequestType::kGetDefault:
      return sizeof(xfrm_userpolicy_default);
    case RequestType::kMigrateState:
      return sizeof(MigrateState);
    case RequestType::kFlushPolicy:
    case RequestType::kNewSadInfo:
      break;
  }
  return 0;
}

bool MayHaveDirection(RequestType type) {
  return type == RequestType::kNewSa || type == RequestType::kUpdSa ||
         type == RequestType::kAllocSpi;
}

// The attributes that MIGRATE_STATE takes. Its others are errors, unlike those of older messages.
bool MayMigrate(std::size_t type) {
  constexpr uint16_t kTaken[] = {XFRMA_MARK,       XFRMA_ENCAP,         XFRMA_OFFLOAD_DEV,
                                 XFRMA_SET_MARK,   XFRMA_SET_MARK_MASK, XFRMA_MTIMER_THRESH,
                                 kAttrNatKeepalive};
  return std::find(std::begin(kTaken), std::end(kTaken), type) != std::end(kTaken);
}

Status CheckMigrateAttributes(const Request& request) {
  for (std::size_t type = 0; type < kAttributeTypes; ++type) {
    if (!request.attributes.Has(type) || MayMigrate(type)) continue;
    const uint8_t* const start =
        request.message.payload().data() + netlink::Align(sizeof(MigrateState));
    const auto payload = request.attributes.Payload(type);
    Error error = MakeError(Errc::kInvalid, "Unsupported attribute in XFRM_MSG_MIGRATE_STATE");
    error.attr_offset = static_cast<uint32_t>(
        netlink::kHeaderSize + netlink::Align(sizeof(MigrateState)) +
        static_cast<std::size_t>(payload.data() - start) - netlink::kAttributeHeaderSize);
    return error;
  }
  return {};
}

Status CheckConfinedAttributes(const Request& request) {
  if (request.attributes.Has(kAttrSaDir) && !MayHaveDirection(request.type)) {
    return MakeError(Errc::kInvalid, "Invalid attribute SA_DIR");
  }
  if (request.attributes.Has(kAttrSaPcpu) && !MayHaveDirection(request.type) &&
      request.type != RequestType::kAcquire) {
    return MakeError(Errc::kInvalid, "Invalid attribute SA_PCPU");
  }
  if (request.type == RequestType::kMigrateState) return CheckMigrateAttributes(request);
  return {};
}

}  // namespace

bool IsKnownType(uint16_t nlmsg_type) {
  return nlmsg_type >= kFirstRequestType && nlmsg_type <= kLastRequestType;
}

bool IsDump(const netlink::MessageView& message) {
  const auto type = static_cast<RequestType>(message.header.nlmsg_type);
  // One of the bits is sufficient, as in the kernel.
  return (type == RequestType::kGetSa || type == RequestType::kGetPolicy) &&
         (message.header.nlmsg_flags & NLM_F_DUMP) != 0;
}

Result<Request> ParseRequest(const netlink::MessageView& message, netlink::ExtendedAck& ack) {
  Request request;
  request.type = static_cast<RequestType>(message.header.nlmsg_type);
  request.message = message;
  const std::size_t fixed = FixedSize(request.type);
  if (message.payload().size() < fixed) return MakeError(Errc::kInvalid, "Invalid header length");
  const std::size_t start = netlink::Align(fixed);
  const auto attributes = message.payload().subspan(std::min(start, message.payload().size()));
  const bool spd_info = request.type == RequestType::kNewSpdInfo;
  const std::span<const AttributeRule> rules =
      spd_info ? std::span<const AttributeRule>(kSpdInfoRules) : kXfrmRules;
  auto table = ParseAttributes(attributes, netlink::kHeaderSize + start, rules, ack);
  if (!table) return table.error();
  request.attributes = *table;
  if (!spd_info) CYGNET_RETURN_IF_ERROR(CheckConfinedAttributes(request));
  return request;
}

Result<Request> ParseStored(std::span<const uint8_t> bytes, RequestType type) {
  const auto view = netlink::NextMessage(bytes);
  if (!view || !bytes.empty()) return MakeError(Errc::kInvalid, "it is not one message");
  if (view->header.nlmsg_type != static_cast<uint16_t>(type)) {
    return MakeError(Errc::kInvalid, "it is a message of another type");
  }
  netlink::ExtendedAck ack;
  return ParseRequest(*view, ack);
}

Result<netlink::AttributeTable> ParseSaDump(const netlink::MessageView& message,
                                            netlink::ExtendedAck& ack) {
  return netlink::ParseAttributes(message.payload(), netlink::kHeaderSize, kXfrmRules, ack);
}

}  // namespace cygnet::xfrm
