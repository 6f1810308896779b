#include "datapath/path_ops.h"

#include "esp/crypto_jobs.h"
#include "esp/encapsulate.h"

namespace cygnet {
namespace {

void AddSealJob(const OutboundRun& run, std::size_t i) {
  Packet* packet = run.packets[i];
  esp::BuildJob(esp::ParamsOf(run.sa, run.binding.session.get()),
                packet->bytes().subspan(packet->offload.esp_offset), packet->offload.esn_high,
                run.jobs->Add(static_cast<uint16_t>(run.first_index + i)));
}

void EncapsulateRun(const OutboundRun& run) {
  for (std::size_t i = 0; i < run.packets.size(); ++i) {
    if (run.verdicts[i] != DropReason::kNone) continue;
    run.verdicts[i] =
        esp::Encapsulate(run.sa, run.views[i], run.first_seq + i, run.path_mtu, run.packets[i]);
  }
}

// Software: the stack builds the ESP packet, an engine seals it.
void PrepareOutboundSoftware(const OutboundRun& run) {
  EncapsulateRun(run);
  for (std::size_t i = 0; i < run.packets.size(); ++i) {
    if (run.verdicts[i] == DropReason::kNone) AddSealJob(run, i);
  }
}

// Crypto offload: the stack builds the ESP packet, the device seals it on its way out. A packet
// that the device cannot take, or that leaves by another device than the one that holds the SA, is
// sealed in software: no packet is lost for it, none leaves unsealed.
void PrepareOutboundCryptoOffload(const OutboundRun& run) {
  if (run.egress != run.binding.device) {
    PrepareOutboundSoftware(run);
    return;
  }
  EncapsulateRun(run);
  std::array<bool, kMaxBatch> eligible;
  run.binding.device->FilterEligible(run.packets, {eligible.data(), run.packets.size()});
  for (std::size_t i = 0; i < run.packets.size(); ++i) {
    if (run.verdicts[i] != DropReason::kNone) continue;
    if (eligible[i]) {
      run.packets[i]->offload.handle = run.binding.handle;
      run.packets[i]->offload.status = OffloadStatus::kSealRequested;
    } else {
      AddSealJob(run, i);
    }
  }
}

void AddOpenJob(const InboundRun& run, std::size_t i) {
  const uint32_t length = run.views[i].total_length - run.esp[i].esp_offset;
  if (!esp::HasRoomForJob(run.sa.layout, length)) {
    run.verdicts[i] = DropReason::kInTruncated;
    return;
  }
  esp::BuildJob(esp::ParamsOf(run.sa, run.binding.session.get()),
                run.packets[i]->l3().subspan(run.esp[i].esp_offset, length),
                static_cast<uint32_t>(run.seqs[i] >> 32),
                run.jobs->Add(static_cast<uint16_t>(run.first_index + i)));
}

// Whatever the path, what a device did to a packet decides first: bytes it opened cannot be opened
// again. `handle`: the SA's on the device; none in software.
void PrepareInbound(const InboundRun& run, std::optional<OffloadHandle> handle) {
  for (std::size_t i = 0; i < run.packets.size(); ++i) {
    if (run.verdicts[i] != DropReason::kNone) continue;
    const OffloadMeta& meta = run.packets[i]->offload;
    if (meta.status == OffloadStatus::kNone) {
      AddOpenJob(run, i);  // the device did not know it, or could not take it
    } else if (!handle.has_value() || meta.handle != *handle) {
      run.verdicts[i] = DropReason::kInDeviceStale;
    } else if (meta.status == OffloadStatus::kAuthFailed) {
      run.verdicts[i] = DropReason::kInAuthFailed;
    } else if (meta.status != OffloadStatus::kOpened) {
      run.verdicts[i] = DropReason::kInDeviceError;
    }
  }
}

void PrepareInboundSoftware(const InboundRun& run) { PrepareInbound(run, std::nullopt); }

void PrepareInboundCryptoOffload(const InboundRun& run) { PrepareInbound(run, run.binding.handle); }

// In the order of ProcessingPath.
constexpr PathOps kPathOps[] = {
    {PrepareOutboundSoftware, PrepareInboundSoftware},
    {PrepareOutboundCryptoOffload, PrepareInboundCryptoOffload},
};

}  // namespace

const PathOps& OpsOf(ProcessingPath path) { return kPathOps[static_cast<std::size_t>(path)]; }

void CompleteOutboundJobs(const JobList& jobs, std::span<Packet* const> packets,
                          std::span<DropReason> verdicts) {
  for (uint32_t i = 0; i < jobs.size; ++i) {
    const CryptoJob& job = jobs.jobs[i];
    if (job.status == CryptoStatus::kOk) {
      packets[job.index]->offload.status = OffloadStatus::kSealed;
    } else {
      verdicts[job.index] = DropReason::kOutCryptoError;
    }
  }
}

void CompleteInboundJobs(const JobList& jobs, std::span<DropReason> verdicts) {
  for (uint32_t i = 0; i < jobs.size; ++i) {
    const CryptoJob& job = jobs.jobs[i];
    if (job.status == CryptoStatus::kAuthFailed) {
      verdicts[job.index] = DropReason::kInAuthFailed;
    } else if (job.status != CryptoStatus::kOk) {
      verdicts[job.index] = DropReason::kInCryptoError;
    }
  }
}

}  // namespace cygnet
