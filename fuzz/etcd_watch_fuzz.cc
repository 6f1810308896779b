// What a watch stream of the store says, in two pieces, and what nodes have written there.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "daemon/cluster/cluster_keys.h"
#include "daemon/cluster/etcd_watch.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  cygnet::EtcdWatchLines lines;
  if (lines.Add(text.substr(0, size / 2))) (void)lines.Add(text.substr(size / 2));
  const cygnet::ParsedOwner owner = cygnet::ParseOwner(text);
  const cygnet::ParsedOwner again =
      cygnet::ParseOwner(cygnet::OwnerJson(owner.owner, owner.heartbeat));
  CYGNET_CHECK(again.owner.epoch == owner.owner.epoch &&
               again.owner.incarnation == owner.owner.incarnation);
  if (const auto node = cygnet::ParseNode(text)) {
    CYGNET_CHECK(cygnet::ParseNode(cygnet::NodeJson(*node, "1")).has_value());
  }
  return 0;
}
