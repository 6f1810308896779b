// A frame that reaches the wire past the pipeline, as by a fault of it. For tests only.
#pragma once

#include <vector>

#include "support/test_host.h"

namespace cygnet::test {

// Sends `frame` to A's wire without a decision about it; what leaves is what the guard lets pass.
inline std::vector<Bytes> LeavesUndecided(TestPair* pair, const Bytes& frame) {
  PacketBatch batch;
  batch.Push(MakePacket(&pair->pools, frame));
  PacketCaches caches(&pair->pools);
  DropSink sink(&caches, pair->a.path.drops[0].get());
  pair->a.path.interfaces[0].wire->Transmit(0, &batch, &sink);
  return pair->a.ToWire();
}

}  // namespace cygnet::test
