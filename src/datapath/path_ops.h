// PathOps: the table of operations that differ by the place of an SA's cryptography. The pipelines
// call through it once per run; no other code depends on that place.
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
#include "datapath/shadow/shadow_sampler.h"
#include "esp/decapsulate.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "packet/packet_batch.h"
#include "sa/sa.h"

namespace cygnet {

// An outbound packet with the pipeline's state of it.
struct OutboundItem {
  Packet* packet = nullptr;
  IpPacketView view = {};              // of the packet as it is now
  SaChain chain = {};                  // transforms, innermost first; none: it leaves in clear
  const SaBinding* binding = nullptr;  // of the current transform
  uint64_t held_since = 0;             // epoch of the first time it was parked; 0: never
  uint32_t path_mtu = kAnyMtu;         // of the last transform's SA
  uint8_t round = 0;                   // transforms done
  uint8_t egress = 0;                  // interface it leaves by
  uint8_t departure_run = 0;           // its run in the batch (Departures); 0: leaves in any order
  DropReason verdict = DropReason::kNone;

  static constexpr uint32_t kAnyMtu = ~uint32_t{0};

  // Sets everything but `view`. The packet leaves by the interface through which it arrived, unless
  // a next hop changes it.
  void Begin(Packet* p, const SaChain& transforms) {
    packet = p;
    chain = transforms;
    binding = nullptr;
    held_since = 0;
    path_mtu = kAnyMtu;
    round = 0;
    egress = p->interface;
    departure_run = 0;
    verdict = DropReason::kNone;
  }
  // The SA of the next transform; nullptr if none is left or there is a verdict.
  OutboundSa* sa() const {
    return verdict == DropReason::kNone && round < chain.size ? chain.sas[round] : nullptr;
  }
  bool last_round() const { return round + 1 == chain.size; }
};

// The SAs that opened a packet, outermost first.
struct SecPath {
  std::array<const Sa*, kMaxTemplates> sas{};
  uint8_t size = 0;
  std::span<const Sa* const> all() const { return {sas.data(), size}; }
};

// An inbound packet with the pipeline's state of it.
struct InboundItem {
  Packet* packet = nullptr;
  IpPacketView view = {};   // of the packet as it is now
  EspView esp = {};         // ESP packets only
  InboundSa* sa = nullptr;  // that opens it next; nullptr if it is not (or no longer) ESP
  const SaBinding* binding = nullptr;  // of `sa`
  SecPath path = {};
  Reassembler::Cut cut = {};  // of a reassembled packet
  bool joined = false;        // it came in fragments
  bool recorded = false;      // captures have seen that it is dropped
  uint64_t seq = 0;
  uint64_t held_since = 0;  // epoch of the first time it was parked; 0: never
  esp::Trailer trailer = {};
  DropReason verdict = DropReason::kNone;

  // Sets everything but `view` and the members that later steps fill in.
  void Begin(Packet* p) {
    packet = p;
    esp = {};
    sa = nullptr;
    binding = nullptr;
    path.size = 0;
    cut = {};
    joined = false;
    recorded = false;
    held_since = 0;
    verdict = DropReason::kNone;
  }
  // Before the high word of the sequence number is known.
  void RefuseUnnumbered(DropReason reason) {
    verdict = reason;
    seq = esp.seq_low;
  }
};

// Jobs of one batch for one engine. CryptoJob::index is the item's index in the batch.
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

// A run: consecutive items of one SA in a batch, all with verdict kNone.
struct OutboundRun {
  const OutboundSa& sa;
  const SaBinding& binding;
  const OffloadDevice* egress;  // the device that sends the packets after this round; nullptr: none
  uint64_t first_seq;
  uint32_t path_mtu;       // of this SA's packets
  uint64_t unsealed_word;  // DataPath's
  uint32_t shadow_one_of;  // one of so many packets for the device is verified; 0: none
  ShadowSampler* sampler;
  uint16_t first_index;  // of items[0] in the batch
  std::span<OutboundItem> items;
  JobLists* jobs;
};

struct InboundRun {
  const InboundSa& sa;
  const SaBinding& binding;
  std::span<const Interface> interfaces;  // indexed by Packet::interface
  uint16_t first_index;
  std::span<InboundItem> items;
  JobLists* jobs;
};

// Who charges lifetimes and gives out and checks sequence numbers.
enum class Bookkeeper : uint8_t { kStack, kDevice };

// Each function leaves every item with a verdict, with a job, or marked for the device.
struct PathOps {
  Bookkeeper outbound;
  void (*prepare_outbound)(const OutboundRun& run);
  void (*prepare_inbound)(const InboundRun& run);
};

const PathOps& OpsOf(ProcessingPath path);

// Add a CPU job for an item that a look-aside engine returned undone.
void AddCpuSealJob(const OutboundItem& item, uint16_t index, JobLists* jobs);
void AddCpuOpenJob(const InboundItem& item, uint16_t index, JobLists* jobs);

// Apply the status of a finished job to its item.
void CompleteJob(CryptoStatus status, OutboundItem* item);
void CompleteJob(CryptoStatus status, InboundItem* item);
// Inbound, of a packet whose item is only its verdict.
void CompleteJob(CryptoStatus status, DropReason* verdict);

}  // namespace cygnet
