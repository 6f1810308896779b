// WorkerContext: one worker's own state, shared by its two pipelines.
#pragma once

#include <memory>

#include "base/clock.h"
#include "crypto/engine_set.h"
#include "datapath/data_path.h"
#include "datapath/packet_record.h"
#include "datapath/path_ops.h"
#include "datapath/per_cpu.h"
#include "datapath/shadow/shadow_desk.h"
#include "packet/packet_batch.h"

namespace cygnet {

// CryptoJob::tag of a parked packet: its place, combined with the pipeline it belongs to.
inline constexpr uint32_t kInboundTag = 1u << 31;
inline constexpr uint32_t kOutboundTag = 0;

struct WorkerContext {
  WorkerContext(DataPath* data_path, uint32_t worker_number, PacketPools* pools,
                const EngineSet* engine_set)
      : path(data_path),
        number(worker_number),
        cpu(CpuOfWorker(worker_number)),
        reader(data_path->readers[worker_number]),
        caches(pools),
        record(data_path),
        sink(&caches, data_path->drops[worker_number].get(), &record),
        engines(engine_set->size()) {
    for (uint32_t i = 0; i < engines; ++i) {
      queues[i] = engine_set->engine(i)->CreateQueue(worker_number);
      look_aside[i] = (*engine_set)[i].info->kind == EngineKind::kLookAside;
    }
  }

  DataPath* const path;
  const uint32_t number;
  const uint32_t cpu;  // CpuOfWorker
  Quiescence::Reader* const reader;
  PacketCaches caches;
  PacketRecord record;
  DropSink sink;
  const uint32_t engines;
  std::array<std::unique_ptr<CryptoQueue>, EngineSet::kMaxEngines> queues;
  std::array<bool, EngineSet::kMaxEngines> look_aside{};
  JobLists jobs;  // of the current batch
  ShadowSampler sampler;
  uint64_t now = 0;          // wall-clock seconds, read once per turn of the loop
  uint64_t now_ms = 0;       // monotonic milliseconds
  uint64_t inside_ms = 0;    // of the last ReportInsideMiss
  uint32_t inside_left = 0;  // in that millisecond

  // Notifies the control thread. If it does not keep up, events are lost, which costs only a retry.
  // Any process of this host can cause acquire events, so half of the ring is reserved for the
  // other events.
  void Report(const DataPathEvent& event) {
    if (event.kind == DataPathEvent::Kind::kAcquire &&
        path->events[number]->Room() <= DataPath::kEvents / 2) {
      return;
    }
    if (path->events[number]->Push({&event, 1}) == 1) path->control_bell.Ring();
  }

  // A packet of a host that inside interfaces may have went by the host's stack.
  void ReportInsideMiss(const FlowKey& flow, const IpAddress& host, const Packet& packet) {
    constexpr uint32_t kPerMs = 16;  // control asks the kernel for each
    if (now_ms != inside_ms) {
      inside_ms = now_ms;
      inside_left = kPerMs;
    }
    path->inside.CountMiss();
    if (inside_left == 0) return;
    --inside_left;
    const Inside::Miss miss{.host = {host, flow.family},
                            .peer = host == flow.saddr ? flow.daddr : flow.saddr,
                            .tunnel = static_cast<uint16_t>(packet.tunnel),
                            .device = packet.interface};
    if (path->inside.Report(number, miss)) path->control_bell.Ring();
  }

  // The engine reported a packet as sealed that is not.
  void BlameEngine(uint32_t engine) {
    EngineJobs::Add(&path->engine_jobs[number]->unsealed, engine, 1);
    path->control_bell.Ring();
  }

  // Of the CPU's engines, by number.
  ShadowDesk::Queues CpuQueues() const {
    ShadowDesk::Queues found{};
    for (uint32_t e = 0; e < engines; ++e) found[e] = look_aside[e] ? nullptr : queues[e].get();
    return found;
  }

  void ClearJobs() {
    for (uint32_t e = 0; e < engines; ++e) jobs[e].size = 0;
  }

  // Does the gathered jobs of CPU engines. The item of each has the outcome (CompleteJob).
  template <typename Item>
  void RunCpuJobs(std::span<Item> items) {
    for (uint32_t e = 0; e < engines; ++e) {
      if (look_aside[e] || jobs[e].size == 0) continue;
      // A CPU engine accepts every job and has finished all of them when Submit() returns.
      queues[e]->Submit(jobs[e].all());
      path->engine_jobs[number]->Add(e, jobs[e].size);
      for (const CryptoJob& job : jobs[e].all()) CompleteJob(job.status, &items[job.index]);
    }
  }

  // Submits the gathered jobs, first to the look-aside engines. A packet that they accept is parked
  // in `flight`, and its item's packet becomes null. A packet that they refuse becomes a CPU job
  // and is then parked behind the accepted ones, so that no SA's packets are reordered beyond its
  // replay window. The other CPU jobs are finished when this returns, and their items have the
  // outcome. `tag`: kInboundTag or kOutboundTag. `to_cpu(item, index, jobs)` adds an item's job for
  // the CPU.
  template <typename Item, typename Flight, typename ToCpu>
  void RunJobs(std::span<Item> items, Flight* flight, uint32_t tag, ToCpu to_cpu) {
    std::array<uint16_t, kMaxBatch> refused;
    uint32_t refusals = 0;
    for (uint32_t e = 0; e < engines; ++e) {
      if (!look_aside[e] || jobs[e].size == 0) continue;
      const uint32_t taken = Park(items, e, flight, tag);
      for (const CryptoJob& job : jobs[e].all().subspan(taken)) {
        to_cpu(items[job.index], job.index, &jobs);
        refused[refusals++] = job.index;
      }
    }
    RunCpuJobs(items);
    for (uint32_t i = 0; i < refusals && !flight->empty() && flight->room() > 0; ++i) {
      flight->Park(items[refused[i]], reader->current(), CryptoStatus::kOk);
      items[refused[i]].packet = nullptr;
    }
  }

 private:
  // Submits jobs to look-aside engine `e` and returns how many it accepted.
  template <typename Item, typename Flight>
  uint32_t Park(std::span<Item> items, uint32_t e, Flight* flight, uint32_t tag) {
    std::span<CryptoJob> list = jobs[e].all();
    if (list.size() > flight->room()) list = list.first(flight->room());
    for (std::size_t i = 0; i < list.size(); ++i) {
      list[i].tag = flight->tag_after(static_cast<uint32_t>(i)) | tag;
    }
    const auto taken = static_cast<uint32_t>(queues[e]->Submit(list));
    for (const CryptoJob& job : list.first(taken)) {
      flight->Park(items[job.index], reader->current());
      items[job.index].packet = nullptr;
    }
    return taken;
  }
};

}  // namespace cygnet
