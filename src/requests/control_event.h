// Events from the control plane to its listeners: every change of the SAD and SPD, and requests of
// traffic to key management. The XFRM server turns them into netlink notifications.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "base/result.h"
#include "net/flow_key.h"
#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

struct PolicyView;

// Who caused a change; echoed in the notification. Zero for the daemon's own changes.
struct RequestOrigin {
  uint32_t seq = 0;
  uint32_t pid = 0;  // the nlmsg_pid of the client's request
};

struct SaAdded {
  ConstSaPtr sa;
};
struct SaUpdated {
  ConstSaPtr sa;
};
struct SaDeleted {
  ConstSaPtr sa;
};
struct SaFlushed {
  uint8_t proto;
};
struct SaExpired {
  ConstSaPtr sa;
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
  std::array<bool, kPolicyDirections> named{};  // named by the request; the others are unchanged
};

// Traffic needs an SA that does not exist.
struct Acquire {
  FlowKey flow;
  int32_t ifindex;
  const PolicyView& policy;
  std::size_t template_index;
  IpAddress saddr;  // of the requested SA
  IpAddress daddr;
  uint32_t seq;
  std::optional<uint32_t> cpu{};  // for whose packets alone; nullopt: for all
};

// Same, but at a client's request. `policy` comes from the client, not from the SPD.
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

// Moves an SA, or a policy template, from one pair of outer addresses to another.
struct MigrateEntry {
  IpAddress old_saddr;
  IpAddress old_daddr;
  IpAddress new_saddr;
  IpAddress new_daddr;
  IpFamily old_family = IpFamily::kUnspec;
  IpFamily new_family = IpFamily::kUnspec;
  uint8_t proto = 0;
  uint8_t mode = 0;  // a value of SaMode
  Reqid reqid;       // 0 = any
};
// The key manager's own addresses, passed on to listeners.
struct KeyManagerAddress {
  IpAddress local;
  IpAddress remote;
  IpFamily family = IpFamily::kUnspec;
};
struct Migration {
  Selector selector;  // of a flow; identifies the policy that decides for it
  PolicyDirection direction = PolicyDirection::kOut;
  PolicyType type = PolicyType::kMain;
  uint32_t if_id = 0;  // of the policy; not 0: of the SAs, too
  std::vector<MigrateEntry> entries;
  std::optional<UdpEncap> encap{};  // nullopt: unchanged
  std::optional<OffloadRequest> offload{};
  std::optional<KeyManagerAddress> key_manager{};
};
struct Migrated {
  const Migration& migration;
};

struct MarkUnderMask {
  uint32_t value = 0;
  uint32_t mask = 0;
};

// Moves one SA, named by its identity. Policies stay (MIGRATE_STATE).
struct SaMigration {
  SaId id;
  MarkUnderMask old_mark{};  // as the client named it, for listeners
  IpAddress new_saddr;
  IpAddress new_daddr;
  IpFamily new_family = IpFamily::kUnspec;
  Reqid new_reqid;
  // nullopt: the SA's selector, which is its own two addresses, gets the new ones.
  std::optional<Selector> selector{};
  // nullopt: as the SA has it.
  std::optional<UdpEncap> encap{};  // of type 0: none
  std::optional<OffloadRequest> offload{};
  std::optional<uint32_t> mapping_max_age{};  // 0: none
  std::optional<uint32_t> nat_keepalive{};    // 0: none
  std::optional<MarkUnderMask> mark{};        // XFRMA_MARK
  std::optional<MarkUnderMask> set_mark{};    // XFRMA_SET_MARK
  bool clears_offload = false;
};
struct SaMigrated {
  const SaMigration& migration;
  ConstSaPtr sa;  // at its new place
};

// Why listeners receive an SA's counters (NEWAE).
enum class AeventCause : uint8_t {
  kUpdate,    // a client set the counters
  kSequence,  // the SA's replay_max_diff packets have passed
  kTimer,     // replay_max_age is over, and packets have passed since
};
struct SaAevent {
  ConstSaPtr sa;
  AeventCause cause;
};

// The peer's address or port differs from the SA's: a NAT on the path has changed its mapping. The
// SA is unchanged; key management decides (RFC 7296 section 2.23).
struct SaMapping {
  ConstSaPtr sa;
  IpAddress new_saddr;
  uint16_t new_sport;  // host order
};

using ControlEvent =
    std::variant<SaAdded, SaUpdated, SaDeleted, SaFlushed, SaExpired, PolicyAdded, PolicyUpdated,
                 PolicyDeleted, PolicyFlushed, PolicyExpired, DefaultsChanged, Acquire, SaAevent,
                 SaMapping, AcquireRequested, Migrated, SaMigrated>;

class ControlListener {
 public:
  virtual ~ControlListener() = default;
  // Control thread. Called in the order in which changes took effect, before the reply to the
  // request.
  virtual void OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) = 0;
  // True if anyone listens for ACQUIRE; otherwise no larval SA is made.
  virtual bool WantsAcquire() const = 0;
  // True if anyone listens for SaAevent; otherwise traffic is not watched for it.
  virtual bool WantsAevents() const = 0;
};

// Stores what must outlive the daemon. Control thread.
class ChangeJournal {
 public:
  virtual ~ChangeJournal() = default;
  // Called before a client's change takes effect. An error refuses the change, and nothing has
  // changed.
  virtual Status Prepare(const ControlEvent& change) = 0;
  // The same for an SA of the process before, which the journal may know.
  virtual Status PrepareRestored(const ConstSaPtr& sa) { return Prepare(SaAdded{sa}); }
  // Called for a change that cannot be refused: an expired lifetime, a removed SA.
  virtual void Note(const ControlEvent& change) = 0;
};

}  // namespace cygnet
