// Rules of the host's packet filter that give a packet another source address, read as far as it
// takes to tell whether they get hold of what Cygnet's policies are for. Such a packet is
// translated before the device sees it, and the policy by its source address does not match it any
// more.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cygnet {

using Json = nlohmann::ordered_json;

struct AddressRange {
  int family = 0;  // AF_INET, AF_INET6; addresses are left-aligned
  std::array<uint8_t, 16> first{};
  std::array<uint8_t, 16> last{};
  bool Holds(const AddressRange& other) const;
  bool Meets(const AddressRange& other) const;
};

// "10.1.0.0/16", "10.1.0.1-10.1.0.9", "fd00::1".
std::optional<AddressRange> ParseRange(const std::string& text);

// One question that a rule asks; it fits when one of its names or ranges does.
struct NatCondition {
  enum class Field : uint8_t { kOutInterface, kFamily, kSource, kDestination, kOther };
  Field field = Field::kOther;
  bool negated = false;
  bool partly_unknown = false;  // it names more than could be read
  int family = 0;               // kFamily; of addresses: that of the header they are in
  std::vector<std::string> names{};
  std::vector<AddressRange> ranges{};
};

struct NatRule {
  enum class Verdict : uint8_t { kGoesOn, kEnds, kReturns, kJumps, kGoesTo, kTranslates };
  std::string text;  // for people
  std::vector<NatCondition> conditions{};
  Verdict verdict = Verdict::kGoesOn;
  std::string target{};              // kJumps, kGoesTo
  bool masquerades = false;          // kTranslates: to an address of the out-interface
  std::optional<AddressRange> to{};  // kTranslates: to one of these; nullopt: unknown
};

struct NatTable {
  std::vector<int> families;                          // of the packets that it sees
  std::map<std::string, std::vector<NatRule>> rules;  // by chain
  std::vector<std::string> base_chains;               // that ask before a packet leaves
};

// Of nftables' JSON of a ruleset.
std::vector<NatTable> ReadNatTables(const Json& ruleset);
// Of what iptables-save or ip6tables-save prints.
NatTable ReadSavedNat(std::string_view saved, int family);

// What a policy is for.
struct PolicyTraffic {
  std::string policy;  // for people
  std::string to;      // its destination, likewise
  AddressRange source;
  AddressRange destination;
  bool by_source = true;  // false: it does not matter what the new source address is
};
// Of the daemon's reports of policies: those that protect or block what leaves.
std::vector<PolicyTraffic> TrafficOf(const std::vector<Json>& policies);

struct OutDevice {
  std::string name;
  std::vector<AddressRange> addresses;
};

struct NatFinding {
  std::string rule;
  std::string device;
  std::vector<const PolicyTraffic*> defeats;  // at least one
};
// One for each rule that takes some of that traffic, when no rule before it exempts it.
std::vector<NatFinding> FindTranslations(const NatTable& table,
                                         const std::vector<PolicyTraffic>& traffic,
                                         const std::vector<OutDevice>& devices);

}  // namespace cygnet
