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

// Why listeners are told how an SA's counters stand (NEWAE).
enum class AeventCause : uint8_t {
  kUpdate,    // a client set them
  kSequence,  // as many packets as the SA's replay_max_diff passed
  kTimer,     // replay_max_age is over, and something passed meanwhile
};
struct SaAevent {
  std::shared_ptr<const Sa> sa;
  AeventCause cause;
};

// The peer's address or port is not what the SA says: a NAT in between has changed its mind. The SA
// stays as it is; key management decides (RFC 7296 section 2.23).
struct SaMapping {
  std::shared_ptr<const Sa> sa;
  IpAddress new_saddr;
  uint16_t new_sport;  // host order
};

using ControlEvent = std::variant<SaAdded, SaUpdated, SaDeleted, SaFlushed, SaExpired, PolicyAdded,
                                  PolicyUpdated, PolicyDeleted, PolicyFlushed, PolicyExpired,
                                  DefaultsChanged, Acquire, SaAevent, SaMapping>;

class ControlListener {
 public:
  virtual ~ControlListener() = default;
  // Control thread, in the order the changes took effect, before the request's own answer.
  virtual void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) = 0;
  // True when somebody listens for ACQUIRE; without one no larval SA is made.
  virtual bool WantsAcquire() const = 0;
  // True when somebody listens for SaAevent; only then is traffic watched for it.
  virtual bool WantsAevents() const = 0;
};

}  // namespace cygnet
