// PathOps: what differs between the ways an SA's cryptography is done, as a table. The pipelines
// call through it once per run; nothing else asks which path an SA is on.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "crypto/crypto_job.h"
#include "crypto/engine_set.h"
#include "datapath/data_path.h"
#include "datapath/flow_cache.h"
#include "datapath/reassembly.h"
#include "datapath/sa_binding.h"
#include "esp/decapsulate.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "packet/packet_batch.h"
#include "sa/sa.h"

namespace cygnet {

// A packet on its way out, and what the pipeline knows of it.
struct OutboundItem {
  Packet* packet = nullptr;
  IpPacketView view = {};              // of the packet as it is now
  SaChain chain = {};                  // transforms, innermost first; none: it leaves in clear
  const SaBinding* binding = nullptr;  // of the transform that is going on
  uint64_t held_since = 0;             // epoch of the first time it was parked; 0: never
  uint32_t path_mtu = kAnyMtu;         // of the last transform's SA
  uint8_t round = 0;                   // transforms done
  uint8_t egress = 0;                  // interface it leaves by
  uint8_t departure = 0;               // its run among those of the batch; 0: in no order
  DropReason verdict = DropReason::kNone;

  static constexpr uint32_t kAnyMtu = ~uint32_t{0};

  // Sets everything but `view`. The packet leaves by the interface that it came by, until a next
  // hop says otherwise.
  void Begin(Packet* p, const SaChain& transforms) {
    packet = p;
    chain = transforms;
    binding = nullptr;
    held_since = 0;
    path_mtu = kAnyMtu;
    round = 0;
    egress = p->interface;
    departure = 0;
    verdict = DropReason::kNone;
  }
  // The SA of the next transform; nullptr: none is left, or there is a verdict.
  OutboundSa* sa() const {
    return verdict == DropReason::kNone && round < chain.size ? chain.sas[round] : nullptr;
  }
  bool last_round() const { return round + 1 == chain.size; }
};

// SAs a packet came by, outermost first.
struct SecPath {
  std::array<const Sa*, kMaxTemplates> sas{};
  uint8_t size = 0;
  std::span<const Sa* const> all() const { return {sas.data(), size}; }
};

// A packet that came in, and what the pipeline knows of it.
struct InboundItem {
  Packet* packet = nullptr;
  IpPacketView view = {};              // of the packet as it is now
  EspView esp = {};                    // ESP packets only
  InboundSa* sa = nullptr;             // that opens it next; nullptr: it is not ESP (any more)
  const SaBinding* binding = nullptr;  // of `sa`
  SecPath path = {};
  Reassembler::Cut cut = {};  // of what was put together
  bool joined = false;        // it came in fragments
  uint64_t seq = 0;
  uint64_t held_since = 0;  // epoch of the first time it was parked; 0: never
  esp::Trailer trailer = {};
  DropReason verdict = DropReason::kNone;

  // Sets everything but `view` and what later steps fill in.
  void Begin(Packet* p) {
    packet = p;
    esp = {};
    sa = nullptr;
    binding = nullptr;
    path.size = 0;
    cut = {};
    joined = false;
    held_since = 0;
    verdict = DropReason::kNone;
  }
};

// Jobs of one batch for one engine. CryptoJob::index is the item's in the batch.
struct JobList {
  std::array<CryptoJob, kMaxBatch> jobs;
  uint32_t size = 0;
  CryptoJob* Add(uint16_t index) {
    CryptoJob* job = &jobs[size++];
    job->index = index;
    return job;
  }
  std::span<CryptoJob> all() { return {jobs.data(), size}; }
};
using JobLists = std::array<JobList, EngineSet::kMaxEngines>;  // by the engine's number

// A run: items of one SA that follow each other in a batch, all with a verdict of kNone.
struct OutboundRun {
  const OutboundSa& sa;
  const SaBinding& binding;
  const OffloadDevice* egress;  // the device that the packets leave by after this; nullptr: none
  uint64_t first_seq;
  uint32_t path_mtu;       // of what this SA sends
  uint64_t unsealed_word;  // DataPath's
  uint16_t first_index;    // of items[0] in the batch
  std::span<OutboundItem> items;
  JobLists* jobs;
};

struct InboundRun {
  const InboundSa& sa;
  const SaBinding& binding;
  std::span<const Interface> interfaces;  // a packet's is that of its number
  uint16_t first_index;
  std::span<InboundItem> items;
  JobLists* jobs;
};

// Every item ends with a verdict, with a job, or marked for the device.
struct PathOps {
  void (*prepare_outbound)(const OutboundRun& run);
  void (*prepare_inbound)(const InboundRun& run);
};

const PathOps& OpsOf(ProcessingPath path);

// The job of an item that an engine gave back undone, for the CPU instead.
void AddCpuSealJob(const OutboundItem& item, uint16_t index, JobLists* jobs);
void AddCpuOpenJob(const InboundItem& item, uint16_t index, JobLists* jobs);

// What the end of a job means for its item.
void CompleteJob(CryptoStatus status, OutboundItem* item);
void CompleteJob(CryptoStatus status, InboundItem* item);

}  // namespace cygnet
