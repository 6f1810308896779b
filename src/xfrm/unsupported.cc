#include "xfrm/unsupported.h"

#include <algorithm>

#include "net/ip_protocol.h"
#include "xfrm/wire.h"

namespace cygnet::xfrm {
namespace {

using netlink::AttributeTable;

constexpr uint32_t kAllAlgorithms = ~uint32_t{0};

Error Refused(const char* text) { return MakeError(Errc::kNotSupported, text); }

// Selectors that this stack ignores. Control refuses those by mark and if_id for which there is no
// tunnel interface.
Status RefuseSelection(const AttributeTable& attributes) {
  if (attributes.Has(XFRMA_SEC_CTX)) return Refused("Security contexts are not supported");
  return {};
}

// SAs for these templates can exist.
bool IsPossible(const Template& tmpl) {
  return tmpl.proto == kProtoEsp && (tmpl.mode == XFRM_MODE_TRANSPORT ||
                                     tmpl.mode == XFRM_MODE_TUNNEL || tmpl.mode == XFRM_MODE_BEET);
}

// For output, the masks only go to key management, as in Linux.
Status RefuseTemplate(const Template& tmpl, PolicyDirection direction) {
  if (!tmpl.optional && !IsPossible(tmpl)) {
    return Refused("No SA can fulfil the template: ESP in transport, tunnel or BEET mode can");
  }
  if (direction != PolicyDirection::kOut &&
      (tmpl.aalgos & tmpl.ealgos & tmpl.calgos) != kAllAlgorithms) {
    return Refused("Selection by algorithm in a template is not supported");
  }
  return {};
}

}  // namespace

Status RefuseSa(const xfrm_usersa_info& info, const AttributeTable& attributes) {
  constexpr uint32_t kKnownExtraFlags = kSaExtraDontEncapDscp | kSaExtraOseqMayWrap;
  CYGNET_RETURN_IF_ERROR(RefuseSelection(attributes));
  if (info.sel.user != 0) return Refused("Selection by user is not supported");
  if (attributes.Has(XFRMA_COADDR)) {
    return Refused("A care-of address is for Mobile IPv6, which is not supported");
  }
  if ((attributes.GetOr<uint32_t>(XFRMA_SA_EXTRA_FLAGS, 0) & ~kKnownExtraFlags) != 0) {
    return Refused("Unknown extra flags are not supported");
  }
  return {};
}

Status RefuseSpi(uint8_t proto, const AttributeTable& attributes) {
  if (proto != kProtoEsp) {
    return MakeError(Errc::kProtocolNotSupported,
                     "Requested type not found: neither AH nor IPComp is supported");
  }
  return RefuseSelection(attributes);
}

Status RefusePolicy(const PolicySpec& policy, const AttributeTable& attributes) {
  constexpr unsigned kKnownFlags = kPolicyLocalOk | kPolicyIcmp | kPolicyCpuAcquire;
  static_assert(kPolicyLocalOk == XFRM_POLICY_LOCALOK && kPolicyIcmp == XFRM_POLICY_ICMP);
  if (policy.action == PolicyAction::kBlock) return {};
  CYGNET_RETURN_IF_ERROR(RefuseSelection(attributes));
  if (policy.selector.user != 0) return Refused("Selection by user is not supported");
  if ((policy.flags & ~kKnownFlags) != 0) {
    return Refused("Policy flags other than localok, icmp and cpu_acquire are not supported");
  }
  for (const Template& tmpl : policy.templates) {
    CYGNET_RETURN_IF_ERROR(RefuseTemplate(tmpl, policy.direction));
  }
  return {};
}

// A mark of 0 with mask 0 means none: IKE daemons send it. The kernel ignores any other.
Status RefuseMigrate(const AttributeTable& attributes) {
  const Mark mark = MarkOf(attributes);
  if ((mark.value | mark.mask) != 0) return Refused("Selection by mark is not supported");
  return RefuseSelection(attributes);
}

Status RefuseMigrateState(const MigrateState& state, const AttributeTable& attributes) {
  CYGNET_RETURN_IF_ERROR(RefuseSelection(attributes));
  if (state.new_sel.user != 0) return Refused("Selection by user is not supported");
  return {};
}

}  // namespace cygnet::xfrm
