// Any message is decoded or refused. A decoded one can be sent back as clients do (charon copies
// whole replies into new requests) and means the same again.

#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "netlink/message.h"
#include "xfrm/aevent_message.h"
#include "xfrm/event_message.h"
#include "xfrm/info_message.h"
#include "xfrm/migrate_message.h"
#include "xfrm/migrate_state_message.h"
#include "xfrm/policy_message.h"
#include "xfrm/request.h"
#include "xfrm/sa_message.h"

namespace {

using namespace cygnet;  // NOLINT: a test program

xfrm::Request Reparse(const netlink::Buffer& message) {
  std::span<const uint8_t> rest(message);
  const auto view = netlink::NextMessage(rest);
  CYGNET_CHECK(view.has_value() && rest.empty());
  netlink::ExtendedAck ack;
  const auto request = xfrm::ParseRequest(*view, ack);
  CYGNET_CHECK(request.has_value() && ack.message.empty());
  return *request;
}

SaView ViewOf(const SaSpec& spec) {
  SaView view;
  view.spec = &spec;
  view.replay = spec.replay;
  view.offload = spec.offload;
  return view;
}

void TrySa(const xfrm::Request& request) {
  const auto spec = xfrm::DecodeSa(request);
  if (!spec) {
    CYGNET_CHECK(!spec.error().message.empty());
    return;
  }
  const auto message = xfrm::EncodeSa(ViewOf(*spec), {}, xfrm::DumpPart::kNo);
  const auto again = xfrm::DecodeSa(Reparse(message));
  CYGNET_CHECK(again.has_value());
  CYGNET_CHECK(xfrm::EncodeSa(ViewOf(*again), {}, xfrm::DumpPart::kNo) == message);
  (void)xfrm::EncodeSaDeleted(ViewOf(*spec), {});
  (void)xfrm::EncodeSaExpired(ViewOf(*spec), true);
}

void TryPolicy(const xfrm::Request& request) {
  const auto spec = xfrm::DecodePolicy(request);
  if (!spec) {
    CYGNET_CHECK(!spec.error().message.empty());
    return;
  }
  const auto message = xfrm::EncodePolicy(*spec, {}, {}, xfrm::DumpPart::kNo);
  const auto again = xfrm::DecodePolicy(Reparse(message));
  CYGNET_CHECK(again.has_value());
  CYGNET_CHECK(xfrm::EncodePolicy(*again, {}, {}, xfrm::DumpPart::kNo) == message);
}

void TryAllocSpi(const xfrm::Request& request) {
  const auto wanted = xfrm::DecodeAllocSpi(request);
  if (!wanted) return;
  CYGNET_CHECK(wanted->min <= wanted->max);
  (void)xfrm::EncodeSa(ViewOf(wanted->spec), {}, xfrm::DumpPart::kNo);
}

void TryMigrateState(const xfrm::Request& request) {
  const auto migration = xfrm::DecodeMigrateState(request);
  if (!migration) {
    CYGNET_CHECK(!migration.error().message.empty());
    return;
  }
  const SaSpec nowhere;
  SaView view;
  view.spec = &nowhere;
  const auto event = xfrm::EncodeSaMigrated(*migration, view, {});
  CYGNET_CHECK(xfrm::DecodeMigrateState(Reparse(event)).has_value());
}

// Only sanitizers check these results.
void TryRest(const xfrm::Request& request) {
  using xfrm::RequestType;
  switch (request.type) {
    case RequestType::kDelSa:
    case RequestType::kGetSa:
      (void)xfrm::DecodeSaId(request).has_value();
      break;
    case RequestType::kExpire:
      (void)xfrm::DecodeExpire(request);
      break;
    case RequestType::kNewAe:
      (void)xfrm::DecodeNewAevent(request).has_value();
      break;
    case RequestType::kGetAe:
      (void)xfrm::DecodeGetAevent(request).has_value();
      break;
    case RequestType::kFlushSa:
      (void)xfrm::DecodeFlushSa(request);
      break;
    case RequestType::kDelPolicy:
    case RequestType::kGetPolicy:
      (void)xfrm::DecodePolicyId(request).has_value();
      break;
    case RequestType::kPolExpire:
      (void)xfrm::DecodePolicyExpire(request).has_value();
      break;
    case RequestType::kFlushPolicy:
      (void)xfrm::DecodeFlushPolicy(request).has_value();
      break;
    case RequestType::kNewSpdInfo:
      (void)xfrm::DecodeHashThresholds(request, {}).has_value();
      break;
    case RequestType::kGetSadInfo:
    case RequestType::kGetSpdInfo:
      (void)xfrm::DecodeInfoFlags(request);
      break;
    case RequestType::kSetDefault:
      (void)xfrm::DecodeDefaults(request);
      break;
    case RequestType::kMigrate:
      (void)xfrm::DecodeMigrate(request).has_value();
      break;
    case RequestType::kAcquire:
      (void)xfrm::DecodeAcquire(request).has_value();
      break;
    default:
      break;
  }
}

void TryDump(const netlink::MessageView& message) {
  netlink::ExtendedAck ack;
  const auto attributes = xfrm::ParseSaDump(message, ack);
  if (!attributes) return;
  const auto filter = xfrm::DecodeSaDumpFilter(*attributes);
  if (filter) (void)filter->Matches(SaSpec{});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  std::span<const uint8_t> rest(data, size);
  while (const auto message = netlink::NextMessage(rest)) {
    if (!xfrm::IsKnownType(message->header.nlmsg_type)) continue;
    if (xfrm::IsDump(*message)) {
      TryDump(*message);
      continue;
    }
    netlink::ExtendedAck ack;
    const auto request = xfrm::ParseRequest(*message, ack);
    if (!request) continue;
    switch (request->type) {
      case xfrm::RequestType::kNewSa:
      case xfrm::RequestType::kUpdSa:
        TrySa(*request);
        break;
      case xfrm::RequestType::kNewPolicy:
      case xfrm::RequestType::kUpdPolicy:
        TryPolicy(*request);
        break;
      case xfrm::RequestType::kAllocSpi:
        TryAllocSpi(*request);
        break;
      case xfrm::RequestType::kMigrateState:
        TryMigrateState(*request);
        break;
      default:
        TryRest(*request);
    }
  }
  return 0;
}
