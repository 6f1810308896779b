// What the control plane tells its listeners: every change of the SAD and SPD, and what traffic
// asks of key management. The XFRM server turns these into netlink notifications.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "base/result.h"
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
  std::array<bool, kPolicyDirections> named{};  // by the request; the others stay
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

// The same, but because a client asked that key management be asked. `policy` is the client's, not
// one of the SPD.
struct AcquireRequest {
  PolicySpec policy;
  IpAddress saddr;
  Selector selector;
  uint32_t aalgos = 0;
  uint32_t ealgos = 0;
  uint32_t calgos = 0;
  std::optional<uint32_t> pcpu{};
};
struct AcquireRequested {
  const AcquireRequest& request;
  std::size_t template_index;
  uint32_t seq;
};

// An SA, or the template of a policy, goes from one pair of outer addresses to another.
struct MigrateEntry {
  IpAddress old_saddr;
  IpAddress old_daddr;
  IpAddress new_saddr;
  IpAddress new_daddr;
  IpFamily old_family = IpFamily::kUnspec;
  IpFamily new_family = IpFamily::kUnspec;
  uint8_t proto = 0;
  uint8_t mode = 0;  // SaMode's values
  Reqid reqid;       // 0 = any
};
// Where the key manager itself is: passed on to listeners.
struct KeyManagerAddress {
  IpAddress local;
  IpAddress remote;
  IpFamily family = IpFamily::kUnspec;
};
struct Migration {
  Selector selector;  // of a flow; the policy that decides for it is meant
  PolicyDirection direction = PolicyDirection::kOut;
  PolicyType type = PolicyType::kMain;
  std::vector<MigrateEntry> entries;
  std::optional<UdpEncap> encap{};  // nullopt: as it is
  std::optional<OffloadRequest> offload{};
  std::optional<KeyManagerAddress> key_manager{};
};
struct Migrated {
  const Migration& migration;
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

using ControlEvent =
    std::variant<SaAdded, SaUpdated, SaDeleted, SaFlushed, SaExpired, PolicyAdded, PolicyUpdated,
                 PolicyDeleted, PolicyFlushed, PolicyExpired, DefaultsChanged, Acquire, SaAevent,
                 SaMapping, AcquireRequested, Migrated>;

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

// Who keeps what is to outlive the daemon. Control thread.
class ChangeJournal {
 public:
  virtual ~ChangeJournal() = default;
  // Before a change that a client asks for takes effect. An error refuses it: nothing has changed.
  virtual Status Prepare(const ControlEvent& change) = 0;
  // Of a change that nobody may refuse: a lifetime that ends, an SA that goes.
  virtual void Note(const ControlEvent& change) = 0;
};

}  // namespace cygnet
