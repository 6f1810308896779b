// WireFence: keeps wires shut. It puts the fence of each in force, listens to what changes it
// (nftables, tc, interfaces, addresses), reads it back, and puts it back at once when somebody took
// it away. It never takes it away itself: the fence stays when the daemon ends, until an operator
// releases the wire by name (fence_command.h).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/fence_status.h"
#include "daemon/fence/fence_means.h"

namespace cygnet {

// Control thread.
class WireFence {
 public:
  // What happened to the fence of a device, for records: device, "fence-restored", a sentence.
  using Teller = std::function<void(const std::string& device, const std::string& what,
                                    const std::string& explanation)>;

  static Result<std::unique_ptr<WireFence>> Create(
      FenceOwnership ownership = FenceOwnership::kOwned);

  void SetTeller(Teller teller) { tell_ = std::move(teller); }
  // Shuts the wire, and keeps it shut from now on; it need not be there yet.
  Status Add(const std::string& device, const std::string& wire);
  // Of a device that was added; stays where it is.
  const FenceStatus* status(const std::string& device) const;

  // Readable when something changed that a fence hangs on.
  std::vector<int> event_fds() const { return {nft_events_.fd(), route_events_.fd()}; }
  void OnEvents();
  // To be called every turn of the loop: checks after events, at most every 20 ms, and once a
  // second whatever happens.
  void Turn(uint64_t now_ns);
  // Reads back what is in force for every wire, and puts back what is not.
  void Check();

 private:
  struct Wire {
    std::string device;
    std::string name;
    uint32_t ifindex = 0;  // 0: it is not there
    FenceStatus status{};
    bool whole = false;                  // all tables could be made, so all are to be there
    bool brought_down = false;           // by us, for want of a fence
    std::vector<std::string> renamed{};  // what it was called since: shut as well
    std::string people{};                // addresses that people put there
    bool tc_missing = false;             // it was tried in vain, and said
    uint64_t tc_tried_ns = 0;
    uint64_t told_ns = 0;  // of a repair
    uint64_t untold = 0;   // repairs since
  };

  WireFence(FenceMeans means, KernelNetlink nft_events, KernelNetlink route_events)
      : means_(std::move(means)),
        nft_events_(std::move(nft_events)),
        route_events_(std::move(route_events)) {}
  void Check(Wire* wire);
  void FollowInterface(Wire* wire);
  void Lost(Wire* wire, uint32_t was);
  void Repair(Wire* wire, const FenceReading& reading);
  void RepairTc(Wire* wire);
  void Repaired(Wire* wire, const std::string& missing, bool held);
  void Broken(Wire* wire, const Error& error);
  void CheckAddresses(Wire* wire);
  void Note(Wire* wire);
  void Tell(const Wire& wire, const std::string& what, const std::string& text);

  FenceMeans means_;
  KernelNetlink nft_events_;
  KernelNetlink route_events_;
  Teller tell_;
  std::vector<std::unique_ptr<Wire>> wires_;
  bool pending_ = false;
  uint64_t checked_ns_ = 0;  // when Turn() checked last, or checks now
};

}  // namespace cygnet
