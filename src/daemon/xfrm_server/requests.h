// XfrmRequests: executes clients' messages on the control plane and answers them, by the rules of
// the kernel's netlink and XFRM dispatch. Has no sockets.
#pragma once

#include <cstdint>
#include <functional>

#include "base/result.h"
#include "daemon/audit/xfrm_audit.h"
#include "daemon/xfrm_server/connection.h"
#include "netlink/extended_ack.h"
#include "netlink/message.h"
#include "requests/link_control.h"
#include "requests/xfrm_control.h"
#include "xfrm/info_message.h"
#include "xfrm/request.h"

namespace cygnet {

using ClientObserver = std::function<void(const ClientRecord& record, const PeerId& peer)>;

class XfrmRequests {
 public:
  // `larval_seconds`: the lifetime of an SPI without an SA; called for each allocation.
  // `observer`: notified of what was done, for an audit; may be empty.
  // `links`: nullptr: clients can make no tunnel interfaces.
  XfrmRequests(XfrmControl* control, std::function<uint32_t()> larval_seconds,
               ClientObserver observer = {}, LinkControl* links = nullptr)
      : control_(control),
        larval_seconds_(std::move(larval_seconds)),
        observer_(std::move(observer)),
        links_(links) {}

  // Executes one message and sends its answer. When this returns, the change is made and all
  // answers are sent or queued (for a dump: the first part).
  void Execute(const netlink::MessageView& message, XfrmConnection* client);

 private:
  // The arguments of a request's handler.
  struct Call {
    const xfrm::Request& request;
    XfrmConnection* client;
    RequestOrigin origin() const;
    xfrm::ReplyTo reply_to() const;
  };
  using Handler = Status (XfrmRequests::*)(const Call& call);
  struct Row {
    xfrm::RequestType type;
    Handler handler;
  };
  static const Row kRows[];
  static Handler Find(xfrm::RequestType type);

  // Whether success requires an ACK; a dump ends with NLMSG_DONE instead.
  enum class Answer : uint8_t { kAck, kNone };
  Result<Answer> Run(const netlink::MessageView& message, XfrmConnection* client,
                     netlink::ExtendedAck* ack);
  Result<Answer> ChangeSocketPolicy(const netlink::MessageView& message,
                                    const XfrmConnection& client);
  // link_requests.cc
  Result<Answer> ChangeLink(const netlink::MessageView& message, const XfrmConnection& client);
  Result<Answer> RunDump(const netlink::MessageView& message, XfrmConnection* client);
  void DumpSas(const netlink::MessageView& message, XfrmConnection* client);

  void Notify(const XfrmConnection& client, const ClientRecord& record) const;
  void Notify(const xfrm::Request& request, XfrmConnection* client) const;

  Status NewSa(const Call& call);
  Status UpdateSa(const Call& call);
  Status DeleteSa(const Call& call);
  Status GetSa(const Call& call);
  Status AllocateSpi(const Call& call);
  Status ExpireSa(const Call& call);
  Status FlushSas(const Call& call);
  Status NewAevent(const Call& call);
  Status GetAevent(const Call& call);
  Status NewPolicy(const Call& call);
  Status UpdatePolicy(const Call& call);
  Status DeletePolicy(const Call& call);
  Status GetPolicy(const Call& call);
  Status ExpirePolicy(const Call& call);
  Status FlushPolicies(const Call& call);
  Status GetSadInfo(const Call& call);
  Status GetSpdInfo(const Call& call);
  Status NewSpdInfo(const Call& call);
  Status SetDefaults(const Call& call);
  Status GetDefaults(const Call& call);
  Status Migrate(const Call& call);
  Status MigrateSa(const Call& call);
  Status Acquire(const Call& call);

  XfrmControl* const control_;
  const std::function<uint32_t()> larval_seconds_;
  const ClientObserver observer_;
  LinkControl* const links_;
  xfrm::HashThresholds thresholds_;
};

}  // namespace cygnet
