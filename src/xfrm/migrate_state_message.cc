#include "xfrm/migrate_state_message.h"

#include "base/endian.h"
#include "xfrm/protocol.h"
#include "xfrm/sa_encode.h"
#include "xfrm/sa_init.h"
#include "xfrm/unsupported.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;
using netlink::MessageBuilder;

constexpr uint32_t kKnownFlags = kMigrateClearOffload | kMigrateUpdateHostSelector;

Error Invalid(std::string text) { return MakeError(Errc::kInvalid, std::move(text)); }

bool UpdatesSelector(const MigrateState& state) {
  return (state.flags & kMigrateUpdateHostSelector) != 0;
}

Status CheckSelector(const xfrm_selector& selector) {
  const auto family = static_cast<IpFamily>(selector.family);
  if (family == IpFamily::kUnspec) return {};
  if (AddressBits(family) == 0) return Invalid("Invalid address family in selector");
  return CheckPrefixes(selector, family);
}

Status CheckState(const MigrateState& state, const AttributeTable& attributes) {
  if (state.id.spi == 0) return Invalid("Invalid SPI 0x0");
  if (state.reserved != 0) return Invalid("Reserved field must be zero");
  if (const uint32_t unknown = state.flags & ~kKnownFlags; unknown != 0) {
    char text[32];
    std::snprintf(text, sizeof(text), "Unknown flags: 0x%x", unknown);
    return Invalid(text);
  }
  if (AddressBits(static_cast<IpFamily>(state.new_family)) == 0) {
    return Invalid("Invalid address family");
  }
  if ((state.flags & kMigrateClearOffload) != 0 && attributes.Has(XFRMA_OFFLOAD_DEV)) {
    return Invalid("The flag CLEAR_OFFLOAD and OFFLOAD_DEV exclude each other: send one of them");
  }
  return UpdatesSelector(state) ? Status() : CheckSelector(state.new_sel);
}

uint32_t FlagsOf(const SaMigration& migration) {
  return (migration.clears_offload ? kMigrateClearOffload : 0) |
         (migration.selector.has_value() ? 0 : kMigrateUpdateHostSelector);
}

void PutIfSet(MessageBuilder& builder, uint16_t type, const std::optional<uint32_t>& value) {
  if (value.value_or(0) != 0) builder.Attribute(type, *value);
}

// The order of build_migrate_state.
void PutMoved(MessageBuilder& builder, const SaMigration& migration, const SaView& moved) {
  const SaSpec& spec = *moved.spec;
  if (migration.encap) {
    PutEncap(builder, *migration.encap);  // also the one that says "none"
  } else if (spec.encap) {
    PutEncap(builder, *spec.encap);
  }
  if (moved.offload) PutOffload(builder, *moved.offload);
  PutSaMarks(builder, spec);
  PutIfSet(builder, XFRMA_MTIMER_THRESH, spec.rare->mapping_max_age);
  PutIfSet(builder, kAttrNatKeepalive, spec.rare->nat_keepalive);
  if (spec.direction != SaDirection::kUnspec) {
    builder.Attribute(kAttrSaDir, static_cast<uint8_t>(spec.direction));
  }
}

}  // namespace

Result<SaMigration> DecodeMigrateState(const Request& request) {
  const auto state = request.Fixed<MigrateState>();
  const AttributeTable& attributes = request.attributes;
  CYGNET_RETURN_IF_ERROR(CheckState(state, attributes));
  CYGNET_RETURN_IF_ERROR(RefuseMigrateState(state, attributes));
  SaMigration migration;
  migration.id = {.daddr = xfrm::FromWire(state.id.daddr, static_cast<IpFamily>(state.id.family)),
                  .spi = Spi(be32::FromRaw(state.id.spi).value()),
                  .proto = state.id.proto,
                  .family = static_cast<IpFamily>(state.id.family),
                  .mark = state.old_mark.v & state.old_mark.m};
  migration.old_mark = {state.old_mark.v, state.old_mark.m};
  migration.new_family = static_cast<IpFamily>(state.new_family);
  migration.new_saddr = xfrm::FromWire(state.new_saddr, migration.new_family);
  migration.new_daddr = xfrm::FromWire(state.new_daddr, migration.new_family);
  migration.new_reqid = Reqid(state.new_reqid);
  if (!UpdatesSelector(state)) migration.selector = xfrm::FromWire(state.new_sel);
  migration.encap = DecodeEncap(attributes);
  migration.mapping_max_age = attributes.Get<uint32_t>(XFRMA_MTIMER_THRESH);
  migration.nat_keepalive = attributes.Get<uint32_t>(kAttrNatKeepalive);
  if (attributes.Has(XFRMA_MARK)) {
    const Mark mark = MarkOf(attributes);
    migration.mark = MarkUnderMask{mark.value, mark.mask};
  }
  if (const auto value = attributes.Get<uint32_t>(XFRMA_SET_MARK)) {
    migration.set_mark = MarkUnderMask{*value, attributes.GetOr(XFRMA_SET_MARK_MASK, ~uint32_t{0})};
  }
  migration.clears_offload = (state.flags & kMigrateClearOffload) != 0;
  if (const auto wire = attributes.Get<xfrm_user_offload>(XFRMA_OFFLOAD_DEV)) {
    const auto offload = DecodeOffload(*wire, SaSpec{});
    if (!offload) return offload.error();
    migration.offload = *offload;
  }
  return migration;
}

netlink::Buffer EncodeSaMigrated(const SaMigration& migration, const SaView& moved, ReplyTo to) {
  MessageBuilder builder({.type = kMsgMigrateState, .flags = 0, .seq = to.seq, .pid = to.pid});
  Zeroed<MigrateState> state;
  state->id.daddr = ToWire(migration.id.daddr);
  state->id.spi = be32(migration.id.spi.value).raw();
  state->id.family = static_cast<uint16_t>(migration.id.family);
  state->id.proto = migration.id.proto;
  state->old_mark = {.v = migration.old_mark.value, .m = migration.old_mark.mask};
  state->new_daddr = ToWire(migration.new_daddr);
  state->new_saddr = ToWire(migration.new_saddr);
  Fill(moved.spec->selector, state->new_sel);
  state->new_reqid = migration.new_reqid.value;
  state->flags = FlagsOf(migration);
  state->new_family = static_cast<uint16_t>(migration.new_family);
  builder.PutBytes(state.bytes());
  PutMoved(builder, migration, moved);
  return std::move(builder).Finish();
}

}  // namespace cygnet::xfrm
