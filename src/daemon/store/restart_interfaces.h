// RestartInterfaces: what the policies of a restart file say of interfaces of the host, in their
// selectors and in requests for offload. They name one by its number, and an interface that was
// made anew has another one; its number may even be that of a different interface. So the file has
// the names beside them.
//
// A policy whose interface does not exist now is neither dropped nor moved to another interface. It
// is restored as a stand-in, which blocks what the rest of its selector matches on all interfaces
// (PolicySpec::unmet). The file keeps it as it was written.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "base/result.h"
#include "netlink/buffer.h"
#include "policy/policy.h"

namespace cygnet {

// Interfaces as the configuration or the host calls them. Both empty: numbers stay as they are.
struct InterfaceNames {
  std::function<std::string(int32_t number)> name_of{};         // empty text: unknown
  std::function<int32_t(const std::string& name)> number_of{};  // 0: it does not exist
};

using NamesByNumber = std::map<int32_t, std::string>;

// A message and the names of the numbers in it, as one record.
netlink::Buffer WithNames(const NamesByNumber& names, const netlink::Buffer& message);
struct NamedMessage {
  NamesByNumber names;
  std::span<const uint8_t> message;  // part of the record
};
Result<NamedMessage> ReadNamed(std::span<const uint8_t> record);

// Whether a policy is in force in place of one whose interface this host does not have: it is of no
// use to another one.
bool IsStandIn(const PolicySpec& policy);

class RestartInterfaces {
 public:
  // A policy as the file has it.
  struct Written {
    PolicySpec spec;
    NamesByNumber names{};
  };

  explicit RestartInterfaces(InterfaceNames names) : names_(std::move(names)) {}

  // --- Reading ---
  // Whether numbers without a name, by a version that wrote none, still mean the same interfaces.
  void SetStayed(bool stayed) { stayed_ = stayed; }
  // The policy with the numbers of now, without an offload whose interface does not exist. nullopt:
  // the interface of its selector does not exist.
  std::optional<PolicySpec> Renumber(const Written& policy);
  // What is in force in place of the policy from now on.
  PolicySpec StandInFor(const Written& policy);
  // The policy that a record about `id` means.
  PolicyId Find(PolicyId id, const NamesByNumber& names);
  // There were numbers without a name: by the next start they may mean other interfaces.
  bool found_unnamed() const { return found_unnamed_; }

  // --- Writing ---
  Written Write(PolicySpec spec) const;

 private:
  int32_t NumberNow(int32_t number, const NamesByNumber& names);
  const uint32_t* StandInOf(const PolicyId& id, const NamesByNumber& names) const;

  const InterfaceNames names_;
  bool stayed_ = false;
  bool found_unnamed_ = false;
  std::map<uint32_t, Written> stand_ins_;  // by the if_id, which no tunnel has
  std::unordered_multimap<std::size_t, uint32_t> by_addresses_;  // hash of addresses to if_id
};

}  // namespace cygnet
