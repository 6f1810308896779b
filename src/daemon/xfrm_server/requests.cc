#include "daemon/xfrm_server/requests.h"

#include <linux/netlink.h>

#include <utility>

#include "netlink/ack.h"
#include "xfrm/aevent_message.h"
#include "xfrm/link_message.h"
#include "xfrm/migrate_message.h"
#include "xfrm/migrate_state_message.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_message.h"
#include "xfrm/socket_policy_message.h"

namespace cygnet {

// One row per supported request. Types without a row (those that only the kernel sends) are EINVAL.
const XfrmRequests::Row XfrmRequests::kRows[] = {
    {xfrm::RequestType::kNewSa, &XfrmRequests::NewSa},
    {xfrm::RequestType::kUpdSa, &XfrmRequests::UpdateSa},
    {xfrm::RequestType::kDelSa, &XfrmRequests::DeleteSa},
    {xfrm::RequestType::kGetSa, &XfrmRequests::GetSa},
    {xfrm::RequestType::kAllocSpi, &XfrmRequests::AllocateSpi},
    {xfrm::RequestType::kExpire, &XfrmRequests::ExpireSa},
    {xfrm::RequestType::kFlushSa, &XfrmRequests::FlushSas},
    {xfrm::RequestType::kNewPolicy, &XfrmRequests::NewPolicy},
    {xfrm::RequestType::kUpdPolicy, &XfrmRequests::UpdatePolicy},
    {xfrm::RequestType::kDelPolicy, &XfrmRequests::DeletePolicy},
    {xfrm::RequestType::kGetPolicy, &XfrmRequests::GetPolicy},
    {xfrm::RequestType::kPolExpire, &XfrmRequests::ExpirePolicy},
    {xfrm::RequestType::kFlushPolicy, &XfrmRequests::FlushPolicies},
    {xfrm::RequestType::kGetSadInfo, &XfrmRequests::GetSadInfo},
    {xfrm::RequestType::kGetSpdInfo, &XfrmRequests::GetSpdInfo},
    {xfrm::RequestType::kNewSpdInfo, &XfrmRequests::NewSpdInfo},
    {xfrm::RequestType::kSetDefault, &XfrmRequests::SetDefaults},
    {xfrm::RequestType::kGetDefault, &XfrmRequests::GetDefaults},
    {xfrm::RequestType::kNewAe, &XfrmRequests::NewAevent},
    {xfrm::RequestType::kGetAe, &XfrmRequests::GetAevent},
    {xfrm::RequestType::kMigrate, &XfrmRequests::Migrate},
    {xfrm::RequestType::kMigrateState, &XfrmRequests::MigrateSa},
    {xfrm::RequestType::kAcquire, &XfrmRequests::Acquire},
};

XfrmRequests::Handler XfrmRequests::Find(xfrm::RequestType type) {
  for (const Row& row : kRows) {
    if (row.type == type) return row.handler;
  }
  return nullptr;
}

// Notifications identify the requester by the pid in its request.
RequestOrigin XfrmRequests::Call::origin() const {
  return {.seq = request.message.header.nlmsg_seq, .pid = request.message.header.nlmsg_pid};
}

// Answers identify the requester by its socket's port id.
xfrm::ReplyTo XfrmRequests::Call::reply_to() const {
  return {.seq = request.message.header.nlmsg_seq, .pid = client->port_id()};
}

// The rules of netlink_rcv_skb: control messages and those without NLM_F_REQUEST are not executed,
// only acknowledged if NLM_F_ACK is set. Errors are always answered.
void XfrmRequests::Execute(const netlink::MessageView& message, XfrmConnection* client) {
  netlink::ExtendedAck ack;
  int error_number = 0;
  bool wants_ack = message.HasFlags(NLM_F_ACK);
  if (message.HasFlags(NLM_F_REQUEST) && message.header.nlmsg_type >= NLMSG_MIN_TYPE) {
    const Result<Answer> result = Run(message, client, &ack);
    if (!result) {
      const Error& error = result.error();
      error_number = static_cast<int>(error.code);
      if (!error.message.empty()) ack.message = error.message;
      if (error.attr_offset) ack.attr_offset = error.attr_offset;
    } else if (*result == Answer::kNone) {
      wants_ack = false;
    }
  }
  if (error_number == 0 && !wants_ack) return;
  client->Send(
      netlink::BuildAck(message, error_number, ack, client->ack_options(), client->port_id()));
}

// The order of checks is that of xfrm_user_rcv_msg.
Result<XfrmRequests::Answer> XfrmRequests::Run(const netlink::MessageView& message,
                                               XfrmConnection* client, netlink::ExtendedAck* ack) {
  if (xfrm::IsSocketPolicy(message)) return ChangeSocketPolicy(message, *client);
  if (xfrm::IsLink(message)) return ChangeLink(message, *client);
  if (!xfrm::IsKnownType(message.header.nlmsg_type)) return MakeError(Errc::kInvalid);
  if (xfrm::IsDump(message)) return RunDump(message, client);
  const auto request = xfrm::ParseRequest(message, *ack);
  if (!request) return request.error();
  const Handler handler = Find(request->type);
  if (handler == nullptr) return MakeError(Errc::kInvalid);
  CYGNET_RETURN_IF_ERROR((this->*handler)({*request, client}));
  Notify(*request, client);
  return Answer::kAck;
}

void XfrmRequests::Notify(const XfrmConnection& client, const ClientRecord& record) const {
  if (observer_) observer_(record, client.peer());
}

// REQUIRES: the request succeeded. A refused request changed nothing.
void XfrmRequests::Notify(const xfrm::Request& request, XfrmConnection* client) const {
  if (!observer_) return;
  const auto record = RecordOf(request);
  if (!record || (record->act == ClientAct::kKeys && !client->FirstReadOfKeys())) return;
  Notify(*client, *record);
}

Result<XfrmRequests::Answer> XfrmRequests::ChangeSocketPolicy(const netlink::MessageView& message,
                                                              const XfrmConnection& client) {
  auto change = xfrm::DecodeSocketPolicy(message);
  if (!change) return change.error();
  const ClientRecord record = RecordOf(*change);
  CYGNET_RETURN_IF_ERROR(control_->ChangeSocketPolicy(*std::move(change)));
  Notify(client, record);
  return Answer::kAck;
}

Result<XfrmRequests::Answer> XfrmRequests::RunDump(const netlink::MessageView& message,
                                                   XfrmConnection* client) {
  if (client->dumping()) return MakeError(Errc::kBusy);
  if (static_cast<xfrm::RequestType>(message.header.nlmsg_type) == xfrm::RequestType::kGetSa) {
    DumpSas(message, client);
  } else {
    client->StartDump(MakePolicyDump(
        *control_, {{message.header.nlmsg_seq, client->port_id()}, client->ack_options()}));
  }
  return Answer::kNone;
}

// An invalid filter is reported in the dump's NLMSG_DONE.
void XfrmRequests::DumpSas(const netlink::MessageView& message, XfrmConnection* client) {
  const xfrm::ReplyTo to{message.header.nlmsg_seq, client->port_id()};
  const auto fail = [&](const Error& error, netlink::ExtendedAck ack) {
    if (!error.message.empty()) ack.message = error.message;
    if (error.attr_offset) ack.attr_offset = error.attr_offset;
    client->Send(netlink::BuildDone(to.seq, static_cast<int>(error.code), ack,
                                    client->ack_options(), to.pid));
  };
  netlink::ExtendedAck ack;
  const auto attributes = xfrm::ParseSaDump(message, ack);
  if (!attributes) return fail(attributes.error(), std::move(ack));
  const auto filter = xfrm::DecodeSaDumpFilter(*attributes);
  if (!filter) return fail(filter.error(), std::move(ack));
  Notify(*client, {ClientAct::kKeys, [] { return "state list, with all keys"; }});
  client->StartDump(MakeSaDump(control_, *filter, {to, client->ack_options()}, std::move(ack)));
}

Status XfrmRequests::NewSa(const Call& call) {
  auto spec = xfrm::DecodeSa(call.request);
  if (!spec) return spec.error();
  return control_->AddSa(std::move(*spec), call.origin());
}

Status XfrmRequests::UpdateSa(const Call& call) {
  auto spec = xfrm::DecodeSa(call.request);
  if (!spec) return spec.error();
  return control_->UpdateSa(std::move(*spec), call.origin());
}

Status XfrmRequests::DeleteSa(const Call& call) {
  const auto id = xfrm::DecodeSaId(call.request);
  if (!id) return id.error();
  return control_->DeleteSa(*id, call.origin());
}

Status XfrmRequests::GetSa(const Call& call) {
  const auto id = xfrm::DecodeSaId(call.request);
  if (!id) return id.error();
  const auto sa = control_->GetSa(*id);
  if (!sa) return sa.error();
  call.client->Send(xfrm::EncodeSa(control_->Inspect(**sa), call.reply_to(), xfrm::DumpPart::kNo));
  return {};
}

Status XfrmRequests::AllocateSpi(const Call& call) {
  auto wanted = xfrm::DecodeAllocSpi(call.request);
  if (!wanted) return wanted.error();
  const auto sa = control_->AllocateSpi({.spec = std::move(wanted->spec),
                                         .min = wanted->min,
                                         .max = wanted->max,
                                         .larval_lifetime_seconds = larval_seconds_()});
  if (!sa) return sa.error();
  call.client->Send(xfrm::EncodeSa(control_->Inspect(**sa), call.reply_to(), xfrm::DumpPart::kNo));
  return {};
}

Status XfrmRequests::ExpireSa(const Call& call) {
  const auto expire = xfrm::DecodeExpire(call.request);
  return control_->ExpireSa(expire.id, expire.hard, call.origin());
}

Status XfrmRequests::FlushSas(const Call& call) {
  // An empty table is a success, too.
  (void)control_->FlushSas(xfrm::DecodeFlushSa(call.request), call.origin());
  return {};
}

Status XfrmRequests::NewAevent(const Call& call) {
  const auto change = xfrm::DecodeNewAevent(call.request);
  if (!change) return change.error();
  return control_->UpdateAevent(*change, call.origin());
}

Status XfrmRequests::GetAevent(const Call& call) {
  const auto get = xfrm::DecodeGetAevent(call.request);
  if (!get) return get.error();
  const auto aevent = control_->GetAevent(get->id);
  if (!aevent) return aevent.error();
  // Only this answer carries the pid of the request, as in the kernel.
  const RequestOrigin origin = call.origin();
  call.client->Send(xfrm::EncodeAevent(control_->Inspect(*aevent->sa),
                                       {.max_diff = aevent->max_diff, .max_age = aevent->max_age},
                                       get->flags, {.seq = origin.seq, .pid = origin.pid}));
  return {};
}

Status XfrmRequests::NewPolicy(const Call& call) {
  auto spec = xfrm::DecodePolicy(call.request);
  if (!spec) return spec.error();
  return control_->AddPolicy(std::move(*spec), call.origin());
}

Status XfrmRequests::UpdatePolicy(const Call& call) {
  auto spec = xfrm::DecodePolicy(call.request);
  if (!spec) return spec.error();
  return control_->UpdatePolicy(std::move(*spec), call.origin());
}

Status XfrmRequests::DeletePolicy(const Call& call) {
  const auto id = xfrm::DecodePolicyId(call.request);
  if (!id) return id.error();
  return control_->DeletePolicy(*id, call.origin());
}

Status XfrmRequests::GetPolicy(const Call& call) {
  const auto id = xfrm::DecodePolicyId(call.request);
  if (!id) return id.error();
  const auto policy = control_->GetPolicy(*id);
  if (!policy) return policy.error();
  call.client->Send(
      xfrm::EncodePolicy(policy->spec, policy->usage, call.reply_to(), xfrm::DumpPart::kNo));
  return {};
}

Status XfrmRequests::ExpirePolicy(const Call& call) {
  const auto expire = xfrm::DecodePolicyExpire(call.request);
  if (!expire) return expire.error();
  return control_->ExpirePolicy(expire->id, expire->hard, call.origin());
}

Status XfrmRequests::FlushPolicies(const Call& call) {
  const auto type = xfrm::DecodeFlushPolicy(call.request);
  if (!type) return type.error();
  const auto any = control_->FlushPolicies(*type, call.origin());
  return any ? Status{} : any.error();  // an empty table is a success, too
}

Status XfrmRequests::GetSadInfo(const Call& call) {
  call.client->Send(xfrm::EncodeSadInfo(xfrm::DecodeInfoFlags(call.request),
                                        control_->GetSadInfo().count, call.reply_to()));
  return {};
}

Status XfrmRequests::GetSpdInfo(const Call& call) {
  const SpdInfo info = control_->GetSpdInfo();
  call.client->Send(xfrm::EncodeSpdInfo(xfrm::DecodeInfoFlags(call.request),
                                        {.count = info.count, .of_sockets = info.of_sockets},
                                        thresholds_, call.reply_to()));
  return {};
}

Status XfrmRequests::NewSpdInfo(const Call& call) {
  const auto next = xfrm::DecodeHashThresholds(call.request, thresholds_);
  if (!next) return next.error();
  thresholds_ = *next;
  return {};
}

Status XfrmRequests::SetDefaults(const Call& call) {
  return control_->SetDefaults(xfrm::DecodeDefaults(call.request), call.origin());
}

Status XfrmRequests::GetDefaults(const Call& call) {
  call.client->Send(xfrm::EncodeDefaults(control_->GetDefaults(), call.reply_to()));
  return {};
}

Status XfrmRequests::Migrate(const Call& call) {
  const auto migration = xfrm::DecodeMigrate(call.request);
  if (!migration) return migration.error();
  return control_->Migrate(*migration);
}

Status XfrmRequests::MigrateSa(const Call& call) {
  const auto migration = xfrm::DecodeMigrateState(call.request);
  if (!migration) return migration.error();
  return control_->MigrateSa(*migration, call.origin());
}

Status XfrmRequests::Acquire(const Call& call) {
  auto acquire = xfrm::DecodeAcquire(call.request);
  if (!acquire) return acquire.error();
  control_->RequestAcquire(*std::move(acquire));
  return {};
}

}  // namespace cygnet
