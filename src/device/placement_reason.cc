#include "device/placement_reason.h"

#include <iterator>

namespace cygnet {
namespace {

struct ReasonRow {
  std::string_view name;
  std::string_view meaning;
};

// In the order of ReasonCode.
constexpr ReasonRow kRows[] = {
    {"requested", "runs where it was requested"},
    {"not-requested", "no offload was requested"},
    {"promoted", "busy enough for a slot of the device"},
    {"returned", "the SA returned to its device"},
    {"device-unknown", "no Cygnet device has the requested interface"},
    {"device-off", "offload is switched off for the device"},
    {"mode-not-allowed", "the device is not allowed this offload mode"},
    {"device-down", "the device's offload unit is down"},
    {"link-down", "the device has no link"},
    {"device-reset", "the device lost its tables in a reset"},
    {"device-removed", "the device was removed"},
    {"device-failed", "the device has failed"},
    {"operator-disabled", "the operator has disabled it"},
    {"operator-rule", "a placement set by the operator applies"},
    {"table-full", "the device's SA table is full"},
    {"address-table-full", "the device's receive-address table is full"},
    {"rekey-reserve", "the device's last SA slots are kept for rekeying"},
    {"demoted", "its slot went to a busier SA"},
    {"no-capability", "the device does not support this"},
    {"withdrawn", "the self-test of this failed on the device"},
    {"device-untested", "the device's self-test has not run yet"},
    {"device-refused", "the device refused"},
    {"engine-refused", "the look-aside engine refused"},
    {"not-recorded", "the ledger cannot record the key"},
    {"shared-numbers", "the SA's group is shared by nodes, and the device would number packets"},
    {"not-trusted", "the operator does not trust the device with keys"},
    {"fips-unlisted", "FIPS mode: not on the boundary list"},
    {"fips-mismatch", "FIPS mode: differs from its entry on the boundary list"},
    {"fips-expired", "FIPS mode: its entry on the boundary list has expired"},
    {"fips-selftest-failed", "FIPS mode: its known-answer self-test failed"},
    {"fips-algorithm", "FIPS mode: the algorithm is not approved"},
};
static_assert(std::size(kRows) == static_cast<std::size_t>(ReasonCode::kCount));

const ReasonRow& RowOf(ReasonCode code) { return kRows[static_cast<std::size_t>(code)]; }

}  // namespace

std::string_view Name(ReasonCode code) { return RowOf(code).name; }
std::string_view Meaning(ReasonCode code) { return RowOf(code).meaning; }

std::string PlacementReason::Text() const {
  std::string text(Name(code));
  if (code == ReasonCode::kNoCapability || code == ReasonCode::kWithdrawn) text += ":" + detail;
  return text;
}

std::string PlacementReason::Explanation() const {
  std::string text(Meaning(code));
  if (detail.empty()) return text;
  if (code == ReasonCode::kNoCapability) return "the device does not support " + detail;
  if (code == ReasonCode::kWithdrawn) {
    return "the self-test of " + detail + " failed; cygnet -j dev has the packet";
  }
  return text + ": " + detail;
}

}  // namespace cygnet
