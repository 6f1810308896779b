// Any text is a boundary list or yields an error that names the file. An entry admits exactly what
// it describes, until its expiry date.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "daemon/config/boundary_file.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

void CheckEntry(const Boundary& boundary, const BoundaryEntry& entry) {
  CYGNET_CHECK(!entry.model.empty() && !entry.version.empty() && !entry.certificate.empty());
  const Boundary alone{.entries = {entry}, .source = boundary.source};
  HolderIdentity holder{.kind = entry.kind,
                        .name = entry.name,
                        .model = entry.model,
                        .serial = entry.serial,
                        .version = entry.version,
                        .self_test = {.ran = true}};
  CYGNET_CHECK(!DenyByBoundary(alone, holder, entry.expires == 0 ? 0 : entry.expires - 1));
  if (entry.expires != 0) {
    const auto denied = DenyByBoundary(alone, holder, entry.expires);
    CYGNET_CHECK(denied && denied->code == ReasonCode::kFipsExpired);
    CYGNET_CHECK(ExpiryDate(entry).size() == 10);
  }
  holder.version += "x";
  CYGNET_CHECK(DenyByBoundary(alone, holder, 0).has_value());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto boundary = ParseBoundary(text, "list");
  if (!boundary) {
    CYGNET_CHECK(boundary.error().message.starts_with("list:"));
    return 0;
  }
  for (const BoundaryEntry& entry : boundary->entries) CheckEntry(*boundary, entry);
  return 0;
}
