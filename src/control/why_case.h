// Shared by why.cc and why_answers.cc: one packet whose fate is being told.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "control/why.h"
#include "control/why_text.h"

namespace cygnet {

struct Why::Case {
  const Way& way;
  const MtuQuery& packet;
  WhyReport* report;
  FlowDecision decision{};
  uint8_t egress = 0;  // number of the interface that it leaves by
  FlowKey decided{};   // the packet; fields that are open and decide nothing have some value

  const FlowKey& flow() const { return decided; }
  void Say(const char* step, std::string text, bool ok = true) const {
    report->steps.push_back({.step = step, .ok = ok, .text = std::move(text)});
  }
  // The packet ends here.
  void Drop(const char* step, DropReason reason, const std::string& text) const {
    report->verdict = WhyVerdict::kDropped;
    report->drop = reason;
    Say(step, Text(text, ": it is dropped (", Describe(reason).name, ")."), false);
  }
};

// " (the MTU of the interface nic0)": if the host is what limits the size; else "".
inline std::string LimitText(const MtuReport& mtu) {
  if (mtu.host_mtu == 0 || mtu.inner_mtu != mtu.host_mtu) return {};
  return Text(" (the limit of ", mtu.host_mtu_of, ")");
}

}  // namespace cygnet
