// What the control plane tells its listeners: every change of the SAD and SPD, and what traffic
// asks of key management. The XFRM server turns these into netlink notifications.
#pragma once

#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "net/flow_key.h"
#include "policy/policy.h"
#include "sa/sa_spec.h"

namespace cygnet {

class Sa;
struct PolicyView;

// Who caused a change: echoed in the notification. Zero for what the daemon did by itself.
struct RequestOrigin {
  uint32_t seq = 0;
  uint32_t pid = 0;  // the nlmsg_pid the client wrote
};

struct SaAdded {
  std::shared_ptr<const Sa> sa;
};
struct SaUpdated {
  std::shared_ptr<const Sa> sa;
};
struct SaDeleted {
  std::shared_ptr<const Sa> sa;
};
struct SaFlushed {
  uint8_t proto;
};
struct SaExpired {
  std::shared_ptr<const Sa> sa;
  bool hard;
};
struct PolicyAdded {
  const PolicyView& policy;
};
struct PolicyUpdated {
  const PolicyView& policy;
};
struct PolicyDeleted {
  const PolicyView& policy;
  const PolicyId& id;
};
struct PolicyFlushed {
  PolicyType type;
};
struct PolicyExpired {
  const PolicyView& policy;
  bool hard;
};
struct DefaultsChanged {
  std::array<PolicyAction, kPolicyDirections> actions;
};

// Traffic wants an SA that is not there.
struct Acquire {
  FlowKey flow;
  int32_t ifindex;
  const PolicyView& policy;
  std::size_t template_index;
  IpAddress saddr;  // of the SA wanted
  IpAddress daddr;
  uint32_t seq;
};

using ControlEvent =
    std::variant<SaAdded, SaUpdated, SaDeleted, SaFlushed, SaExpired, PolicyAdded, PolicyUpdated,
                 PolicyDeleted, PolicyFlushed, PolicyExpired, DefaultsChanged, Acquire>;

class ControlListener {
 public:
  virtual ~ControlListener() = default;
  // Control thread, in the order the changes took effect, before the request's own answer.
  virtual void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) = 0;
  // True when somebody listens for ACQUIRE; without one no larval SA is made.
  virtual bool WantsAcquire() const = 0;
};

}  // namespace cygnet
