#include "daemon/cluster/cluster_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/numbers/keyed_hash.h"

namespace cygnet {
namespace {

constexpr const char* kOut = "out";
constexpr const char* kIn = "in";
constexpr int kTries = 4;
// Of entries. etcd takes requests of 1.5 MiB, and an entry grows by a third on the way.
constexpr std::size_t kStepsPerTxn = kEtcdMaxTxnOps - StoreSession::kMaxGuards;
constexpr std::size_t kBytesPerTxn = 512u << 10;

std::string RowName(const NumberId& id, const char* kind) {
  return fmt::format("num/{:02x}/{}", fmt::join(id, ""), kind);
}

KeyMaterial SecretOfEra(const KeyMaterial& secret, uint64_t era) {
  const std::string text = "era " + std::to_string(era);
  std::array<uint8_t, kNumberSecretBytes> hash =
      KeyedHash(secret, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  KeyMaterial made(hash);
  SecureWipe(hash.data(), hash.size());
  return made;
}

// "192.0.2.1/24 dev nic0"
std::vector<ParsedAddress> AddressesOf(const ClusterGroupConfig& group) {
  std::vector<ParsedAddress> addresses;
  for (const std::string& text : group.addresses) {
    const auto address = ParseAddress(std::string_view(text).substr(0, text.find_first_of("/ ")));
    if (address.has_value()) addresses.push_back(*address);
  }
  return addresses;
}

}  // namespace

std::string ClusterPrefix(const std::string& cluster) { return "/cygnet/v1/" + cluster + "/"; }

Result<std::unique_ptr<ClusterStore>> ClusterStore::Open(const Params& params,
                                                         const KeyMaterial& secret,
                                                         const Clock* clock) {
  if (secret.size() < kNumberSecretBytes) {
    return MakeError(Errc::kInvalid, "cluster.secret_file: it needs 32 bytes or more");
  }
  auto anchor = ClusterAnchor::Open(params.state_file, params.cluster, params.node);
  if (!anchor) return anchor.error();
  auto store =
      std::unique_ptr<ClusterStore>(new ClusterStore(params, secret, *std::move(anchor), clock));
  store->session_.Meet();
  return store;
}

ClusterStore::ClusterStore(const Params& params, const KeyMaterial& secret, ClusterAnchor anchor,
                           const Clock* clock)
    : prefix_(ClusterPrefix(params.cluster)),
      secret_(secret.Clone()),
      session_({.etcd = params.etcd,
                .prefix = prefix_,
                .node = params.node,
                .incarnation = params.incarnation,
                .timeout_ms = params.timeout_ms,
                .probe_timeout_ms = params.probe_timeout_ms,
                .probe_each_ms = params.probe_each_ms},
               std::move(anchor), clock) {
  for (const ClusterGroupConfig& group : params.groups) {
    addresses_.push_back(AddressesOf(group));
    session_.AddGroup(group.name);
  }
  session_.client()->SetWhileWaiting(params.while_waiting);
}

// --- Groups ---

void ClusterStore::SetOwned(GroupId group, int64_t owner_revision) {
  session_.SetOwned(group, owner_revision);
}

void ClusterStore::SetNotOwned(GroupId group) { session_.SetNotOwned(group); }

bool ClusterStore::Owns(GroupId group) const { return session_.Owns(group); }

GroupId ClusterStore::GroupOf(const SaSpec& spec) const {
  const auto group_with = [&](const IpAddress& address) -> GroupId {
    for (std::size_t i = 0; i < addresses_.size(); ++i) {
      for (const ParsedAddress& own : addresses_[i]) {
        if (own.family == spec.family && own.address == address) return static_cast<GroupId>(i + 1);
      }
    }
    return 0;
  };
  if (spec.direction == SaDirection::kIn) return group_with(spec.daddr);
  const GroupId group = group_with(spec.saddr);
  return group != 0 || spec.direction == SaDirection::kOut ? group : group_with(spec.daddr);
}

void ClusterStore::Probe() { session_.Probe(); }

std::string ClusterStore::fault() const { return session_.fault(); }

// --- Names ---

Result<NumberIdentity> ClusterStore::Identify(const SaSpec& spec) {
  const uint64_t era = session_.era();
  if (era == 0) {
    const Status ready = session_.Ready();
    return ready ? MakeError(Errc::kNetworkDown, "the cluster's store was not reached yet")
                 : ready.error();
  }
  if (era != era_) {
    era_secret_ = SecretOfEra(secret_, era);
    era_ = era;
  }
  NumberIdentity identity = IdentityOf(spec, era_secret_);
  identity.group = GroupOf(spec);
  if (depth_ == 0) ForgetOld();
  Note(RowName(identity.outbound, kOut), identity.group);
  Note(RowName(identity.inbound, kIn), identity.group);
  return identity;
}

// Who has the same key twice, in SAs of a group and of none, has one counter for both: the owner of
// the group gets its numbers.
void ClusterStore::Note(const std::string& name, GroupId group) {
  Row& row = rows_[name];
  if (row.key.empty()) {
    row.key = prefix_ + name;
    row.era = era_;
    released_.push_back(name);
  }
  if (group != 0) row.group = group;
}

void ClusterStore::Retain(const NumberIdentity& identity) {
  for (const auto& name : {RowName(identity.outbound, kOut), RowName(identity.inbound, kIn)}) {
    const auto row = rows_.find(name);
    if (row != rows_.end()) ++row->second.retained;
  }
}

void ClusterStore::Release(const NumberIdentity& identity) {
  for (const auto& name : {RowName(identity.outbound, kOut), RowName(identity.inbound, kIn)}) {
    const auto row = rows_.find(name);
    if (row == rows_.end() || row->second.retained == 0) continue;
    if (--row->second.retained == 0) released_.push_back(name);
  }
}

// Rows that no SA has stay for a while: numbers may still be given back, or the key may return.
void ClusterStore::ForgetOld() {
  constexpr std::size_t kKept = 8192;
  while (released_.size() > kKept) {
    const auto row = rows_.find(released_.front());
    released_.pop_front();
    if (row != rows_.end() && row->second.retained == 0) rows_.erase(row);
  }
}

// --- Numbers ---

// The row as the steps see it: with what they wanted before.
Result<ClusterStore::Row*> ClusterStore::Touch(const NumberId& id, const char* kind) {
  const auto found = rows_.find(RowName(id, kind));
  if (found == rows_.end()) {
    return MakeError(Errc::kNoEntry, "the number store does not know the SA");
  }
  Row* const row = &found->second;
  if (!session_.Owns(row->group)) return session_.NotOwned(row->group);
  CYGNET_RETURN_IF_ERROR(session_.Ready());
  if (row->era != session_.era()) {
    return MakeError(Errc::kNoEntry,
                     "the cluster's store lost which numbers the SA has used; replace its key");
  }
  if (!row->is_touched) {
    row->is_touched = true;
    row->wanted.reset();
    touched_.push_back(row);
  }
  return row;
}

Result<NumberBlock> ClusterStore::Outbound(const NumberId& id, uint64_t after, uint64_t count) {
  NumberBlock block;
  const Status status = Together([&]() -> Status {
    const auto row = Touch(id, kOut);
    if (!row) return row.error();
    const uint64_t last = std::max((*row)->wanted.value_or((*row)->value), after);
    const uint64_t left = ~uint64_t{0} - last;
    if (left == 0) return MakeError(Errc::kRange, "all 2^64 numbers of the key are given");
    block = {last + 1, last + std::min(count, left)};
    (*row)->wanted = block.last;
    return {};
  });
  if (!status) return status.error();
  return block;
}

Result<InboundMark> ClusterStore::Inbound(const NumberId& id, uint64_t from, uint64_t up_to) {
  InboundMark answer;
  const Status status = Together([&]() -> Status {
    const auto touched = Touch(id, kIn);
    if (!touched) return touched.error();
    Row* const row = *touched;
    const uint64_t now = row->wanted.value_or(row->unclaimed.value_or(row->value));
    answer.raised = now == from;
    answer.mark = answer.raised ? up_to : now;
    if (answer.raised && up_to > now) row->wanted = up_to;
    return {};
  });
  if (!status) return status.error();
  return answer;
}

Status ClusterStore::ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) {
  return LowerIfLast(id, kOut, used, last);
}

Status ClusterStore::LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) {
  return LowerIfLast(id, kIn, mark, last);
}

// Who cannot give back leaves a gap.
Status ClusterStore::LowerIfLast(const NumberId& id, const char* kind, uint64_t value,
                                 uint64_t last) {
  return Together([&]() -> Status {
    const auto row = Touch(id, kind);
    if (!row) {
      const Errc code = row.error().code;
      return code == Errc::kPermission || code == Errc::kNoEntry ? Status() : row.error();
    }
    if ((*row)->wanted.value_or((*row)->value) == last && value < last) (*row)->wanted = value;
    return {};
  });
}

// --- Entries ---

Status ClusterStore::Put(const std::string& key, const std::string& value, GroupId group) {
  return Change({EtcdPut(prefix_ + key, value)}, group);
}

Status ClusterStore::Delete(const std::string& key, GroupId group) {
  return Change({EtcdDelete(prefix_ + key)}, group);
}

Status ClusterStore::PutAll(const std::vector<Pair>& pairs, GroupId group) {
  std::vector<EtcdOp> steps;
  std::size_t bytes = 0;
  for (const Pair& pair : pairs) {
    bytes += pair.key.size() + pair.value.size();
    if (steps.size() == kStepsPerTxn || (bytes > kBytesPerTxn && !steps.empty())) {
      CYGNET_RETURN_IF_ERROR(Change(std::exchange(steps, {}), group));
      bytes = pair.key.size() + pair.value.size();
    }
    steps.push_back(EtcdPut(prefix_ + pair.key, pair.value));
  }
  return steps.empty() ? Status() : Change(std::move(steps), group);
}

Status ClusterStore::Change(std::vector<EtcdOp> steps, GroupId group) {
  StoreChange change{.compares = {}, .then = std::move(steps), .otherwise = {}, .groups = {}};
  if (group != 0) change.groups.insert(group);
  for (int tries = 0; tries < kTries; ++tries) {
    const auto outcome = session_.Run(change);
    if (!outcome) return outcome.error();
    if (outcome->is_done) return session_.Confirm();
  }
  return MakeError(Errc::kAgain, "the cluster's store changes all the time");
}

}  // namespace cygnet
