#include "daemon/store/restart_replay.h"

#include <utility>

#include "xfrm/info_message.h"
#include "xfrm/message_type.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_message.h"

namespace cygnet {

LostSaKey KeyOf(const SaId& id) { return {id.daddr.bytes, id.spi.value, id.proto, id.family}; }

void ForgetProtocol(uint8_t proto, LostSas* lost) {
  std::erase_if(*lost, [&](const auto& entry) {
    return proto == 0 || proto == 255 || entry.second.id.proto == proto;
  });
}

Status RestartReplay::Take(uint32_t type, std::span<const uint8_t> payload) {
  names_.clear();
  if (type == restart_record::kMessage) return TakeMessage(payload);
  if (type != restart_record::kNamed) return MakeError(Errc::kInvalid, "its type is unknown");
  auto named = ReadNamed(payload);
  if (!named) return named.error();
  names_ = std::move(named->names);
  return TakeMessage(named->message);
}

Status RestartReplay::TakeMessage(std::span<const uint8_t> bytes) {
  const auto message = netlink::NextMessage(bytes);
  if (!message || !bytes.empty()) return MakeError(Errc::kInvalid);
  if (!xfrm::IsKnownType(message->header.nlmsg_type)) return MakeError(Errc::kInvalid);
  netlink::ExtendedAck ack;
  const auto request = xfrm::ParseRequest(*message, ack);
  if (!request) return request.error();
  return Execute(*request, *message);
}

Status RestartReplay::Execute(const xfrm::Request& request, const netlink::MessageView& message) {
  switch (request.type) {
    case xfrm::RequestType::kUpdPolicy:
      return TakePolicy(request);
    case xfrm::RequestType::kDelPolicy:
      return DropPolicy(request);
    case xfrm::RequestType::kFlushPolicy:
      return FlushPolicies(request);
    case xfrm::RequestType::kGetDefault:
      return TakeDefaults(request);
    case xfrm::RequestType::kExpire:
      return TakeSa(request, message);
    case xfrm::RequestType::kDelSa:
      return DropSa(request);
    case xfrm::RequestType::kFlushSa:
      ForgetProtocol(xfrm::DecodeFlushSa(request), &lost_);
      return {};
    default:
      return MakeError(Errc::kInvalid);
  }
}

Status RestartReplay::TakePolicy(const xfrm::Request& request) {
  auto policy = xfrm::DecodePolicy(request);
  if (!policy) return policy.error();
  const RestartInterfaces::Written written{.spec = *std::move(policy), .names = names_};
  auto now = interfaces_->Renumber(written);
  const uint64_t add_time = xfrm::DecodePolicyAddTime(request);
  if (written.spec.selector.ifindex == 0) return Restore(*std::move(now), add_time);
  if (now && Restore(*std::move(now), add_time)) return {};
  return control_->RestorePolicy(interfaces_->StandInFor(written), add_time);
}

Status RestartReplay::Restore(PolicySpec policy, uint64_t add_time) {
  if (!policy.offload.has_value()) return control_->RestorePolicy(std::move(policy), add_time);
  if (control_->RestorePolicy(policy, add_time)) return {};
  // The device may have changed since. Without its offload the policy still blocks what has no SA.
  policy.offload = std::nullopt;
  return control_->RestorePolicy(std::move(policy), add_time);
}

Status RestartReplay::DropPolicy(const xfrm::Request& request) {
  const auto id = xfrm::DecodePolicyId(request);
  if (!id) return id.error();
  return control_->DeletePolicy(interfaces_->Find(*id, names_), {});
}

Status RestartReplay::FlushPolicies(const xfrm::Request& request) {
  const auto type = xfrm::DecodeFlushPolicy(request);
  if (!type) return type.error();
  const auto any = control_->FlushPolicies(*type, {});
  return any ? Status{} : any.error();
}

Status RestartReplay::TakeDefaults(const xfrm::Request& request) {
  has_defaults_ = true;
  return control_->SetDefaults(xfrm::DecodeDefaults(request), {});
}

Status RestartReplay::TakeSa(const xfrm::Request& request, const netlink::MessageView& message) {
  const SaId id = xfrm::DecodeExpire(request).id;
  lost_[KeyOf(id)] = {.id = id, .expiry = {message.bytes.begin(), message.bytes.end()}};
  return {};
}

Status RestartReplay::DropSa(const xfrm::Request& request) {
  const auto id = xfrm::DecodeSaId(request);
  if (!id) return id.error();
  lost_.erase(KeyOf(*id));
  return {};
}

}  // namespace cygnet
