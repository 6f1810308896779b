// Why: answers "what would happen to this packet" by asking the functions that workers ask. It
// changes nothing: no counter, no time of use, no ACQUIRE, no neighbour. Control thread.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <utility>

#include "control/announcer.h"
#include "control/mtu_explain.h"
#include "control/placement/placement.h"
#include "control/tunnel_control.h"
#include "control/why_report.h"
#include "crypto/engine_set.h"
#include "datapath/data_path.h"
#include "datapath/flow_cache.h"

namespace cygnet {

class Why {
 public:
  struct Sources {
    const DataPath& path;
    const Announcer& announcer;
    const TunnelControl& tunnels;
    const Placement& placement;
    const EngineSet& engines;
    const MtuExplain& mtu;
    // "group vpn belongs to node b": why the SA has no numbers; empty: unknown.
    std::function<std::string(const Sa&)> why_mute{};
  };
  explicit Why(Sources sources) : from_(std::move(sources)) {}

  // An error names the part of the query that cannot be answered.
  Result<WhyReport> Explain(const WhyQuery& query) const;

 private:
  using Way = MtuExplain::Way;
  struct Case;

  Status FindInterface(const std::string& name, MtuQuery* packet, WhyReport* report) const;
  void DescribeWay(const Way& way, WhyReport* report) const;
  void NotOurs(const Way& way, WhyReport* report) const;
  void AddNotes(const Way& way, WhyReport* report) const;
  void Refused(const Way& way, WhyReport* report) const;
  bool Depends(Case* of) const;
  bool IsLinkMessage(Case* of) const;
  void Decide(Case* of) const;
  void LeaveInClear(Case* of) const;
  void DescribePolicy(const Case& of) const;
  void DescribeNoSa(Case* of) const;
  std::string MissingText(const Case& of) const;
  void Protect(Case* of) const;
  bool CheckSa(const OutboundSa& sa, bool last, Case* of) const;
  bool CheckNumbers(const OutboundSa& sa, Case* of) const;
  void DescribePlace(const OutboundSa& sa, Case* of) const;
  bool CheckHop(Case* of) const;
  void AddAnswers(const Case& of) const;
  const Sa* InboundFor(const Sa& outbound) const;
  FlowKey AnswerTo(const Case& of, const FlowKey& flow) const;
  bool AnswersDepend(const Case& of, std::span<const Sa* const> secpath) const;
  void RefuseAnswers(const Case& of, DropReason reason, const std::string& text) const;

  const Sources from_;
};

}  // namespace cygnet
