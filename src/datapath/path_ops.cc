#include "datapath/path_ops.h"

#include "base/endian.h"
#include "datapath/seal_proof.h"
#include "datapath/shadow/wire_shadow.h"
#include "esp/crypto_jobs.h"
#include "esp/encapsulate.h"
#include "esp/size.h"

namespace cygnet {
namespace {

// Adds a job that seals a built ESP packet with the session of `params`.
void AddSealJob(const esp::JobParams& params, Packet* packet, uint16_t index, JobList* jobs) {
  esp::BuildJob(params, packet->bytes().subspan(packet->offload.esp_offset),
                packet->offload.esn_high, jobs->Add(index));
}

void EncapsulateRun(const OutboundRun& run) {
  const esp::Encapsulator esp_packet(run.sa, run.path_mtu);
  for (std::size_t i = 0; i < run.items.size(); ++i) {
    OutboundItem& item = run.items[i];
    if (item.verdict != DropReason::kNone) continue;
    item.verdict = esp_packet.Build(item.view, run.first_seq + i, item.packet);
    if (item.verdict == DropReason::kNone &&
        !OweSeal(run.sa.layout, run.unsealed_word, item.packet)) {
      item.verdict = DropReason::kOutTooBig;
    }
  }
}

void AddSealJobs(const OutboundRun& run, const EngineSession& with) {
  const esp::JobParams params = esp::ParamsOf(run.sa, with.session.get());
  JobList* jobs = &(*run.jobs)[with.engine];
  for (std::size_t i = 0; i < run.items.size(); ++i) {
    if (run.items[i].verdict != DropReason::kNone) continue;
    AddSealJob(params, run.items[i].packet, static_cast<uint16_t>(run.first_index + i), jobs);
  }
}

// Software: the stack builds the ESP packet, the CPU seals it.
void PrepareOutboundSoftware(const OutboundRun& run) {
  EncapsulateRun(run);
  AddSealJobs(run, run.binding.cpu);
}

// Look-aside: the same, but an engine seals it later.
void PrepareOutboundLookAside(const OutboundRun& run) {
  EncapsulateRun(run);
  AddSealJobs(run, run.binding.rare().look_aside);
}

// For a packet that the SA's device cannot seal: the CPU seals it, or it is dropped if a device is
// required.
void AddFallbackJob(const OutboundRun& run, std::size_t i) {
  OutboundItem& item = run.items[i];
  if (run.binding.cpu.session == nullptr) {
    item.verdict = DropReason::kOutRequired;
    return;
  }
  AddCpuSealJob(item, static_cast<uint16_t>(run.first_index + i), run.jobs);
}

// True if the next packet for the device is verified at the wire.
bool IsDrawn(const OutboundRun& run) {
  return run.shadow_one_of != 0 && run.sampler->Draw(run.shadow_one_of);
}

// Crypto offload: the stack builds the ESP packet, the device seals it as it leaves. A packet is
// sealed in software if the device cannot handle it, if it must be cut first, or if it leaves by a
// device that does not hold the SA. No packet is lost or leaves unsealed.
void PrepareOutboundCryptoOffload(const OutboundRun& run) {
  EncapsulateRun(run);
  std::array<Packet*, kMaxBatch> packets;
  std::array<bool, kMaxBatch> eligible{};
  const std::size_t n = run.items.size();
  if (run.egress == run.binding.device()) {
    for (std::size_t i = 0; i < n; ++i) packets[i] = run.items[i].packet;
    run.binding.device()->FilterEligible({packets.data(), n}, {eligible.data(), n});
  }
  for (std::size_t i = 0; i < n; ++i) {
    OutboundItem& item = run.items[i];
    if (item.verdict != DropReason::kNone) continue;
    const bool whole = item.packet->length - item.packet->l3_offset <= run.path_mtu;
    if (eligible[i] && whole) {
      item.packet->offload.handle = run.binding.handle;
      item.packet->SetSaNumber(run.sa.sa->number);
      item.packet->offload.status = OffloadStatus::kSealRequested;
      if (IsDrawn(run)) MarkBuilt(run.sa, item.packet);
    } else {
      AddFallbackJob(run, i);
    }
  }
}

// Marks a packet in clear for the SA's device, if the device can protect it.
DropReason HandToDevice(const OutboundRun& run, OutboundItem* item) {
  // The device applies one SA to packets that it sends itself.
  if (run.egress != run.binding.device() || item->chain.size != 1) return DropReason::kOutRequired;
  const IpPacketView& ip = item->view;
  const bool v4 = ip.flow.family == IpFamily::kV4;
  const uint32_t outside = run.sa.mode == SaMode::kTunnel ? 0
                           : v4                           ? ip.ip_header_length
                                                          : ip.esp_offset_v6;
  // No device cuts packets.
  if (esp::WireLength(run.sa, ip.total_length, outside) > run.path_mtu) {
    return DropReason::kOutTooBig;
  }
  Packet* packet = item->packet;
  const uint32_t spi = LoadBe32(run.sa.header.data() + run.sa.header_length - 4);
  if (!OweDeviceSeal(run.sa.layout, spi, packet->l3_offset + outside, packet)) {
    return DropReason::kOutTooBig;
  }
  packet->offload.handle = run.binding.handle;
  packet->offload.status = OffloadStatus::kProtectRequested;
  packet->SetSaNumber(run.sa.sa->number);
  if (IsDrawn(run)) MarkClear(run.sa, ip, packet);
  return DropReason::kNone;
}

// Packet offload: the device builds, numbers, counts and seals the packet. There is no fallback,
// because the numbers are the device's.
void PrepareOutboundPacketOffload(const OutboundRun& run) {
  for (OutboundItem& item : run.items) {
    if (item.verdict == DropReason::kNone) item.verdict = HandToDevice(run, &item);
  }
}

// Blocked: no engine or device may do the SA's cryptography. The packets' sequence numbers stay
// reserved and are never reused.
void PrepareOutboundBlocked(const OutboundRun& run) {
  for (OutboundItem& item : run.items) {
    if (item.verdict == DropReason::kNone) item.verdict = DropReason::kOutBlocked;
  }
}

void AddOpenJob(const esp::JobParams& params, const InboundItem& item, uint16_t index,
                JobList* jobs) {
  const uint32_t length = item.view.total_length - item.esp.esp_offset;
  esp::BuildJob(params, item.packet->l3().subspan(item.esp.esp_offset, length),
                static_cast<uint32_t>(item.seq >> 32), jobs->Add(index));
}

// A device's status comes first on every path, because bytes that a device opened cannot be opened
// again. The SA may have moved since then, but its key is the same.
DropReason ApplyDeviceStatus(const InboundRun& run, InboundItem* item) {
  const OffloadMeta& meta = item->packet->offload;
  const OffloadDevice* device = run.interfaces[item->packet->interface].offload;
  if (!run.binding.MayHaveOpened({device, meta.handle})) return DropReason::kInDeviceStale;
  if (meta.status == OffloadStatus::kAuthFailed) return DropReason::kInAuthFailed;
  if (meta.status != OffloadStatus::kOpened) return DropReason::kInDeviceError;
  if (run.sa.esn) {
    // The number that the ICV was verified with is authoritative. The window checks it again in
    // step 8.
    item->seq = uint64_t{meta.esn_high} << 32 | item->esp.seq_low;
  }
  return DropReason::kNone;
}

void PrepareInbound(const InboundRun& run, const EngineSession& with) {
  const esp::JobParams params = esp::ParamsOf(run.sa, with.session.get());
  JobList* jobs = &(*run.jobs)[with.engine];
  for (std::size_t i = 0; i < run.items.size(); ++i) {
    InboundItem& item = run.items[i];
    if (item.verdict != DropReason::kNone) continue;
    if (item.packet->offload.status != OffloadStatus::kNone) {
      item.verdict = ApplyDeviceStatus(run, &item);
    } else if (with.session == nullptr) {  // a device is required, and did not open it
      item.verdict = DropReason::kInRequired;
    } else if (esp::HasRoomForJob(run.sa.layout, item.view.total_length - item.esp.esp_offset)) {
      AddOpenJob(params, item, static_cast<uint16_t>(run.first_index + i), jobs);
    } else {
      item.verdict = DropReason::kInTruncated;
    }
  }
}

void PrepareInboundOnCpu(const InboundRun& run) { PrepareInbound(run, run.binding.cpu); }

void PrepareInboundLookAside(const InboundRun& run) {
  PrepareInbound(run, run.binding.rare().look_aside);
}

void PrepareInboundBlocked(const InboundRun& run) {
  for (InboundItem& item : run.items) {
    if (item.verdict == DropReason::kNone) item.verdict = DropReason::kInBlocked;
  }
}

// Indexed by ProcessingPath.
constexpr PathOps kPathOps[] = {
    {Bookkeeper::kStack, PrepareOutboundSoftware, PrepareInboundOnCpu},
    {Bookkeeper::kStack, PrepareOutboundLookAside, PrepareInboundLookAside},
    {Bookkeeper::kStack, PrepareOutboundCryptoOffload, PrepareInboundOnCpu},
    // Inbound, what the device decapsulated does not get here (InboundPipeline::AdmitDecapsulated).
    {Bookkeeper::kDevice, PrepareOutboundPacketOffload, PrepareInboundOnCpu},
    {Bookkeeper::kStack, PrepareOutboundBlocked, PrepareInboundBlocked},
};

}  // namespace

const PathOps& OpsOf(ProcessingPath path) { return kPathOps[static_cast<std::size_t>(path)]; }

void AddCpuSealJob(const OutboundItem& item, uint16_t index, JobLists* jobs) {
  const EngineSession& cpu = item.binding->cpu;
  AddSealJob(esp::ParamsOf(*item.sa(), cpu.session.get()), item.packet, index,
             &(*jobs)[cpu.engine]);
}

void AddCpuOpenJob(const InboundItem& item, uint16_t index, JobLists* jobs) {
  const EngineSession& cpu = item.binding->cpu;
  AddOpenJob(esp::ParamsOf(*item.sa, cpu.session.get()), item, index, &(*jobs)[cpu.engine]);
}

void CompleteJob(CryptoStatus status, OutboundItem* item) {
  if (status == CryptoStatus::kOk) {
    item->packet->offload.status = OffloadStatus::kSealed;
  } else {
    item->verdict = DropReason::kOutCryptoError;
  }
}

void CompleteJob(CryptoStatus status, DropReason* verdict) {
  if (status == CryptoStatus::kAuthFailed) {
    *verdict = DropReason::kInAuthFailed;
  } else if (status != CryptoStatus::kOk) {
    *verdict = DropReason::kInCryptoError;
  }
}

void CompleteJob(CryptoStatus status, InboundItem* item) { CompleteJob(status, &item->verdict); }

}  // namespace cygnet
