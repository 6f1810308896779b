// PlacementRules: decides whose request applies to one half of an SA: the operator's, else the
// first matching rule's, else the client's, else the device's own. Hands out no key. Control
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "control/placement/report.h"
#include "control/placement/settings.h"
#include "datapath/data_path.h"
#include "datapath/placement_request.h"

namespace cygnet {

// Inputs of the request other than the SA.
struct RequestFacts {
  bool direction_is_known = false;  // the half is certainly in use
  bool any_device_is_auto = false;
  int32_t client_device = 0;  // of the device below the client's interface; DeviceOfClient
};

// True if the command applies to the SA.
bool Covers(const PlacementCommand& command, const SaSpec& spec);

class PlacementRules {
 public:
  explicit PlacementRules(std::vector<PlacementRule> rules) : rules_(std::move(rules)) {}

  PlacementRequest RequestFor(const SaSpec& spec, Half half, const RequestFacts& facts) const;

  void SetRules(std::vector<PlacementRule> rules) { rules_ = std::move(rules); }
  // The newest command comes first and replaces one for the same SAs. `ifindex`: of the device that
  // the command names. Errc::kNoSpace: too many commands.
  Status SetCommand(const PlacementCommand& command, int32_t ifindex);
  // False: none was for exactly these SAs.
  bool ClearCommand(const PlacementCommand& command);
  // Those in force, newest first.
  std::vector<PlacementCommand> Commands() const;
  // The SA was removed, and with it the commands that name its SPI. `covers_another(command)`: it
  // covers an SA that lives on, as after a move; then it stays.
  template <typename Fn>
  void ForgetSa(const SaSpec& spec, Fn covers_another) {
    std::erase_if(commands_, [&](const Command& c) {
      const PlacementCommand& words = c.words;
      return words.spi == spec.spi && (!words.daddr || *words.daddr == spec.daddr) &&
             !covers_another(words);
    });
  }

 private:
  struct Command {
    PlacementCommand words;
    int32_t ifindex = 0;  // 0: no device is named
  };

  std::vector<PlacementRule> rules_;
  std::vector<Command> commands_;  // newest first
};

// True if the half is certainly in use: XFRMA_SA_DIR, the offload request or the addresses show it.
bool DirectionIsKnown(const SaSpec& spec, Half half, const HostAddresses& own);

// The interface of the device that the client's request means. If the client's interface does not
// exist, the route decides, as in the kernel (xfrm_dev_state_add). REQUIRES: spec.offload
int32_t DeviceOfClient(const SaSpec& spec, std::span<const ControlDevice> devices,
                       const PlacementHost& host);

}  // namespace cygnet
