#include "xfrm/migrate_message.h"

#include "base/endian.h"
#include "xfrm/policy_decode.h"
#include "xfrm/policy_encode.h"
#include "xfrm/protocol.h"
#include "xfrm/sa_init.h"
#include "xfrm/unsupported.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;
using netlink::MessageBuilder;

Error Invalid(const char* text) { return MakeError(Errc::kInvalid, text); }

MigrateEntry FromWire(const xfrm_user_migrate& wire) {
  MigrateEntry entry;
  entry.old_family = static_cast<IpFamily>(wire.old_family);
  entry.new_family = static_cast<IpFamily>(wire.new_family);
  entry.old_daddr = xfrm::FromWire(wire.old_daddr, entry.old_family);
  entry.old_saddr = xfrm::FromWire(wire.old_saddr, entry.old_family);
  entry.new_daddr = xfrm::FromWire(wire.new_daddr, entry.new_family);
  entry.new_saddr = xfrm::FromWire(wire.new_saddr, entry.new_family);
  entry.proto = wire.proto;
  entry.mode = wire.mode;
  entry.reqid = Reqid(wire.reqid);
  return entry;
}

Zeroed<xfrm_user_migrate> EncodeEntry(const MigrateEntry& entry) {
  Zeroed<xfrm_user_migrate> wire;
  wire->old_daddr = ToWire(entry.old_daddr);
  wire->old_saddr = ToWire(entry.old_saddr);
  wire->new_daddr = ToWire(entry.new_daddr);
  wire->new_saddr = ToWire(entry.new_saddr);
  wire->proto = entry.proto;
  wire->mode = entry.mode;
  wire->reqid = entry.reqid.value;
  wire->old_family = static_cast<uint16_t>(entry.old_family);
  wire->new_family = static_cast<uint16_t>(entry.new_family);
  return wire;
}

// xfrm_migrate_check
bool IsNull(const IpAddress& address, IpFamily family) {
  return AddressBits(family) != 0 && address.IsAny();
}

bool SameOld(const MigrateEntry& a, const MigrateEntry& b) {
  return a.old_daddr == b.old_daddr && a.old_saddr == b.old_saddr && a.proto == b.proto &&
         a.mode == b.mode && a.reqid == b.reqid && a.old_family == b.old_family;
}

Status CheckEntries(const std::vector<MigrateEntry>& entries) {
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const MigrateEntry& entry = entries[i];
    if (IsNull(entry.new_daddr, entry.new_family) || IsNull(entry.new_saddr, entry.new_family)) {
      return Invalid("Addresses in the MIGRATE attribute's list cannot be null");
    }
    for (std::size_t j = i + 1; j < entries.size(); ++j) {
      if (SameOld(entry, entries[j])) {
        return Invalid("Entries in the MIGRATE attribute's list must be unique");
      }
    }
  }
  return {};
}

Result<std::vector<MigrateEntry>> DecodeEntries(const AttributeTable& attributes) {
  const auto payload = attributes.Payload(XFRMA_MIGRATE);
  const std::size_t count = payload.size() / sizeof(xfrm_user_migrate);
  if (count == 0 || count > kMaxTemplates) {
    return Invalid("Invalid number of SAs to migrate, must be 0 < num <= XFRM_MAX_DEPTH (6)");
  }
  std::vector<MigrateEntry> entries;
  for (std::size_t i = 0; i < count; ++i) {
    entries.push_back(FromWire(*ReadAt<xfrm_user_migrate>(payload, i * sizeof(xfrm_user_migrate))));
  }
  return entries;
}

std::optional<KeyManagerAddress> DecodeKeyManager(const AttributeTable& attributes) {
  const auto wire = attributes.Get<xfrm_user_kmaddress>(XFRMA_KMADDRESS);
  if (!wire) return std::nullopt;
  KeyManagerAddress address;
  address.family = static_cast<IpFamily>(wire->family);
  address.local = xfrm::FromWire(wire->local, IpFamily::kV6);
  address.remote = xfrm::FromWire(wire->remote, IpFamily::kV6);
  return address;
}

void PutKeyManager(MessageBuilder& builder, const KeyManagerAddress& address) {
  Zeroed<xfrm_user_kmaddress> wire;
  wire->local = ToWire(address.local);
  wire->remote = ToWire(address.remote);
  wire->family = static_cast<uint16_t>(address.family);
  builder.AttributeBytes(XFRMA_KMADDRESS, wire.bytes());
}

}  // namespace

Result<Migration> DecodeMigrate(const Request& request) {
  const AttributeTable& attributes = request.attributes;
  if (!attributes.Has(XFRMA_MIGRATE)) return Invalid("Missing required MIGRATE attribute");
  const auto id = request.Fixed<xfrm_userpolicy_id>();
  Migration migration;
  const auto type = DecodePolicyType(attributes);
  if (!type) return type.error();
  migration.type = *type;
  auto entries = DecodeEntries(attributes);
  if (!entries) return entries.error();
  migration.entries = std::move(*entries);
  CYGNET_RETURN_IF_ERROR(CheckEntries(migration.entries));
  if (id.dir >= kPolicyDirections) return Invalid("Invalid policy direction");
  migration.direction = static_cast<PolicyDirection>(id.dir);
  migration.selector = xfrm::FromWire(id.sel);
  CYGNET_RETURN_IF_ERROR(RefuseMigrate(attributes));
  migration.if_id = attributes.GetOr<uint32_t>(XFRMA_IF_ID, 0);
  migration.encap = DecodeEncap(attributes);
  migration.key_manager = DecodeKeyManager(attributes);
  if (const auto wire = attributes.Get<xfrm_user_offload>(XFRMA_OFFLOAD_DEV)) {
    auto offload = DecodeOffload(*wire, SaSpec{});
    if (!offload) return offload.error();
    migration.offload = *offload;
  }
  return migration;
}

netlink::Buffer EncodeMigrated(const Migration& migration) {
  MessageBuilder builder({.type = XFRM_MSG_MIGRATE, .flags = 0, .seq = 0, .pid = 0});
  Zeroed<xfrm_userpolicy_id> id;
  Fill(migration.selector, id->sel);
  id->dir = static_cast<uint8_t>(migration.direction);
  builder.PutBytes(id.bytes());
  if (migration.key_manager) PutKeyManager(builder, *migration.key_manager);
  if (migration.encap) PutEncap(builder, *migration.encap);
  PutPolicyType(builder, migration.type);
  for (const MigrateEntry& entry : migration.entries) {
    builder.AttributeBytes(XFRMA_MIGRATE, EncodeEntry(entry).bytes());
  }
  return std::move(builder).Finish();
}

Result<AcquireRequest> DecodeAcquire(const Request& request) {
  const auto wire = request.Fixed<xfrm_user_acquire>();
  AcquireRequest result;
  result.pcpu = request.attributes.Get<uint32_t>(kAttrSaPcpu);
  if (result.pcpu && !IsPossibleCpu(*result.pcpu)) {
    return Invalid("pCPU number too big");
  }
  auto policy = DecodePolicyInfo(wire.policy, request.attributes);
  if (!policy) return policy.error();
  result.policy = std::move(*policy);
  result.saddr = xfrm::FromWire(wire.saddr, IpFamily::kV6);  // all 16 bytes, for any family
  result.selector = xfrm::FromWire(wire.sel);
  result.aalgos = wire.aalgos;
  result.ealgos = wire.ealgos;
  result.calgos = wire.calgos;
  return result;
}

netlink::Buffer EncodeAcquireRequested(const AcquireRequested& acquire) {
  const AcquireRequest& request = acquire.request;
  const Template& wanted = request.policy.templates.at(acquire.template_index);
  MessageBuilder builder({.type = XFRM_MSG_ACQUIRE, .flags = 0, .seq = 0, .pid = 0});
  Zeroed<xfrm_user_acquire> wire;
  wire->id.daddr = ToWire(wanted.daddr);
  wire->id.spi = be32(wanted.spi.value).raw();
  wire->id.proto = wanted.proto;
  wire->saddr = ToWire(request.saddr);
  Fill(request.selector, wire->sel);
  FillPolicyInfo(request.policy, {}, wire->policy);
  wire->policy.dir = XFRM_POLICY_OUT;
  wire->aalgos = wanted.aalgos;
  wire->ealgos = wanted.ealgos;
  wire->calgos = wanted.calgos;
  wire->seq = acquire.seq;
  builder.PutBytes(wire.bytes());
  PutPolicyAttributes(builder, request.policy);
  if (request.pcpu) builder.Attribute(kAttrSaPcpu, *request.pcpu);
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
