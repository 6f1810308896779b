// TunnelControl: the tunnel interfaces of the host, which policies they make possible, and which
// SA's packets come in by which. Interfaces come from the configuration or from clients, at any
// time. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "datapath/data_path.h"
#include "device/port.h"
#include "policy/policy.h"
#include "sa/sa.h"

namespace cygnet {

// When the interface has a carrier.
enum class TunnelCarrier : uint8_t {
  kAlways,
  kWithSa,  // while there is an SA of the tunnel
};

struct TunnelSpec {
  std::string name;
  // Exactly one of these two is not 0.
  uint32_t if_id = 0;
  uint32_t mark = 0;     // VTI: okey
  uint32_t mark_in = 0;  // of what comes in by it (VTI: ikey); 0: as `mark`
  std::string device{};  // whose wire its packets leave by; empty: the first
  uint32_t mtu = 0;      // 0: the device's
  TunnelCarrier carrier = TunnelCarrier::kAlways;
  bool persist = false;  // the interface outlives the daemon
  // With a mark: SAs between ends within these prefixes, but without a mark, belong to the tunnel
  // too (ip_vti.c finds the tunnel of an arriving packet so). Both or none.
  std::optional<AddressPrefix> local{};
  std::optional<AddressPrefix> remote{};
  std::string made_by{};  // the client that asked for it: "ip[4711]"; empty: the configuration
  bool operator==(const TunnelSpec&) const = default;
  uint32_t inbound_mark() const { return mark_in != 0 ? mark_in : mark; }
  // Both have packets of the same if_id or mark in one direction.
  bool ClashesWith(const TunnelSpec& other) const {
    if (if_id != other.if_id) return false;
    return if_id != 0 || mark == other.mark || inbound_mark() == other.inbound_mark();
  }
};
// "if_id 7", "mark 0x2a", "mark 0x2a, inbound 0x2b".
std::string IdentityOf(const TunnelSpec& spec);

// An interface of the host, as the daemon makes it.
struct HostTunnel {
  std::unique_ptr<Port> port;
  int32_t ifindex = 0;
  std::function<Status(LinkStatus)> set_carrier{};
};

struct TunnelReport {
  TunnelSpec spec;
  int32_t ifindex = 0;
  uint32_t mtu = 0;
  uint64_t sas = 0;
  uint64_t policies = 0;
  uint64_t unprotected = 0;  // packets that no policy or SA of the tunnel protected
  PortStats host{};          // rx = from the host
};

// What happens to a policy whose if_id or mark no tunnel has, and which does not block.
enum class UnmetPolicies : uint8_t {
  kRefused,
  kBlock,  // taken, and blocks (PolicySpec::unmet): those of an earlier process
};

class TunnelControl {
 public:
  struct Parts {
    DataPath* path = nullptr;
    std::vector<std::string> devices{};  // by number
    // Makes the interface with this MTU. Empty: there can be no tunnels.
    std::function<Result<HostTunnel>(const TunnelSpec&, uint32_t mtu)> make{};
  };
  explicit TunnelControl(Parts parts) : parts_(std::move(parts)), path_(*parts_.path) {}

  // Errors: kExists (the name, if_id or mark is taken), kNoDevice, and those of the interface.
  Status Add(const TunnelSpec& spec);
  // kNoDevice: there is none with this name. Policies that need it block from now on, until they
  // are removed or it is there again: packets for it could otherwise take another way, in clear.
  Status Remove(const std::string& name);
  std::vector<TunnelReport> Report() const;
  // nullptr: it is not the interface of a tunnel.
  const TunnelSpec* At(int32_t ifindex) const;
  const TunnelSpec* Named(const std::string& name) const;
  std::size_t size() const { return rows_.size(); }
  // Calls fn(spec, ifindex) for each.
  template <typename Fn>
  void ForEach(Fn fn) const {
    for (const Row& row : rows_) fn(row.spec, row.ifindex);
  }
  // The names of those whose interface somebody deleted: of those that suspect(spec, ifindex)
  // names, and of those in another network namespace, whose end nobody reports.
  template <typename Suspect>
  std::vector<std::string> Deleted(Suspect suspect) {
    std::vector<std::string> names;
    for (Row& row : rows_) {
      if (!row.elsewhere && !suspect(row.spec, row.ifindex)) continue;
      row.elsewhere = InterfaceExists(row);
      if (!row.elsewhere) names.push_back(row.spec.name);
    }
    return names;
  }

  void SetUnmetPolicies(UnmetPolicies what) { unmet_ = what; }
  // Sets PolicySpec::unmet, or refuses the policy.
  Status Judge(PolicySpec* policy) const;
  // Refuses an SA whose packets would need a mark that no tunnel has.
  Status RefuseUnmet(const SaSpec& sa) const;

  // Until ShowCarriers, interfaces keep their carriers: the SAs of an earlier process are not back
  // yet, or the next process gets the interfaces. A routing daemon would move routes at once.
  void HoldCarriers() { carriers_held_ = true; }
  void ShowCarriers();

  // Before packets find the SA; until Forget.
  void Follow(const SaPtr& sa);
  void Forget(const Sa& sa);

 private:
  struct Row {
    TunnelSpec spec;
    Tunnel* tunnel = nullptr;
    int32_t ifindex = 0;
    std::function<Status(LinkStatus)> set_carrier{};
    uint64_t sas = 0;
    bool elsewhere = false;  // the interface may be in another network namespace
  };
  static bool InterfaceExists(const Row& row);
  template <typename Fits>
  const Row* Having(Fits fits) const;
  Status CheckFree(const TunnelSpec& spec) const;
  static bool IsFor(const PolicySpec& policy, const TunnelSpec& tunnel);
  bool Meets(const PolicySpec& policy) const;
  bool IsInbound(const SaSpec& sa) const;
  uint16_t NumberFor(const SaSpec& sa) const;
  void Count(uint16_t number, int change);
  void ShowCarrier(const Row& row) const;
  void ApplyToAll();

  const Parts parts_;
  DataPath& path_;
  UnmetPolicies unmet_ = UnmetPolicies::kRefused;
  bool carriers_held_ = false;
  std::vector<Row> rows_;
};

}  // namespace cygnet
