// WireFence: keeps wires shut. It puts the fence of each in force, listens to what may change it
// (nftables, tc, interfaces, addresses), reads it back, and restores it at once if somebody removed
// it. It never removes it: the fence stays when the daemon ends, until an operator releases the
// wire by name (fence_command.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/fence_status.h"
#include "daemon/fence/fence_means.h"
#include "daemon/fence/wire_link.h"

namespace cygnet {

// Control thread.
class WireFence {
 public:
  // What happened to the fence of a device, for records: device, "fence-restored", a sentence.
  using Notifier = std::function<void(const std::string& device, const std::string& what,
                                      const std::string& explanation)>;

  static Result<std::unique_ptr<WireFence>> Create(
      FenceOwnership ownership = FenceOwnership::kOwned);

  void SetNotifier(Notifier notifier) { notify_ = std::move(notifier); }
  // Shuts the wire, and keeps it shut from now on; it need not be there yet.
  Status Add(const std::string& device, const std::string& wire);
  // nullptr unless the device was added. The pointer stays valid.
  const FenceStatus* status(const std::string& device) const;

  // Readable when something changed that a fence depends on.
  std::vector<int> event_fds() const { return {nft_events_.fd(), route_events_.fd()}; }
  void OnEvents();
  // Call it in every iteration of the loop: it checks after events, at most every 20 ms, and at
  // least once a second.
  void Turn(uint64_t now_ns);
  // Reads back the fence of every wire and restores what is missing.
  void Check();

 private:
  // The tc filters of one interface.
  struct TcWatch {
    bool missing = false;  // a repair failed, and that was reported
    uint64_t tried_ns = 0;
  };
  // An interface that was the wire and no longer has its name.
  struct Stray {
    LinkIdentity link;
    std::string name{};  // its name when it was last seen; empty: not seen yet
    bool here = true;    // it existed when last checked
    bool open = false;   // it could not be shut, and that was reported
    TcWatch tc{};
  };
  struct Wire {
    std::string device;
    std::string name;
    LinkIdentity link{};  // ifindex 0: it does not exist; the address is that of the last one
    FenceStatus status{};
    bool whole = false;           // all tables could be made, so all must be there
    bool brought_down = false;    // by us, because it could not be shut
    std::vector<Stray> strays{};  // shut under the names they have now
    std::string people{};         // addresses that people or programs put there
    TcWatch tc{};
    uint64_t told_ns = 0;  // when a repair was last reported
    uint64_t untold = 0;   // repairs since then
  };

  WireFence(FenceMeans means, KernelNetlink nft_events, KernelNetlink route_events)
      : means_(std::move(means)),
        nft_events_(std::move(nft_events)),
        route_events_(std::move(route_events)) {}
  void Check(Wire* wire);
  void FollowInterface(Wire* wire);
  void Lost(Wire* wire, const LinkIdentity& was);
  void NotifyGone(const Wire& wire);
  void AddDoubles(Wire* wire, const LinkIdentity& was);
  void DoubtStrays(Wire* wire);
  void CheckStrays(Wire* wire);
  std::string Locate(Stray* stray) const;
  bool IsConfigured(const std::string& name) const;
  void DropName(const Wire& wire, const std::string& name);
  void ShutStray(Wire* wire, Stray* stray);
  void WatchStray(Wire* wire, Stray* stray);
  void Repair(Wire* wire, const FenceReading& reading);
  bool RepairTc(Wire* wire, const std::string& name, uint32_t ifindex, TcWatch* watch);
  void Repaired(Wire* wire, const std::string& name, const std::string& missing, bool held);
  void Broken(Wire* wire, const Error& error);
  void CheckAddresses(Wire* wire);
  void Note(Wire* wire);
  void Notify(const Wire& wire, const std::string& what, const std::string& text);

  mutable FenceMeans means_;
  KernelNetlink nft_events_;
  KernelNetlink route_events_;
  Notifier notify_;
  std::vector<std::unique_ptr<Wire>> wires_;
  bool pending_ = false;
  uint64_t checked_ns_ = 0;  // start of the last or current check by Turn()
};

}  // namespace cygnet
