// OpenFields: whether an answer about a packet depends on what the question leaves open, its
// protocol or ports. Policies and SAs are tried with every value by which one of them chooses, and
// with one by which none does. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "control/mtu_report.h"
#include "datapath/data_path.h"
#include "datapath/flow_cache.h"

namespace cygnet {

class OpenFields {
 public:
  // What happens to one packet: a clause ("it leaves in clear"), and by which policy.
  struct Effect {
    std::string text{};
    const void* by = nullptr;
    bool operator==(const Effect& other) const { return text == other.text; }
  };
  using Decide = std::function<Effect(const FlowKey&)>;
  struct Found {
    std::vector<std::string> fields{};  // that decide; empty: the answer holds for all values
    std::string text{};                 // which values have which effect: a sentence
    FlowKey example{};                  // the flow with values by which nothing chooses
    bool several_policies = false;      // apply, to the same effect
    bool depends() const { return !fields.empty(); }
  };

  OpenFields(const MtuQuery& query, const FlowKey& flow);

  // A selector that may choose. `seen`: the flow as it is compared with; `reversed`: that of an
  // answer.
  void Add(const Selector& selector, const FlowKey& seen, int32_t ifindex, bool reversed);
  Found Compare(const Decide& decide) const;

 private:
  struct Axis {
    bool open = false;
    std::set<uint16_t> chosen{};  // by selectors
  };
  struct Grid;
  static constexpr std::size_t kMostFlows = 8192;

  std::vector<uint8_t> Protocols() const;
  std::vector<uint16_t> Values(const Axis& axis, uint8_t proto, uint16_t given) const;
  std::string NameOf(const FlowKey& flow) const;

  const FlowKey flow_;
  Axis proto_;
  Axis sport_;
  Axis dport_;
};

// Of what leaves the host by the interface `ifindex`.
OpenFields::Found OpenOutbound(const DataPath& path, const MtuQuery& query, const FlowKey& flow,
                               int32_t ifindex);

}  // namespace cygnet
