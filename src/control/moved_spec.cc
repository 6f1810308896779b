#include "control/moved_spec.h"

#include <utility>

#include "sa/sa.h"

namespace cygnet {
namespace {

Error Invalid(const char* text) { return MakeError(Errc::kInvalid, text); }

// The selector is exactly the two addresses of the SA.
bool SelectsItsOwnHosts(const SaSpec& spec) {
  const unsigned bits = AddressBits(spec.family);
  const Selector& selector = spec.selector;
  return selector.prefixlen_s == bits && selector.prefixlen_d == bits &&
         selector.saddr == spec.saddr && selector.daddr == spec.daddr;
}

Status MoveSelector(const SaSpec& before, const SaMigration& migration, SaSpec* spec) {
  if (migration.selector) {
    spec->selector = *migration.selector;
    return {};
  }
  if (!SelectsItsOwnHosts(before)) {
    return Invalid("SA selector is not a single-host match for SA addresses");
  }
  const auto bits = static_cast<uint8_t>(AddressBits(migration.new_family));
  Selector& selector = *spec->selector.Change();
  selector.family = migration.new_family;
  selector.saddr = migration.new_saddr;
  selector.daddr = migration.new_daddr;
  selector.prefixlen_s = bits;
  selector.prefixlen_d = bits;
  return {};
}

// Without encapsulation there is no mapping of a NAT to watch or to keep.
Status MoveEncap(const SaMigration& migration, SaSpec* spec) {
  if (migration.encap) {
    constexpr uint16_t kNone = 0;
    if (migration.encap->type == kNone) {
      spec->encap = std::nullopt;
    } else if (migration.encap->type == UdpEncap::kEspInUdp) {
      spec->encap = *migration.encap;
    } else {
      return Invalid("Unsupported encapsulation type");
    }
  }
  if (migration.mapping_max_age) {
    if (!spec->encap) return Invalid("MTIMER_THRESH attribute can only be set on ENCAP states");
    if (spec->direction == SaDirection::kOut) {
      return Invalid("MTIMER_THRESH attribute should not be set on output SA");
    }
    spec->rare.Change()->mapping_max_age = migration.mapping_max_age;
  }
  if (migration.nat_keepalive) {
    spec->rare.Set(&SaRare::nat_keepalive, std::optional<uint32_t>());
    if (*migration.nat_keepalive != 0) spec->rare.Change()->nat_keepalive = migration.nat_keepalive;
    if (spec->rare->nat_keepalive && !spec->encap) {
      return Invalid("NAT_KEEPALIVE_INTERVAL requires encapsulation");
    }
    if (spec->rare->nat_keepalive && spec->direction != SaDirection::kOut) {
      return Invalid("NAT keepalive is only supported for outbound SAs");
    }
  }
  if (spec->encap) return {};
  spec->rare.Set(&SaRare::mapping_max_age, std::optional<uint32_t>());
  spec->rare.Set(&SaRare::nat_keepalive, std::optional<uint32_t>());
  return {};
}

Status MoveOffload(const SaMigration& migration, SaSpec* spec) {
  if (migration.clears_offload) spec->offload = std::nullopt;
  if (!migration.offload) return {};
  const SaDirection other = migration.offload->inbound ? SaDirection::kOut : SaDirection::kIn;
  if (spec->direction == other) return Invalid("Mismatched SA and offload direction");
  if (spec->rare->tfc_pad != 0) return Invalid("TFC padding can't be offloaded");
  spec->offload = migration.offload;
  return {};
}

}  // namespace

Result<SaSpec> MovedSpec(const SaSpec& before, const SaMigration& migration) {
  SaSpec spec = before.Clone();
  CYGNET_RETURN_IF_ERROR(MoveSelector(before, migration, &spec));
  CYGNET_RETURN_IF_ERROR(MoveEncap(migration, &spec));
  spec.saddr = migration.new_saddr;
  spec.daddr = migration.new_daddr;
  spec.family = migration.new_family;
  spec.reqid = migration.new_reqid;
  if (migration.mark) {
    spec.mark_value = migration.mark->value;
    spec.mark_mask = migration.mark->mask;
  }
  if (migration.set_mark) {
    spec.rare.Change()->set_mark_value = migration.set_mark->value;
    spec.rare.Change()->set_mark_mask = migration.set_mark->mask;
  }
  if (spec.mode == SaMode::kTransport && spec.selector->family != IpFamily::kUnspec &&
      spec.selector->family != spec.family) {
    return Invalid("Only tunnel modes can accommodate a change of family");
  }
  CYGNET_RETURN_IF_ERROR(MoveOffload(migration, &spec));
  if (LeavesFromNoPort(spec)) return MakeError(Errc::kNotSupported, kNoSourcePort);
  return spec;
}

}  // namespace cygnet
