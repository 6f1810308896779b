// PathOps: what differs between the ways an SA's cryptography is done, as a table. The pipelines
// call through it once per run; nothing else asks which path an SA is on.
#pragma once

#include <cstdint>
#include <span>

#include "crypto/crypto_job.h"
#include "datapath/sa_binding.h"
#include "net/esp_view.h"
#include "net/flow_key.h"
#include "packet/packet_batch.h"
#include "sa/sa.h"

namespace cygnet {

// Jobs of one burst, for all its runs. CryptoJob::index is the packet's index in the burst.
struct JobList {
  std::array<CryptoJob, kMaxBatch> jobs;
  uint32_t size = 0;
  CryptoJob* Add(uint16_t index) {
    CryptoJob* job = &jobs[size++];
    job->index = index;
    return job;
  }
};

// A run: packets of one SA that follow each other in a burst. All spans have one length.
struct OutboundRun {
  const OutboundSa& sa;
  const SaBinding& binding;
  const OffloadDevice* egress;  // the device that the packets will leave by
  uint64_t first_seq;
  uint32_t path_mtu;     // of what this SA sends
  uint16_t first_index;  // of packets[0] in the burst
  std::span<Packet* const> packets;
  std::span<const IpPacketView> views;
  std::span<DropReason> verdicts;
  JobList* jobs;
};

struct InboundRun {
  const InboundSa& sa;
  const SaBinding& binding;
  uint16_t first_index;
  std::span<Packet* const> packets;
  std::span<const IpPacketView> views;
  std::span<const EspView> esp;
  std::span<const uint64_t> seqs;
  std::span<DropReason> verdicts;
  JobList* jobs;
};

struct PathOps {
  void (*prepare_outbound)(const OutboundRun& run);
  void (*prepare_inbound)(const InboundRun& run);
};

const PathOps& OpsOf(ProcessingPath path);

// After the jobs ran: packets whose job failed get their verdict; outbound ones that were sealed
// are marked so.
void CompleteOutboundJobs(const JobList& jobs, std::span<Packet* const> packets,
                          std::span<DropReason> verdicts);
void CompleteInboundJobs(const JobList& jobs, std::span<DropReason> verdicts);

}  // namespace cygnet
