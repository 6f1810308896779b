// PlacementRules: whose request counts for one half of an SA: the operator's, else the first rule's
// that fits, else the client's, else the device's own. Hands out no key. Control thread.
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

// What the request depends on, besides the SA.
struct RequestFacts {
  bool direction_is_known = false;  // the half is certainly used
  bool any_device_is_auto = false;
  int32_t client_device = 0;  // what the client's interface stands for; DeviceOfClient
};

// The command is about the SA.
bool Covers(const PlacementCommand& command, const SaSpec& spec);

class PlacementRules {
 public:
  explicit PlacementRules(std::vector<PlacementRule> rules) : rules_(std::move(rules)) {}

  PlacementRequest RequestFor(const SaSpec& spec, Half half, const RequestFacts& facts) const;

  void SetRules(std::vector<PlacementRule> rules) { rules_ = std::move(rules); }
  // The newest command comes first; one for the same SAs is replaced. `ifindex`: of the device that
  // the command names. Errc::kNoSpace: there are too many.
  Status SetCommand(const PlacementCommand& command, int32_t ifindex);
  void ClearCommand(const PlacementCommand& command);
  // The SA is gone. `spi_lives_on`: another SA has its SPI, as after it went to other addresses.
  // Commands about the SPI alone stay in that case.
  template <typename Fn>
  void ForgetSa(const SaSpec& spec, Fn spi_lives_on) {
    std::erase_if(commands_, [&](const Command& c) {
      const PlacementCommand& words = c.words;
      if (words.spi != spec.spi) return false;
      return words.daddr.has_value() ? *words.daddr == spec.daddr : !spi_lives_on();
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

// The half is certainly used: XFRMA_SA_DIR or the offload request says it, or the addresses do.
bool DirectionIsKnown(const SaSpec& spec, Half half, const HostAddresses& own);

// The interface of the device that the client's request means. One that does not exist: the kernel
// asks its routes which it would be (xfrm_dev_state_add). REQUIRES: spec.offload
int32_t DeviceOfClient(const SaSpec& spec, std::span<const ControlDevice> devices,
                       const PlacementHost& host);

}  // namespace cygnet
