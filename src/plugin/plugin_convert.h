// SAs, policies and capabilities between the stack's values and the C interface.
#pragma once

#include <vector>

#include "cygnet/driver.h"
#include "device/offload_device.h"
#include "device/packet_offload.h"

namespace cygnet {

// Points into `sa`.
cygnet_sa ToPlugin(const OffloadSa& sa);
// For own_refusal: without keys, which are `known` only.
cygnet_sa ToPluginWithoutKeys(const SaSpec& spec, Half half, OffloadMode mode);

// `templates` stores what the result points to.
cygnet_policy ToPlugin(const PolicySpec& spec, std::vector<cygnet_template>* templates);

// Names that the stack does not know are left out.
OffloadCaps FromPlugin(const cygnet_caps& caps);
// What the row of the algorithm says against an SA, because OffloadCaps joins the rows of all
// algorithms: "rfc4106(gcm(aes)) with keys of 24 bytes". Empty: nothing.
std::string RowAgainst(const cygnet_caps& caps, const SaSpec& spec);

DeviceState StateFromPlugin(uint32_t state);

// A refusal as placement understands it. `result`: the negative errno.
DeviceRefusal FromPlugin(int32_t result, const cygnet_refusal& refusal);
inline cygnet_refusal NewRefusal() {
  cygnet_refusal refusal{};
  refusal.size = sizeof(refusal);
  return refusal;
}

SaReading FromPlugin(const cygnet_reading& reading);
SaId FromPlugin(const cygnet_sa_id& id);
// A text by others for logs and reports: bounded, printable.
std::string PlainText(const char* text, std::size_t room);

}  // namespace cygnet
