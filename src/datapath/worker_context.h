// WorkerContext: what one worker has for itself, shared by its two pipelines.
#pragma once

#include <memory>

#include "base/clock.h"
#include "crypto/crypto_engine.h"
#include "datapath/data_path.h"
#include "datapath/flow_cache.h"
#include "packet/packet_batch.h"

namespace cygnet {

struct WorkerContext {
  WorkerContext(DataPath* data_path, uint32_t worker_number, PacketPools* pools,
                CryptoEngine* engine)
      : path(data_path),
        number(worker_number),
        caches(pools),
        sink(&caches, data_path->drops[worker_number].get()),
        crypto(engine->CreateQueue(worker_number)) {}

  DataPath* const path;
  const uint32_t number;
  PacketCaches caches;
  DropSink sink;
  std::unique_ptr<CryptoQueue> crypto;
  uint64_t now = 0;  // wall-clock seconds, read once per burst

  // To the control thread; lost when it does not keep up, which costs a retry and no correctness.
  void Report(const DataPathEvent& event) {
    if (path->events[number]->Push({&event, 1}) == 1) path->control_bell.Ring();
  }

  void SubmitAll(std::span<CryptoJob> jobs) {
    // A CPU engine takes every job it is given and has finished them when it returns.
    const std::size_t taken = crypto->Submit(jobs);
    for (CryptoJob& job : jobs.subspan(taken)) job.status = CryptoStatus::kError;
  }
};

}  // namespace cygnet
