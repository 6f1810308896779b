// Source NAT rules of the host's packet filter, evaluated as far as needed to find those that apply
// to packets of Cygnet's policies. Such a packet is translated before the device sees it, and a
// policy that selects by source address no longer matches it.
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

// One condition of a rule. It matches if one of its names or ranges does.
struct NatCondition {
  enum class Field : uint8_t { kOutInterface, kFamily, kSource, kDestination, kOther };
  Field field = Field::kOther;
  bool negated = false;
  bool partly_unknown = false;  // some of its values could not be parsed
  int family = 0;               // kFamily; for addresses: the family of the header
  std::vector<std::string> names{};
  std::vector<AddressRange> ranges{};
};

struct NatRule {
  enum class Verdict : uint8_t { kGoesOn, kEnds, kReturns, kJumps, kGoesTo, kTranslates };
  std::string text;  // for people
  std::vector<NatCondition> conditions{};
  Verdict verdict = Verdict::kGoesOn;
  std::string target{};              // kJumps, kGoesTo
  bool masquerades = false;          // kTranslates: to an address of the output interface
  std::optional<AddressRange> to{};  // kTranslates: the new source; nullopt: unknown
};

struct NatTable {
  std::vector<int> families;                          // of the packets it sees
  std::map<std::string, std::vector<NatRule>> rules;  // by chain
  std::vector<std::string> base_chains;               // with hook postrouting
};

// From a ruleset given as nftables JSON.
std::vector<NatTable> ReadNatTables(const Json& ruleset);
// From the output of iptables-save or ip6tables-save.
NatTable ReadSavedNat(std::string_view saved, int family);

// The traffic that a policy selects.
struct PolicyTraffic {
  std::string policy;  // for people
  std::string to;      // its destination, for people
  AddressRange source;
  AddressRange destination;
  bool by_source = true;  // false: any change of the source address matters
};
// From the daemon's reports: the policies that protect or block outgoing traffic.
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
// One for each rule that translates some of that traffic without an earlier exemption.
std::vector<NatFinding> FindTranslations(const NatTable& table,
                                         const std::vector<PolicyTraffic>& traffic,
                                         const std::vector<OutDevice>& devices);

}  // namespace cygnet
