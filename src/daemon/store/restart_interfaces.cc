#include "daemon/store/restart_interfaces.h"

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "base/bytes.h"
#include "base/log.h"
#include "base/random.h"

namespace cygnet {
namespace {

constexpr std::size_t kNumberBytes = 4;

Error Malformed() { return MakeError(Errc::kInvalid, "its names of interfaces are malformed"); }

// Of a number that an earlier version wrote without one. No interface can have it.
std::string NameOf(int32_t number, const NamesByNumber& names) {
  const auto found = names.find(number);
  return found == names.end() ? fmt::format("number {}", number) : found->second;
}

// Apart from the number of the interface.
bool IsSame(PolicyId a, PolicyId b) {
  a.selector.ifindex = b.selector.ifindex = 0;
  return a.selector == b.selector && a.direction == b.direction && a.type == b.type &&
         a.mark_value == b.mark_value && a.mark_mask == b.mark_mask && a.if_id == b.if_id;
}

// Policies of one interface mostly differ in their addresses.
std::size_t AddressesHash(const Selector& selector) {
  const std::hash<IpAddress> hash;
  return hash(selector.saddr) ^ 3 * hash(selector.daddr);
}

}  // namespace

netlink::Buffer WithNames(const NamesByNumber& names, const netlink::Buffer& message) {
  netlink::Buffer record{static_cast<uint8_t>(names.size())};
  for (const auto& [number, name] : names) {
    for (std::size_t i = kNumberBytes; i-- > 0;) {
      record.push_back(static_cast<uint8_t>(static_cast<uint32_t>(number) >> (8 * i)));
    }
    record.push_back(static_cast<uint8_t>(name.size()));
    record.insert(record.end(), name.begin(), name.end());
  }
  record.insert(record.end(), message.begin(), message.end());
  return record;
}

Result<NamedMessage> ReadNamed(std::span<const uint8_t> record) {
  NamedMessage read;
  if (record.empty()) return Malformed();
  const std::size_t count = record[0];
  record = record.subspan(1);
  for (std::size_t i = 0; i < count; ++i) {
    if (record.size() <= kNumberBytes) return Malformed();
    uint32_t number = 0;
    for (std::size_t at = 0; at < kNumberBytes; ++at) number = number << 8 | record[at];
    const std::size_t length = record[kNumberBytes];
    record = record.subspan(kNumberBytes + 1);
    if (record.size() < length) return Malformed();
    const auto name = record.first(length);
    read.names[static_cast<int32_t>(number)].assign(name.begin(), name.end());
    record = record.subspan(length);
  }
  read.message = record;
  return read;
}

// 0: it does not exist.
int32_t RestartInterfaces::NumberNow(int32_t number, const NamesByNumber& names) {
  if (!names_.number_of) return number;
  const auto name = names.find(number);
  if (name != names.end()) return names_.number_of(name->second);
  found_unnamed_ = true;
  return stayed_ ? number : 0;
}

std::optional<PolicySpec> RestartInterfaces::Renumber(const Written& policy) {
  PolicySpec now = policy.spec;
  if (now.offload.has_value()) {
    now.offload->ifindex = NumberNow(now.offload->ifindex, policy.names);
    // Without its offload the policy still blocks what has no SA.
    if (now.offload->ifindex == 0) now.offload = std::nullopt;
  }
  if (now.selector.ifindex == 0) return now;
  now.selector.ifindex = NumberNow(now.selector.ifindex, policy.names);
  return now.selector.ifindex == 0 ? std::nullopt : std::optional(std::move(now));
}

const uint32_t* RestartInterfaces::StandInOf(const PolicyId& id, const NamesByNumber& names) const {
  if (id.selector.ifindex == 0) return nullptr;
  const auto [begin, end] = by_addresses_.equal_range(AddressesHash(id.selector));
  for (auto it = begin; it != end; ++it) {
    const Written& written = stand_ins_.at(it->second);
    const int32_t number = written.spec.selector.ifindex;
    if (IsSame(IdOf(written.spec), id) &&
        NameOf(number, written.names) == NameOf(id.selector.ifindex, names)) {
      return &it->second;
    }
  }
  return nullptr;
}

bool IsStandIn(const PolicySpec& policy) {
  return policy.unmet && policy.mark_mask == ~uint32_t{0} && policy.mark_value == ~policy.if_id;
}

// Its if_id is random, so that no tunnel has it, and its mark is another number.
PolicySpec RestartInterfaces::StandInFor(const Written& policy) {
  const uint32_t* known = StandInOf(IdOf(policy.spec), policy.names);
  const uint32_t if_id =
      known != nullptr ? *known : static_cast<uint32_t>(RandomWord()) | uint32_t{1} << 31;
  Written written = policy;
  const int32_t number = policy.spec.selector.ifindex;
  const std::string name = NameOf(number, policy.names);
  written.names[number] = name;
  if (known == nullptr) by_addresses_.emplace(AddressesHash(policy.spec.selector), if_id);
  stand_ins_[if_id] = std::move(written);
  PolicySpec stand_in = policy.spec;
  stand_in.selector.ifindex = 0;
  stand_in.if_id = if_id;
  stand_in.mark_value = ~if_id;
  stand_in.mark_mask = ~uint32_t{0};
  stand_in.unmet = true;
  stand_in.offload = std::nullopt;
  Log(LogLevel::kWarning,
      fmt::format("restart file: a policy selects the interface \"{}\", which Cygnet does not have "
                  "now: it blocks what the rest of its selector matches on all interfaces (cygnet "
                  "policy shows it with if_id {:#x}), until it is deleted or cygnetd starts with "
                  "that interface",
                  name, if_id));
  return stand_in;
}

PolicyId RestartInterfaces::Find(PolicyId id, const NamesByNumber& names) {
  if (id.selector.ifindex == 0) return id;
  if (const uint32_t* if_id = StandInOf(id, names)) {
    id.selector.ifindex = 0;
    id.if_id = *if_id;
    id.mark_value = ~*if_id;
    id.mark_mask = ~uint32_t{0};
    return id;
  }
  id.selector.ifindex = NumberNow(id.selector.ifindex, names);
  return id;
}

RestartInterfaces::Written RestartInterfaces::Write(PolicySpec spec) const {
  if (const auto stand_in = stand_ins_.find(spec.if_id); stand_in != stand_ins_.end()) {
    Written written = stand_in->second;
    written.spec.index = spec.index;
    return written;
  }
  Written written{.spec = std::move(spec)};
  const auto name = [&](int32_t number) {
    if (number == 0 || !names_.name_of) return;
    const std::string text = names_.name_of(number);
    if (!text.empty()) written.names[number] = text;
  };
  name(written.spec.selector.ifindex);
  if (written.spec.offload.has_value()) name(written.spec.offload->ifindex);
  return written;
}

}  // namespace cygnet
