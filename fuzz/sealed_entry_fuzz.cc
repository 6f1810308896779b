// An entry of a cluster's store, and what it has inside: as they come from the store, as if their
// code were right, and with a code that is right.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "daemon/cluster/sealed_entry.h"
#include "daemon/cluster/shared_record.h"

namespace {

using namespace cygnet;  // NOLINT: a test program

constexpr const char* kName = "sa/00/spec";

const EntrySeal& Seal() {
  static const EntrySeal seal = [] {
    std::vector<KeyMaterial> keys;
    keys.emplace_back(std::vector<uint8_t>(WrappingKeys::kBytes, 1));
    return EntrySeal(WrappingKeys(std::move(keys)), "fuzz");
  }();
  return seal;
}

// What is in an entry that was sealed by a node that is wrong.
void Inside(std::span<const uint8_t> bytes) {
  const std::size_t keys = std::min<std::size_t>(bytes.size(), 36);
  const auto sa = SaOf(bytes.subspan(keys), bytes.first(keys));
  if (sa) CYGNET_CHECK(!sa->spec.offload.has_value());
  (void)UsageOf(bytes).has_value();
  if (auto policy = PolicyOf(bytes); policy) {
    const SharedRecord again = RecordOf(*std::move(policy));
    CYGNET_CHECK(PolicyOf(again.clear).has_value());
  }
}

// What a node seals comes back.
void RoundTrip(std::span<const uint8_t> bytes) {
  const std::size_t keys = std::min<std::size_t>(bytes.size(), 36);
  const auto secret = bytes.first(keys);
  const auto clear = bytes.subspan(keys);
  const auto value = Seal().Seal(kName, {.kind = EntryKind::kSa,
                                         .place = {.epoch = 1, .serial = bytes.size()},
                                         .era = 1,
                                         .clear = {clear.begin(), clear.end()},
                                         .secret = {secret.begin(), secret.end()}});
  if (!value) return;
  const auto entry = Seal().Open(kName, *value);
  CYGNET_CHECK(entry.has_value() && entry->secret.size() == keys &&
               entry->clear.size() == clear.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view value(reinterpret_cast<const char*>(data), size);
  (void)ParseSealed(value).has_value();
  (void)Seal().Open(kName, value).has_value();
  Inside({data, size});
  RoundTrip({data, size});
  return 0;
}
