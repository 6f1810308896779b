#include "control/device_policies.h"

#include <algorithm>
#include <string>

#include "base/log.h"
#include "control/placement/rules.h"

namespace cygnet {
namespace {

// Whether it is given to devices for the sake of an SA. A chain of several transforms never runs in
// packet mode.
bool MayNeedDevice(const PolicySpec& policy) {
  return policy.direction == PolicyDirection::kOut && policy.action == PolicyAction::kAllow &&
         !policy.offload.has_value() && policy.templates.size() == 1;
}

bool OffersPackets(const ControlDevice& device) {
  return device.offload != nullptr && device.offload->packet_offload() != nullptr &&
         device.offload->caps().packet_offload && device.terms.mode != PlacementMode::kNo &&
         device.terms.allow_packet;
}

Error ErrorOf(const DeviceRefusal& refusal) {
  constexpr const char* kWeakText = "Device failed to offload this policy";
  return MakeError(refusal.code, refusal.text.empty() ? kWeakText : refusal.text);
}

// The client is not at fault, so a refusal does not stop its request. The device drops what the
// policy would protect, and the policy is offered again.
void LogRefusal(const ControlDevice& device, const PolicySpec& policy,
                const DeviceRefusal& refusal) {
  Log(LogLevel::kError,
      "device " + device.name + ": does not take the policy " + ToString(policy.selector) + " (" +
          refusal.text +
          "): it drops the packets of SAs that were placed in packet mode there, until it takes "
          "the policy; place the SAs elsewhere (cygnet placement set)");
}

// The kernel asks the route in the direction of the packets (xfrm_dev_state_add).
SaSpec EndsOf(const SaSpec& spec) {
  SaSpec ends;
  ends.saddr = spec.saddr;
  ends.daddr = spec.daddr;
  ends.family = spec.family;
  ends.offload = spec.offload;
  return ends;
}

using ByReqid = std::unordered_map<uint32_t, std::set<uint64_t>>;

const std::set<uint64_t>& NumbersOf(const ByReqid& map, Reqid reqid) {
  static const std::set<uint64_t> kNone;
  const auto at = map.find(reqid.value);
  return at == map.end() ? kNone : at->second;
}

void EraseFrom(ByReqid* map, Reqid reqid, uint64_t number) {
  const auto at = map->find(reqid.value);
  if (at == map->end()) return;
  at->second.erase(number);
  if (at->second.empty()) map->erase(at);
}

}  // namespace

bool FitsForDevice(const PolicySpec& policy, const SaSpec& sa) {
  if (!MayNeedDevice(policy)) return false;
  const Template& tmpl = policy.templates.front();
  if (tmpl.reqid != sa.reqid || tmpl.proto != sa.proto ||
      tmpl.mode != static_cast<uint8_t>(sa.mode) || (tmpl.spi.value != 0 && tmpl.spi != sa.spi)) {
    return false;
  }
  if (sa.mode == SaMode::kTransport) return true;  // the packet decides
  return tmpl.family == sa.family && tmpl.daddr == sa.daddr &&
         (tmpl.saddr.IsAny() || tmpl.saddr == sa.saddr || sa.saddr.IsAny());
}

void DevicePolicies::Attach(const PlacementDevices* devices, PlacementHost host) {
  devices_ = devices;
  host_ = std::move(host);
  for (const ControlDevice& d : devices->all()) {
    const bool offers = d.offload != nullptr && d.offload->packet_offload() != nullptr;
    tables_.push_back(offers ? std::make_unique<DevicePolicyTable>(d.offload, &path_.quiescence)
                             : nullptr);
  }
  complained_.resize(tables_.size());
}

// --- Requests of clients ---

std::optional<std::size_t> DevicePolicies::DeviceOf(int32_t ifindex) const {
  const auto with = [this](int32_t wanted) -> std::optional<std::size_t> {
    for (std::size_t i = 0; i < devices_->size(); ++i) {
      if ((*devices_)[i].ifindex == wanted) return i;
    }
    return std::nullopt;
  };
  if (const auto device = with(ifindex)) return device;
  const int32_t under = host_.device_under(ifindex);
  return under == 0 ? std::nullopt : with(under);
}

Status DevicePolicies::Resolve(PolicySpec* spec) const {
  if (!spec->offload.has_value()) return {};
  const auto number = DeviceOf(spec->offload->ifindex);
  if (!number.has_value() && !host_.interface_exists(spec->offload->ifindex)) {
    return MakeError(Errc::kInvalid);
  }
  if (!number.has_value() || !OffersPackets((*devices_)[*number])) {
    return MakeError(Errc::kInvalid, "Policy offload is not supported");
  }
  const ControlDevice& device = (*devices_)[*number];
  if (spec->direction == PolicyDirection::kForward) {  // drivers refuse it
    return MakeError(Errc::kInvalid, device.driver + ": Cannot offload forward policy");
  }
  const PlacementDevice input = devices_->Inputs()[*number];
  for (const auto& obstacle : {input.denied, input.away}) {
    if (obstacle.has_value()) {
      return MakeError(Errc::kNotSupported, "packet offload: " + obstacle->FullText());
    }
  }
  if (!input.caps->packet_offload) {
    const PlacementReason withdrawn{ReasonCode::kWithdrawn, "packet-offload"};
    return MakeError(Errc::kNotSupported, "packet offload: " + withdrawn.FullText());
  }
  spec->offload->ifindex = device.ifindex;
  return {};
}

void DevicePolicies::Resolve(SaSpec* spec) const {
  if (!spec->offload.has_value() || spec->offload->mode != OffloadMode::kPacket) return;
  spec->offload->ifindex = DeviceOfClient(EndsOf(*spec), devices_->all(), host_);
}

DevicePolicies::Offer::~Offer() {
  if (owner_ == nullptr) return;
  for (const auto& [device, id] : held_) owner_->tables_[device]->Withdraw(id);
}

Result<DevicePolicies::Offer> DevicePolicies::Give(const PolicySpec& spec, uint64_t place) {
  Offer offer;
  offer.owner_ = this;
  DevicePolicyTable::Id id = 0;
  if (spec.offload.has_value()) {
    const std::size_t device = DeviceOf(spec.offload->ifindex).value();
    if (const auto refusal = tables_[device]->Give(spec, place, &id)) return ErrorOf(*refusal);
    offer.held_.emplace_back(device, id);
  } else if (MayNeedDevice(spec)) {
    for (const uint64_t sa : NumbersOf(followers_of_, spec.templates.front().reqid)) {
      const Follower& follower = followers_.at(sa);
      const bool known = std::any_of(offer.held_.begin(), offer.held_.end(), [&](const auto& held) {
        return held.first == follower.device;
      });
      if (known || !FitsForDevice(spec, follower.sa->spec())) continue;
      const auto refusal = tables_[follower.device]->Want(spec, place, &id);
      if (refusal.has_value()) LogRefusal((*devices_)[follower.device], spec, *refusal);
      offer.held_.emplace_back(follower.device, id);
    }
  }
  return offer;
}

void DevicePolicies::Accept(Offer offer, const std::shared_ptr<Policy>& policy) {
  if (std::all_of(tables_.begin(), tables_.end(), [](const auto& t) { return t == nullptr; })) {
    return;  // no device offers packet offload: nothing is kept of policies
  }
  const auto before = rows_.find(policy->number);
  if (before != rows_.end()) Take(*before->second.policy);
  Row row{.policy = policy, .held = {}};
  for (const auto& [device, id] : std::exchange(offer.held_, {})) {
    tables_[device]->Accept(id, policy->place);
    row.held.push_back({.device = device, .id = id, .sas = 0});
  }
  if (MayNeedDevice(policy->spec)) {
    const Reqid reqid = policy->spec.templates.front().reqid;
    std::set<uint64_t>& numbers = policies_of_[reqid.value];
    numbers.insert(numbers.end(), policy->number);  // mostly the largest
    for (const uint64_t sa : NumbersOf(followers_of_, reqid)) {
      const Follower& follower = followers_.at(sa);
      if (FitsForDevice(policy->spec, follower.sa->spec())) (void)Need(&row, follower.device);
    }
    // SAs may have left since the offer.
    std::erase_if(row.held, [this](const Held& held) {
      if (held.sas == 0) tables_[held.device]->Take(held.id);
      return held.sas == 0;
    });
  } else if (row.held.empty()) {
    return;
  }
  rows_.emplace(policy->number, std::move(row));
}

void DevicePolicies::Take(const Policy& policy) {
  const auto at = rows_.find(policy.number);
  if (at == rows_.end()) return;
  for (const Held& held : at->second.held) tables_[held.device]->Take(held.id);
  if (MayNeedDevice(policy.spec)) {
    EraseFrom(&policies_of_, policy.spec.templates.front().reqid, policy.number);
  }
  rows_.erase(at);
}

// --- SAs in packet mode that no client has requested ---

std::optional<DeviceRefusal> DevicePolicies::Follow(const SaPtr& sa, std::size_t device) {
  const auto known = followers_.find(sa->number);
  if (known != followers_.end() && known->second.device == device) return std::nullopt;
  std::optional<DeviceRefusal> first;
  const Reqid reqid = sa->spec().reqid;
  for (const uint64_t policy : NumbersOf(policies_of_, reqid)) {
    Row& row = rows_.at(policy);
    if (!FitsForDevice(row.policy->spec, sa->spec())) continue;
    auto refusal = Need(&row, device);
    if (!first.has_value()) first = std::move(refusal);
  }
  if (known != followers_.end()) Forget(sa->number);
  followers_.emplace(sa->number, Follower{.sa = sa, .device = device});
  followers_of_[reqid.value].insert(sa->number);
  return first;
}

void DevicePolicies::Forget(uint64_t sa_number) {
  const auto at = followers_.find(sa_number);
  if (at == followers_.end()) return;
  const Follower follower = std::move(at->second);
  followers_.erase(at);
  const Reqid reqid = follower.sa->spec().reqid;
  EraseFrom(&followers_of_, reqid, sa_number);
  for (const uint64_t policy : NumbersOf(policies_of_, reqid)) {
    Row& row = rows_.at(policy);
    if (FitsForDevice(row.policy->spec, follower.sa->spec())) Release(&row, follower.device);
  }
}

std::optional<DeviceRefusal> DevicePolicies::Need(Row* row, std::size_t device) {
  for (Held& held : row->held) {
    if (held.device != device) continue;
    ++held.sas;
    return std::nullopt;
  }
  Held held{.device = device, .id = 0, .sas = 1};
  auto refusal = tables_[device]->Want(row->policy->spec, row->policy->place, &held.id);
  row->held.push_back(held);
  if (refusal.has_value()) LogRefusal((*devices_)[device], row->policy->spec, *refusal);
  return refusal;
}

void DevicePolicies::Release(Row* row, std::size_t device) {
  const auto held = std::find_if(row->held.begin(), row->held.end(),
                                 [device](const Held& h) { return h.device == device; });
  if (held == row->held.end() || --held->sas != 0) return;
  tables_[device]->Take(held->id);
  row->held.erase(held);
}

// --- Devices ---

void DevicePolicies::GiveAgain(std::size_t device) {
  DevicePolicyTable* table = tables_[device].get();
  if (table == nullptr || !(*devices_)[device].offload->offload_up()) return;
  const auto refusal = table->GiveAgain();
  if (refusal.has_value() && !complained_[device]) {
    Log(LogLevel::kError, "device " + (*devices_)[device].name + ": does not take back a policy (" +
                              refusal->text +
                              "): it drops the packets of this policy until it takes it");
  }
  complained_[device] = refusal.has_value();
}

void DevicePolicies::Tick() {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    if (tables_[i] != nullptr && !tables_[i]->complete()) GiveAgain(i);
  }
}

std::vector<std::shared_ptr<Policy>> DevicePolicies::RequestedOn(std::size_t device) const {
  std::vector<std::shared_ptr<Policy>> all;
  for (const auto& [number, row] : rows_) {
    const bool requested = std::any_of(row.held.begin(), row.held.end(), [device](const Held& h) {
      return h.device == device && h.sas == 0;
    });
    if (requested) all.push_back(row.policy);
  }
  return all;
}

void DevicePolicies::TakeAll() {
  while (!rows_.empty()) Take(*std::shared_ptr<Policy>(rows_.begin()->second.policy));
  followers_.clear();
  followers_of_.clear();
}

}  // namespace cygnet
