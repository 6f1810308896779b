// XfrmControl: the requests of netlink clients to the SAD and SPD. Each request is one transaction,
// answered as the Linux kernel does (errno and extended-ACK text). Only the control thread calls
// it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "policy/policy.h"
#include "policy/policy_state.h"
#include "policy/socket_policies.h"
#include "requests/control_event.h"
#include "sa/sa.h"
#include "sa/sa_spec.h"
#include "sa/sa_view.h"

namespace cygnet {

struct PolicyView {
  PolicySpec spec;      // index and template families filled in
  LifetimeUsage usage;  // add_time, use_time
  uint64_t place = 0;   // order among policies of equal priority: the lowest is checked first
};

inline LifetimeUsage UsageOf(const Policy& policy) {
  return {.bytes = 0,
          .packets = 0,
          .add_time = policy.add_time,
          .use_time = policy.use_time.load(std::memory_order_relaxed)};
}

struct SpiRequest {
  SaSpec spec;  // addresses, proto, mode, reqid, acquire_seq, mark, direction; spi unused
  uint32_t min = 0;
  uint32_t max = 0;
  uint32_t larval_lifetime_seconds = 30;
};

struct SadInfo {
  uint32_t count = 0;
};

struct SpdInfo {
  std::array<uint32_t, kPolicyDirections> count{};  // in, out, forward
  std::array<uint32_t, 2> of_sockets{};             // in, out
};

struct AddressFilter {
  IpFamily family = IpFamily::kUnspec;
  IpAddress saddr;
  IpAddress daddr;
  uint8_t splen = 0;
  uint8_t dplen = 0;
};

// GETAE: the SA, and its thresholds for NEWAE.
struct AeventView {
  ConstSaPtr sa;
  uint32_t max_diff = 0;  // packets; 0 = never by count
  uint32_t max_age = 0;   // 100 ms units; 0 = never by time
};

// NEWAE: sets the members that have a value. A replay state of another form than the SA's is
// ignored.
struct AeventChange {
  SaId id;
  std::optional<ReplayState> replay{};
  std::optional<Error> replay_fault{};  // it was malformed; reported once the SA is found
  std::optional<LifetimeUsage> usage{};
  std::optional<uint32_t> max_diff{};
  std::optional<uint32_t> max_age{};
};

// The interface of the control plane to the XFRM server. Abstract, so that the protocol can be
// tested and fuzzed without devices.
class XfrmControl {
 public:
  virtual ~XfrmControl() = default;

  // NEWSA / UPDSA. REQUIRES: the spec has passed the verify phase (xfrm/), and its algorithms were
  // found.
  virtual Status AddSa(SaSpec spec, const RequestOrigin& origin) = 0;
  virtual Status UpdateSa(SaSpec spec, const RequestOrigin& origin) = 0;
  virtual Status DeleteSa(const SaId& id, const RequestOrigin& origin) = 0;
  virtual Result<ConstSaPtr> GetSa(const SaId& id) const = 0;
  // 0 or 255 = every protocol. True if anything was flushed.
  virtual bool FlushSas(uint8_t proto, const RequestOrigin& origin) = 0;
  virtual Result<ConstSaPtr> AllocateSpi(SpiRequest request) = 0;
  // EXPIRE request; `hard` deletes the SA. Listeners see only the pid of `origin`.
  virtual Status ExpireSa(const SaId& id, bool hard, const RequestOrigin& origin = {}) = 0;
  virtual Result<AeventView> GetAevent(const SaId& id) const = 0;
  // Unlike the kernel, it refuses to move sequence numbers back: they make nonces and prevent
  // replays.
  virtual Status UpdateAevent(const AeventChange& change, const RequestOrigin& origin) = 0;
  // ACQUIRE by request: notifies listeners for the SA of each template and does nothing else.
  virtual void RequestAcquire(AcquireRequest request) = 0;
  // MIGRATE. A moved SA keeps keys, sequence numbers, window and usage. At any moment only one SA
  // has them.
  virtual Status Migrate(const Migration& migration) = 0;
  // MIGRATE_STATE: the same for one SA, without policies.
  virtual Status MigrateSa(const SaMigration& migration, const RequestOrigin& origin) = 0;
  // Newest first, including larval states.
  virtual std::vector<ConstSaPtr> ListSas() const = 0;
  virtual SaView Inspect(const Sa& sa) const = 0;
  virtual SadInfo GetSadInfo() const = 0;

  virtual Status AddPolicy(PolicySpec spec, const RequestOrigin& origin) = 0;
  virtual Status UpdatePolicy(PolicySpec spec, const RequestOrigin& origin) = 0;
  // A policy of an earlier process, added at `add_time` (wall-clock seconds; 0: now): its limit by
  // that time goes on. What used it since then is unknown, so the time without use begins anew.
  virtual Status RestorePolicy(PolicySpec spec, uint64_t add_time) = 0;
  // Ends the policies whose time is over now, and not within a second.
  virtual void CheckPolicyTimes() = 0;
  virtual Status DeletePolicy(const PolicyId& id, const RequestOrigin& origin) = 0;
  virtual Result<PolicyView> GetPolicy(const PolicyId& id) const = 0;
  virtual Status ExpirePolicy(const PolicyId& id, bool hard, const RequestOrigin& origin = {}) = 0;
  // True if anything was flushed.
  virtual Result<bool> FlushPolicies(PolicyType type, const RequestOrigin& origin) = 0;
  // Newest first, in any order of directions and types.
  virtual std::vector<PolicyView> ListPolicies() const = 0;
  // The same policies themselves, in the same order; they stay as they are when they leave the SPD.
  virtual std::vector<std::shared_ptr<const Policy>> PoliciesInForce() const = 0;
  virtual SpdInfo GetSpdInfo() const = 0;
  // setsockopt IP_XFRM_POLICY, IPV6_XFRM_POLICY. As in the kernel, listeners are not notified.
  virtual Status ChangeSocketPolicy(SocketPolicyChange change) = 0;
  // Newest first; separate from the policies of the SPD.
  virtual std::vector<PolicyView> ListSocketPolicies() const = 0;
  virtual Status SetDefaults(
      const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
      const RequestOrigin& origin) = 0;
  virtual std::array<PolicyAction, kPolicyDirections> GetDefaults() const = 0;
};

}  // namespace cygnet
