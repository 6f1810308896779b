// Any fault script is read, or refused with the line number. Each played event is due, is a known
// fault, and is the same in a second run.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "device/sim_nic/sim_nic_script.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

using Played = std::vector<std::pair<uint64_t, std::string>>;

Played Play(FaultScript script) {
  Played played;
  for (uint64_t ms = 0; ms <= 4000 && played.size() < 4096; ms += 500) {
    for (const FaultScript::Due& due : script.Take(ms, ms * 10)) {
      CYGNET_CHECK(due.at_ms <= ms && due.line > 0 && ParseFault(due.text).has_value());
      played.emplace_back(due.at_ms, due.text);
    }
  }
  return played;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto script = FaultScript::Parse(text, "script", size);
  if (!script) {
    CYGNET_CHECK(script.error().message.starts_with("script:"));
    return 0;
  }
  CYGNET_CHECK(Play(*script) == Play(*script));
  return 0;
}
