#include "datapath/inbound_straight.h"

#include <algorithm>

#include "datapath/inbound_steps.h"
#include "datapath/path_ops.h"
#include "datapath/straight_way.h"
#include "esp/crypto_jobs.h"
#include "esp/decapsulate.h"
#include "esp/plain_inside.h"
#include "net/esp_view.h"
#include "net/ethernet.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kOuterHeader = 20;
constexpr uint32_t kLongestPacket = 0xffff;

// The general way knows what to do near a limit, and for other shapes.
bool IsPlainSa(const InboundSa& sa) {
  return sa.mode == SaMode::kTunnel && sa.layout.udp == 0 &&
         sa.sa->tunnel.load(std::memory_order_relaxed) == 0 &&
         sa.sa->lifetime().HasRoomFor(kMaxBatch, uint64_t{kMaxBatch} * kLongestPacket);
}

uint32_t PayloadAt(const InboundSa& sa) { return kOuterHeader + kEspHeader + sa.layout.iv; }

// Length of the IP packet, if it is ESP in IPv4 without options, whole, and not opened yet;
// otherwise 0.
uint32_t StraightEspLength(const Packet& packet) {
  const uint32_t length = PlainFrameLength(packet);
  const bool esp = length != 0 && packet.data()[kEthernetHeader + 9] == kProtoEsp &&
                   packet.offload.status == OffloadStatus::kNone;
  return esp ? length : 0;
}

uint32_t Raw(const uint8_t* at) {
  uint32_t word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

}  // namespace

void InboundStraight::Begin(uint8_t interface, uint32_t packets) {
  open_ = MayGoStraight(*ctx_->path, packets);
  in_vain_ = 0;
  at_ = 0;
  interface_ = interface;
  has_inside_ = !ctx_->path->inside.empty();
  flow_sa_ = nullptr;
  (void)LookForEsp(0);
  Forget();
}

void InboundStraight::Forget() {
  runs_ = 0;
  generation_ = 0;
}

// Steps 2 and 3.
uint32_t InboundStraight::Take(std::span<Packet* const> left) {
  const uint64_t generation = ctx_->path->generation();
  const std::size_t most = open_ ? left.size() : 0;  // only Find closes it
  Run* run = LastRun();
  uint32_t n = 0;
  for (; n < most; ++n) {
    Packet* packet = left[n];
    const uint32_t length = StraightEspLength(*packet);
    if (length < kOuterHeader + kEspHeader) break;
    const uint8_t* ip = packet->data() + kEthernetHeader;
    const uint32_t spi = Raw(ip + kOuterHeader);
    const uint32_t daddr = Raw(ip + 16);
    if (spi != spi_ || daddr != daddr_ || generation != generation_) {
      if (!Find(at_ + n, spi, daddr, generation)) break;
      run = LastRun();
    }
    if (length < run->least) break;
    packet->l3_offset = kEthernetHeader;
    packet->TrimTo(kEthernetHeader + length);
    low_[size_] = LoadBe32(ip + kOuterHeader + 4);
    packet_[size_++] = packet;
    run->end = static_cast<uint8_t>(size_);
  }
  at_ += n + 1;
  return n;
}

// For the first packet of a run, which is number `at` of the batch. False: the general way finds
// out why not.
[[gnu::noinline]] bool InboundStraight::Find(uint32_t at, uint32_t spi, uint32_t daddr,
                                             uint64_t generation) {
  if (!IsOwn(daddr, generation) || !Lookup(at, spi, daddr)) {
    open_ = ++in_vain_ < kPatience;
    return false;
  }
  in_vain_ = 0;
  spi_ = spi;
  daddr_ = daddr;
  generation_ = generation;
  return true;
}

[[gnu::noinline, gnu::cold]] bool InboundStraight::LookForOwn(uint32_t daddr, uint64_t generation) {
  if (!ctx_->path->host_addresses().Contains(IpAddress::V4(&daddr), IpFamily::kV4)) return false;
  own_ = daddr;
  own_generation_ = generation;
  return true;
}

bool InboundStraight::Lookup(uint32_t at, uint32_t spi, uint32_t daddr) {
  const Sa* sa = SaOf(at, spi, daddr);
  if (sa == nullptr || CheckInboundState(*sa) != DropReason::kNone) return false;
  InboundSa* half = sa->inbound();
  const SaBinding* binding = half->binding.load(std::memory_order_acquire);
  if (binding == nullptr || !binding->cpu_alone() || !IsPlainSa(*half)) return false;
  const auto begin = static_cast<uint8_t>(size_);
  run_[runs_++] = {.sa = half,
                   .binding = binding,
                   .least = PayloadAt(*half) + 2u + half->layout.icv,
                   .begin = begin,
                   .end = begin};
  return true;
}

const Sa* InboundStraight::SaOf(uint32_t at, uint32_t spi, uint32_t daddr) const {
  const DataPath& path = *ctx_->path;
  const Sad::InboundName name(Spi(ByteSwap(spi)), IpAddress::V4(&daddr), IpFamily::kV4, kProtoEsp);
  const Sa* known = warm_up_->SaOf(at, path.generation());
  return known != nullptr && name.Names(*known) ? known : path.sad.LookupInbound(name);
}

// True if the packet is open, and what was inside needs nothing special. Reads its payload's
// length.
[[gnu::always_inline]] inline bool InboundStraight::IsPlain(uint32_t index, const InboundSa& sa) {
  if (verdict_[index] != DropReason::kNone) return false;
  const Packet& packet = *packet_[index];
  const esp::PlainInside inside = esp::ReadPlainInside(sa, packet, kOuterHeader);
  if (inside.length == 0) return false;
  payload_[index] = inside.payload;
  const uint8_t* ip = packet.data() + kEthernetHeader + inside.at;
  const bool tcp = ip[9] == kProtoTcp;
  if (!tcp && (ip[9] != kProtoUdp || MayBeEsp(LoadBe16(ip + kOuterHeader + 2)))) return false;
  if (!HasManyRuns() || decider_->keeps_nothing()) return true;
  place_[index] = PlainFlows::Name(PlainFlow(ip), interface_, sa.sa->number).Place();
  flows_.Prefetch(place_[index]);
  return true;
}

void InboundStraight::Open() {
  ctx_->ClearJobs();
  std::fill_n(verdict_.begin(), size_, DropReason::kNone);
  for (const Run& run : std::span(run_).first(runs_)) OpenRun(run);
  ctx_->RunCpuJobs(std::span(verdict_).first(size_));
  for (const Run& run : std::span(run_).first(runs_)) {
    for (uint32_t i = run.begin; i < run.end; ++i) plain_[i] = IsPlain(i, *run.sa);
  }
}

// Steps 5 to 7.
void InboundStraight::OpenRun(const Run& run) {
  const uint32_t n = run.end - run.begin;
  if (n == 0) return;
  warm_up_->CountRun();
  run.sa->replay.CheckRun(std::span(low_).subspan(run.begin, n),
                          std::span(seq_).subspan(run.begin, n),
                          std::span(verdict_).subspan(run.begin, n));
  const EngineSession& cpu = run.binding->cpu;
  __builtin_prefetch(cpu.session.get());  // for the engine
  const esp::JobParams params = esp::ParamsOf(*run.sa, cpu.session.get());
  JobList* jobs = &ctx_->jobs[cpu.engine];
  for (uint32_t i = run.begin; i < run.end; ++i) {
    if (verdict_[i] != DropReason::kNone) continue;
    esp::BuildJob(params, packet_[i]->l3().subspan(kOuterHeader),
                  static_cast<uint32_t>(seq_[i] >> 32), jobs->Add(static_cast<uint16_t>(i)));
  }
}

// Whether UDP to this port carries ESP.
bool InboundStraight::LookForEsp(uint16_t port) {
  const auto ports = ctx_->path->encap_ports();
  esp_port_ = port;
  may_be_esp_ = std::binary_search(ports.begin(), ports.end(), port);
  return may_be_esp_;
}

InboundStraight::Part InboundStraight::PartFrom(uint32_t begin) const {
  uint32_t end = begin + 1;
  while (end < size_ && plain_[end] == plain_[begin]) ++end;
  return {begin, end, plain_[begin]};
}

InboundStraight::Opened InboundStraight::At(uint32_t index) const {
  const Run* run = run_.data();
  while (run->end <= index) ++run;
  return {packet_[index], run->sa, run->binding, seq_[index], verdict_[index]};
}

uint32_t InboundStraight::Complete(const Part& part, PacketBatch* to_host, PacketBatch* inside) {
  uint32_t tcp = 0;
  for (const Run& run : std::span(run_).first(runs_)) {
    const uint32_t begin = std::max<uint32_t>(run.begin, part.begin);
    const uint32_t end = std::min<uint32_t>(run.end, part.end);
    if (begin < end) tcp += CompleteRun(run, begin, end, to_host, inside);
  }
  return tcp;
}

// Step 10 for the first packet of a flow.
DropReason InboundStraight::Decide(const InboundSa& sa, PlainFlow flow, uint32_t index,
                                   uint64_t generation) {
  flow_verdict_ = Ask(sa, flow, index, generation);
  if (has_inside_ && flow_verdict_ == DropReason::kNone) {
    exit_.Look(*ctx_->path, *packet_[index], flow.Key());
  }
  flow_ = flow;
  flow_sa_ = &sa;
  flow_generation_ = generation;
  return flow_verdict_;
}

DropReason InboundStraight::Ask(const InboundSa& sa, const PlainFlow& flow, uint32_t index,
                                uint64_t generation) {
  const Sa* const secpath[] = {sa.sa};
  if (decider_->keeps_nothing()) {
    return VerdictOf(ctx_, decider_->Inbound(interface_, flow.Key(), secpath));
  }
  const PlainFlows::Name name(flow, interface_, sa.sa->number);
  const uint32_t place = HasManyRuns() ? place_[index] : name.Place();
  if (const PlainFlows::Entry* known = flows_.Find(place, name, generation)) {
    known->CountUse(ctx_->now);
    return DropReason::kNone;
  }
  const FlowDecision& decision = decider_->Inbound(interface_, flow.Key(), secpath);
  const DropReason verdict = VerdictOf(ctx_, decision);
  if (verdict == DropReason::kNone) flows_.Store(place, name, generation, decision);
  return verdict;
}

// Step 8, then steps 9 and 10 for each packet.
uint32_t InboundStraight::CompleteRun(const Run& run, uint32_t begin, uint32_t end,
                                      PacketBatch* to_host, PacketBatch* inside) {
  const InboundSa& sa = *run.sa;
  const uint32_t n = end - begin;
  const std::span<DropReason> verdicts = std::span(verdict_).subspan(begin, n);
  CommitReplay(ctx_, run.sa, std::span(seq_).subspan(begin, n), verdicts);
  ChargeOpened(ctx_, sa, std::span(payload_).subspan(begin, n), verdicts);
  const uint64_t generation = ctx_->path->generation();
  const uint32_t payload_at = PayloadAt(sa);
  const bool has_inside = has_inside_;
  uint32_t tcp = 0;
  for (uint32_t i = begin; i < end; ++i) {
    Packet* packet = packet_[i];
    DropReason reason = verdict_[i];
    PlainFlow flow;
    if (reason == DropReason::kNone) {
      const uint8_t* outer = packet->data() + kEthernetHeader;
      const uint8_t* inner = outer + payload_at;
      flow = PlainFlow(inner);
      esp::StripTunnel(sa, outer[1], payload_at, LoadBe16(inner + 2), IpFamily::kV4, packet);
      packet->offload = OffloadMeta{};
      packet->csum_partial = false;  // it referred to the outer packet's checksum
      // Packets of a flow mostly follow each other.
      const bool same = &sa == flow_sa_ && flow == flow_ && generation == flow_generation_;
      reason = same ? flow_verdict_ : Decide(sa, flow, i, generation);
    }
    if (reason != DropReason::kNone) {
      sa.sa->CountDrop(reason);
      ctx_->sink.Drop(packet, reason);
    } else if (has_inside && exit_.Leave(ctx_, packet->length - kEthernetHeader, true, packet)) {
      inside->Push(packet);
    } else {
      to_host->Push(packet);
      tcp += flow.proto == kProtoTcp;
    }
  }
  return tcp;
}

}  // namespace cygnet
