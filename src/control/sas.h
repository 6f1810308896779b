// Sas: the SAs with keys, from NEWSA to their end, as a Linux kernel answers requests about them.
// Places them, makes them visible to packets, and has all that is kept of an SA end with it.
// Control thread.
#pragma once

#include <cstdint>
#include <unordered_set>
#include <vector>

#include "base/clock.h"
#include "control/address_updates.h"
#include "control/aevents.h"
#include "control/announcer.h"
#include "control/device_policies.h"
#include "control/encap_ports.h"
#include "control/larval_sas.h"
#include "control/nat_events.h"
#include "control/next_hops.h"
#include "control/numbers/numbers.h"
#include "control/own_devices.h"
#include "control/placement/placement.h"
#include "control/state_keeper.h"
#include "control/tunnel_control.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"

namespace cygnet {

// By what clients name it.
SaId SaIdOf(const SaSpec& spec);

class Sas {
 public:
  struct Parts {
    DataPath* path = nullptr;
    const Clock* clock = nullptr;
    const Announcer* announcer = nullptr;
    const OwnDevices* own_devices = nullptr;
    TunnelControl* tunnels = nullptr;
    AddressUpdates* addresses = nullptr;
    Placement* placement = nullptr;
    DevicePolicies* device_policies = nullptr;
    LarvalSas* larval = nullptr;
    // What is kept of each SA beside the data path.
    Aevents* aevents = nullptr;
    NatMappings* mappings = nullptr;
    NatKeepalives* keepalives = nullptr;
    NextHops* next_hops = nullptr;  // nullptr: there is no host network
    Numbers* numbers = nullptr;     // nullptr: no number outlives the process
    StateKeeper* keeper = nullptr;  // nullptr: no SA outlives the process
  };
  explicit Sas(const Parts& parts) : parts_(parts), path_(*parts.path), encap_ports_(parts.path) {}

  // For SAs that are added from now on.
  void SetReplayWindowMin(uint32_t packets) { replay_window_min_ = packets; }
  void SetAeventDefaults(const AeventDefaults& defaults) { aevent_defaults_ = defaults; }

  // --- Requests ---
  Status Add(SaSpec spec, const RequestOrigin& origin);
  Status Update(SaSpec spec, const RequestOrigin& origin);
  Status Delete(const SaId& id, const RequestOrigin& origin);
  // False: there was none. `proto` 0 or 255: of all protocols.
  bool Flush(uint8_t proto, const RequestOrigin& origin);
  Status Expire(const SaId& id, bool hard, const RequestOrigin& origin);
  // An SA of the process before continues. Nobody is notified: for them it was there all the time.
  // REQUIRES: no worker runs.
  Status Restore(RestoredSa from);
  std::vector<ConstSaPtr> List() const;
  SaView Inspect(const Sa& sa) const;
  // The SA that a client means; nullptr: none. SPI 0 names nothing: states without an SPI have it.
  SaPtr Named(const SaId& id) const;
  // Refuses a selector that names an interface of others.
  Status CheckSelector(const SaSpec& spec) const {
    return parts_.own_devices->RefuseForeignInterface(spec.selector);
  }
  // Refuses an SA whose packets would need a mark that no tunnel has.
  Status CheckTunnel(const SaSpec& spec) const { return parts_.tunnels->RefuseUnmet(spec); }

  // --- The life of an SA ---
  // Makes an SA with its number, ready for placement. Nobody finds it yet. `iv_mask`: unless the
  // key has one. `from`: the SA that it will continue; nullptr: none.
  Result<SaPtr> Make(SaSpec spec, uint64_t iv_mask, const Sa* from = nullptr);
  // Makes and places the SA that goes on with the numbers of `from`. Nobody finds it before
  // Replace.
  Result<SaPtr> MakeSuccessor(const Sa& from, SaSpec spec);
  // Ends an SA that nobody found yet.
  void Discard(const Sa& sa);
  // `to` continues with the sequence numbers of `from`, and packets find it. `from` is removed.
  // REQUIRES: `to` is placed.
  void Replace(const SaPtr& from, const SaPtr& to);
  void Remove(const SaPtr& sa);
  void ExpireSoft(const SaPtr& sa, const RequestOrigin& origin = {});
  void ExpireHard(const SaPtr& sa, const RequestOrigin& origin = {});
  // Gives or takes the device's policies after the SA was placed or moved.
  void FollowPolicies(const SaPtr& sa);
  // Gives them to the device that the SA is about to enter.
  void GivePolicies(const SaPtr& sa, std::size_t device);
  // Lifetimes by time. `now`: wall-clock seconds.
  void CheckTimes(const SaPtr& sa, uint64_t now);
  // Half of a block of its numbers is used.
  void OnNumbersLow(const Sa& sa);
  // A packet found no sequence number left. Logs it once.
  void OnSequenceExhausted(const Sa& sa);

 private:
  Result<SaPtr> Install(SaSpec spec, const SaPtr& fills = nullptr);
  SaSpec Completed(SaSpec spec) const;
  enum class Source : uint8_t { kClient, kProcessBefore };
  Status Place(const SaPtr& sa, Source source);
  Status CheckGroup(const SaSpec& from, const SaSpec& to) const;
  void Link(const SaPtr& sa, Source source);
  void UpdateValid(Sa* sa, const SaSpec& spec);
  Result<SaPtr> IntoTunnel(const SaPtr& sa, uint32_t if_id);
  void FollowNextHop(const Sa& sa, Source source);
  void CheckKeptTimes(const SaPtr& sa);

  const Parts parts_;
  DataPath& path_;
  EncapPorts encap_ports_;
  std::unordered_set<uint64_t> exhausted_;  // numbers of the SAs that were logged
  uint32_t replay_window_min_ = 0;
  AeventDefaults aevent_defaults_;
};

}  // namespace cygnet
