// A heartbeat behind its MAC: what is parsed is written and read back unchanged.
#include <array>
#include <cstdint>

#include "base/check.h"
#include "daemon/cluster/heartbeat.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const auto parsed = cygnet::ParseHeartbeat({data, size});
  if (!parsed.has_value()) return 0;
  if (parsed->groups.size() > 100 || parsed->heard.size() > 30) return 0;
  const std::array<uint8_t, 32> secret{};
  const cygnet::KeyMaterial key = cygnet::HeartbeatKey(cygnet::KeyMaterial(secret));
  const auto again = cygnet::DecodeHeartbeat(cygnet::EncodeHeartbeat(*parsed, key), key);
  CYGNET_CHECK(again.has_value() && *again == *parsed);
  return 0;
}
