// XfrmControl: what a netlink client may ask of the SAD and SPD, each request one transaction,
// answered as a Linux kernel answers (errno and extended-ACK text). One control thread calls it.
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
#include "policy/socket_policies.h"
#include "requests/control_event.h"
#include "sa/sa.h"
#include "sa/sa_spec.h"
#include "sa/sa_view.h"

namespace cygnet {

struct PolicyView {
  PolicySpec spec;      // index and template families filled in
  LifetimeUsage usage;  // add_time, use_time
  uint64_t place = 0;   // its turn among those of its priority: the lowest is asked first
};

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

// GETAE: the SA, and when its NEWAE are due.
struct AeventView {
  std::shared_ptr<const Sa> sa;
  uint32_t max_diff = 0;  // packets; 0 = never for this
  uint32_t max_age = 0;   // 100 ms units; 0 = never for this
};

// NEWAE: what is set; the rest stays. A replay state of another form than the SA's is ignored.
struct AeventChange {
  SaId id;
  std::optional<ReplayState> replay{};
  std::optional<Error> replay_fault{};  // it was malformed; said once the SA is found
  std::optional<LifetimeUsage> usage{};
  std::optional<uint32_t> max_diff{};
  std::optional<uint32_t> max_age{};
};

// The part of the control plane that the XFRM server needs. An interface, so that the protocol can
// be tested and fuzzed without devices.
class XfrmControl {
 public:
  virtual ~XfrmControl() = default;

  // NEWSA / UPDSA. The spec has passed the verify phase (xfrm/) and its algorithms were found.
  virtual Status AddSa(SaSpec spec, const RequestOrigin& origin) = 0;
  virtual Status UpdateSa(SaSpec spec, const RequestOrigin& origin) = 0;
  virtual Status DeleteSa(const SaId& id, const RequestOrigin& origin) = 0;
  virtual Result<std::shared_ptr<const Sa>> GetSa(const SaId& id) const = 0;
  // 0 or 255 = every protocol. True when something was flushed.
  virtual bool FlushSas(uint8_t proto, const RequestOrigin& origin) = 0;
  virtual Result<std::shared_ptr<const Sa>> AllocateSpi(SpiRequest request) = 0;
  // EXPIRE request: hard deletes.
  // Listeners see the pid of `origin` alone.
  virtual Status ExpireSa(const SaId& id, bool hard, const RequestOrigin& origin = {}) = 0;
  virtual Result<AeventView> GetAevent(const SaId& id) const = 0;
  // Unlike a kernel it refuses to take sequence numbers back: they make nonces, and stop replays.
  virtual Status UpdateAevent(const AeventChange& change, const RequestOrigin& origin) = 0;
  // ACQUIRE by request: listeners are asked for the SA of each template; nothing else happens.
  virtual void RequestAcquire(AcquireRequest request) = 0;
  // MIGRATE. An SA that moves keeps keys, numbers, window and usage, and is the only one to have
  // them at any moment.
  virtual Status Migrate(const Migration& migration) = 0;
  // Newest first, larval states included.
  virtual std::vector<std::shared_ptr<const Sa>> ListSas() const = 0;
  virtual SaView Inspect(const Sa& sa) const = 0;
  virtual SadInfo GetSadInfo() const = 0;

  virtual Status AddPolicy(PolicySpec spec, const RequestOrigin& origin) = 0;
  virtual Status UpdatePolicy(PolicySpec spec, const RequestOrigin& origin) = 0;
  virtual Status DeletePolicy(const PolicyId& id, const RequestOrigin& origin) = 0;
  virtual Result<PolicyView> GetPolicy(const PolicyId& id) const = 0;
  virtual Status ExpirePolicy(const PolicyId& id, bool hard, const RequestOrigin& origin = {}) = 0;
  // True when something was flushed.
  virtual Result<bool> FlushPolicies(PolicyType type, const RequestOrigin& origin) = 0;
  // Newest first, directions and types mixed.
  virtual std::vector<PolicyView> ListPolicies() const = 0;
  virtual SpdInfo GetSpdInfo() const = 0;
  // setsockopt IP_XFRM_POLICY, IPV6_XFRM_POLICY. Nobody is told, as in the kernel.
  virtual Status ChangeSocketPolicy(SocketPolicyChange change) = 0;
  // Newest first; not among those of the SPD.
  virtual std::vector<PolicyView> ListSocketPolicies() const = 0;
  virtual Status SetDefaults(
      const std::array<std::optional<PolicyAction>, kPolicyDirections>& actions,
      const RequestOrigin& origin) = 0;
  virtual std::array<PolicyAction, kPolicyDirections> GetDefaults() const = 0;
};

}  // namespace cygnet
