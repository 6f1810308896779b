// The part of Placement that carries out the operator's orders.
#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>

#include "base/log.h"
#include "control/placement/explain.h"
#include "control/placement/placement.h"

namespace cygnet {
namespace {

// "spi 0x00001000 dst 192.0.2.2 reqid 7": the SAs that the command is for.
std::string SasOf(const PlacementCommand& command) {
  std::string text;
  const auto add = [&text](const std::string& words) { text += (text.empty() ? "" : " ") + words; };
  if (command.spi) {
    char spi[16];
    std::snprintf(spi, sizeof(spi), "0x%08x", command.spi->value);
    add(std::string("spi ") + spi);
  }
  if (command.daddr) add("dst " + ToString(*command.daddr, command.family));
  if (command.reqid) add("reqid " + std::to_string(command.reqid->value));
  return text;
}

}  // namespace

Result<MoveReport> Placement::SetEnabled(const std::string& name, bool enabled, OrderMark mark) {
  mark.since = clock_.WallSeconds();
  const auto i = devices_.Named(name);
  if (!i.has_value()) return SetEngineEnabled(name, enabled, mark);
  OffloadDevice* const device = devices_[*i].offload;
  if (device == nullptr) {
    return MakeError(Errc::kNotSupported, "device " + name + " does not offload");
  }
  devices_.SetEnabled(*i, enabled, mark);
  if (enabled) device->TryAgain();
  (void)TestIfDue(*i);
  Log(LogLevel::kInfo,
      "device " + name + ": offload " + (enabled ? "enabled" : "disabled") + " by the operator");
  // Halves that were on it come before those that waited for it.
  const int32_t ifindex = devices_[*i].ifindex;
  const auto concerns = [&](const PlacedHalf& h) {
    return h.IsOn(device) || (h.IsAway() && h.Wants(ifindex));
  };
  MoveReport report = placed_.MoveEach(
      [&](const PlacedSa&, const PlacedHalf& h) {
        return concerns(h) && (!enabled || h.due.has_value());
      },
      ReasonCode::kRequested);
  if (!enabled) return report;
  const MoveReport others = placed_.MoveEach(
      [&](const PlacedSa&, const PlacedHalf& h) {
        return concerns(h) && IsAwayReason(h.reason_code) && !h.due.has_value();
      },
      ReasonCode::kRequested);
  report.moved += others.moved;
  report.stayed += others.stayed;
  report.blocked += others.blocked;
  report.took_us += others.took_us;
  return report;
}

// A disabled engine gets no keys and gives up those that it has.
Result<MoveReport> Placement::SetEngineEnabled(const std::string& name, bool enabled,
                                               const OrderMark& mark) {
  CYGNET_RETURN_IF_ERROR(devices_.SetEngineEnabled(name, enabled, mark));
  Log(LogLevel::kInfo,
      "engine " + name + ": " + (enabled ? "enabled" : "disabled") + " by the operator");
  return Reevaluate();
}

Result<MoveReport> Placement::SetOverride(PlacementCommand command) {
  command.mark.since = clock_.WallSeconds();
  if (!command.spi && !command.daddr && !command.reqid) {
    return MakeError(Errc::kInvalid, "select the SAs by spi, dst or reqid");
  }
  int32_t ifindex = 0;
  if (command.device.has_value()) {
    const auto i = devices_.Named(*command.device);
    if (!i.has_value()) return MakeError(Errc::kNoDevice, "no device '" + *command.device + "'");
    ifindex = devices_[*i].ifindex;
  }
  if (command.clear) {
    if (!rules_.ClearCommand(command)) return NothingSet(command);
  } else {
    CYGNET_RETURN_IF_ERROR(CheckOffered(command));
    CYGNET_RETURN_IF_ERROR(rules_.SetCommand(command, ifindex));
  }
  return placed_.MoveEach(
      [&command](const PlacedSa& placed, const PlacedHalf&) {
        return Covers(command, placed.sa->spec());
      },
      ReasonCode::kRequested);
}

// The operator has probably mistyped: names what could be meant.
Error Placement::NothingSet(const PlacementCommand& command) const {
  constexpr std::size_t kMostNamed = 8;
  const std::vector<PlacementCommand> set = rules_.Commands();
  std::string text = "no placement is set for " + SasOf(command) + "; ";
  if (set.empty()) return MakeError(Errc::kNoEntry, text + "none is set at all");
  text += "set are: ";
  for (std::size_t i = 0; i < std::min(set.size(), kMostNamed); ++i) {
    text += (i == 0 ? "" : ", ") + SasOf(set[i]);
  }
  if (set.size() > kMostNamed) text += " and more (cygnet offload list)";
  return MakeError(Errc::kNoEntry, text);
}

std::vector<OperatorOrder> Placement::Orders() const {
  std::vector<OperatorOrder> orders = devices_.Orders();
  for (PlacementCommand& command : rules_.Commands()) {
    const OrderMark mark = command.mark;
    orders.push_back(
        {.kind = "placement", .name = {}, .placement = std::move(command), .mark = mark});
  }
  return orders;
}

// Refuses packet offload with its reason until a device offers it.
Status Placement::CheckOffered(const PlacementCommand& command) const {
  if (command.mode != PlacementMode::kPacket) return {};
  const bool any =
      std::any_of(devices_.all().begin(), devices_.all().end(), [&](const ControlDevice& d) {
        return d.offload != nullptr && (!command.device || *command.device == d.name) &&
               d.offload->caps().packet_offload &&
               devices_.caps(devices_.NumberOf(d.offload)).packet_offload;
      });
  if (any) return {};
  return MakeError(Errc::kNotSupported,
                   "no device offers packet offload (no-capability:packet-offload)");
}

Result<ExplainReport> Placement::Explain(const ExplainQuery& query) const {
  const auto number = devices_.Named(query.device);
  if (!number.has_value()) return MakeError(Errc::kNoDevice, "no device '" + query.device + "'");
  return ExplainPlacement(query, {.device = devices_.Inputs()[*number],
                                  .engines = &engines_,
                                  .engine_denied = devices_.engine_denied(),
                                  .look_aside = look_aside_,
                                  .gate = gate_});
}

}  // namespace cygnet
