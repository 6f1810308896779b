// An answer of etcd: whatever it contains, a parser returns an answer or an error, and an entry is
// written and read back unchanged.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "daemon/cluster/etcd_json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  (void)cygnet::ParseEtcdLease(body);
  (void)cygnet::ParseEtcdError(body, 500);
  const auto range = cygnet::ParseEtcdRange(body);
  const auto txn = cygnet::ParseEtcdTxn(body);
  if (range) {
    for (const cygnet::EtcdEntry& entry : range->entries) {
      CYGNET_CHECK(cygnet::FromBase64(cygnet::Base64(entry.value)) == entry.value);
    }
  }
  if (txn) (void)txn->FoundOne(0);
  if (const auto bytes = cygnet::FromBase64(body))
    CYGNET_CHECK(cygnet::Base64(*bytes).size() == size);
  return 0;
}
