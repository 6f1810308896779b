#include "datapath/shadow/wire_shadow.h"

#include <utility>

#include "base/endian.h"
#include "datapath/seal_proof.h"
#include "datapath/shadow/device_shadow.h"
#include "datapath/shadow/text_hash.h"
#include "net/frame.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

// --- Crypto offload: the whole packet but the ICV, with the text in clear ---

// `l3` begins with the outer IP header, which the device must not change either. It writes only the
// UDP checksum; a sealed IV is no longer the block that the stack wrote.
uint64_t HashOfBuilt(const EspLayout& layout, std::span<const uint8_t> outer,
                     std::span<const uint8_t> esp, uint32_t esn_high) {
  TextHash hash;
  hash.Add(uint64_t{esn_high});
  hash.Add(outer.first(outer.size() - (layout.udp != 0 ? 2 : 0)));
  const std::size_t iv = layout.iv_form == IvForm::kSealed ? 0u : layout.iv;
  hash.Add(esp.first(kEspHeader + iv));
  const std::size_t front = kEspHeader + layout.iv;
  hash.Add(esp.subspan(front, esp.size() - front - layout.icv));
  return hash.value();
}

// --- Packet offload: what must come out at the other end ---

uint64_t HashOfClear(uint8_t next_header, std::span<const uint8_t> options,
                     std::span<const uint8_t> payload) {
  TextHash hash;
  hash.Add(uint64_t{next_header});
  hash.Add(options);
  hash.Add(payload);
  return hash.value();
}

uint64_t HashOfOpened(const OutboundSa& sa, const ShadowText& text) {
  std::span<const uint8_t> payload = text.payload;
  if (sa.mode == SaMode::kTunnel) {  // TFC padding may follow the inner packet
    IpPacketView inner;
    if (ParseIpPacket(payload, &inner)) payload = payload.first(inner.total_length);
    return HashOfClear(text.next_header, {}, payload);
  }
  const bool pseudo = sa.mode == SaMode::kBeet && text.next_header == kProtoBeetPh;
  if (!pseudo || payload.size() < 4) return HashOfClear(text.next_header, {}, payload);
  const std::size_t length = (payload[1] + std::size_t{1}) * 8;
  const std::size_t skip = std::size_t{4} + payload[2];
  if (skip > length || length > payload.size()) return ~uint64_t{0};
  return HashOfClear(payload[0], payload.subspan(skip, length - skip), payload.subspan(length));
}

// The bytes that AppendTrailer writes (RFC 4303 section 2.4).
bool IsPadding(std::span<const uint8_t> padding) {
  for (std::size_t i = 0; i < padding.size(); ++i) {
    if (padding[i] != i + 1) return false;
  }
  return true;
}

// The number that the device used. nullopt: the IV is not the one of any number.
std::optional<uint64_t> NumberOf(const OutboundSa& sa, std::span<const uint8_t> esp) {
  const uint32_t low = LoadBe32(esp.data() + 4);
  if (sa.layout.iv_form == IvForm::kCounter) {
    const uint8_t* iv = esp.data() + kEspHeader;
    const uint64_t number = (uint64_t{LoadBe32(iv)} << 32 | LoadBe32(iv + 4)) ^ sa.iv_mask;
    return static_cast<uint32_t>(number) == low ? std::optional(number) : std::nullopt;
  }
  if (!sa.esn) return low;
  const uint64_t last = sa.sequence.last_sent();  // the newest number with these low bits
  const uint64_t high = static_cast<uint32_t>(last) >= low ? last >> 32 : (last >> 32) - 1;
  return high << 32 | low;
}

esp::JobParams ParamsFor(const OutboundSa& sa) { return esp::ParamsOf(sa, nullptr); }

}  // namespace

void MarkBuilt(const OutboundSa& sa, Packet* packet) {
  const std::span<const uint8_t> frame = packet->bytes();
  const std::size_t esp = packet->offload.esp_offset;
  packet->proof = HashOfBuilt(sa.layout, frame.subspan(packet->l3_offset, esp - packet->l3_offset),
                              frame.subspan(esp), packet->offload.esn_high);
  packet->protection = Protection::kOwedShadow;
}

void MarkClear(const OutboundSa& sa, const IpPacketView& ip, Packet* packet) {
  const std::span<const uint8_t> l3 = std::as_const(*packet).l3().first(ip.total_length);
  const bool v4 = ip.flow.family == IpFamily::kV4;
  if (sa.mode == SaMode::kTunnel) {
    packet->proof = HashOfClear(v4 ? kProtoIpip : kProtoIpv6, {}, l3);
  } else if (sa.mode == SaMode::kBeet) {
    const std::size_t header = v4 ? ip.ip_header_length : 40u;
    const std::size_t options = v4 ? header - 20 : 0;
    packet->proof =
        HashOfClear(v4 ? l3[9] : l3[6], l3.subspan(header - options, options), l3.subspan(header));
  } else {
    const std::size_t keep = v4 ? ip.ip_header_length : ip.esp_offset_v6;
    packet->proof = HashOfClear(l3[v4 ? 9u : ip.esp_nexthdr_offset_v6], {}, l3.subspan(keep));
  }
  packet->protection = Protection::kOwedByDeviceShadow;
}

WireShadow::WireShadow(const DataPath* path, DeviceShadow* shadow, const EngineSet& engines,
                       uint32_t number)
    : path_(path), shadow_(shadow) {
  ShadowDesk::Queues queues{};
  for (uint32_t e = 0; e < engines.size(); ++e) {
    if (engines[e].info->kind != EngineKind::kCpu) continue;
    queues_[e] = engines.engine(e)->CreateQueue(number);
    queues[e] = queues_[e].get();
  }
  desk_ = std::make_unique<ShadowDesk>(queues);
}

DropReason WireShadow::Check(const Packet& packet) {
  const std::lock_guard lock(mutex_);
  Frame frame;
  std::string_view what;
  switch (Judge(packet, &frame, &what)) {
    case Finding::kRight:
      shadow_->CountVerified(Half::kOutbound);
      return DropReason::kNone;
    case Finding::kWrong:
      shadow_->CountVerified(Half::kOutbound);
      Report(packet, frame, what);
      break;
    case Finding::kUnknown:
      shadow_->CountUnverified(Half::kOutbound);
  }
  return DropReason::kOutVerify;
}

WireShadow::Finding WireShadow::Judge(const Packet& packet, Frame* frame, std::string_view* what) {
  const Finding found = Find(packet, frame, what);
  if (found != Finding::kRight) return found;
  *what = Compare(packet, frame);
  return what->empty() ? Finding::kRight : Finding::kWrong;
}

// Finds the SA that the stack chose. Unknown: it is gone, or no session of the CPU is left.
WireShadow::Finding WireShadow::Find(const Packet& packet, Frame* frame,
                                     std::string_view* what) const {
  IpPacketView ip;
  const cygnet::Frame parsed = ParseFrame(packet.bytes(), &ip);
  const auto esp = EspBegins(packet);
  if (parsed.kind != FrameKind::kIp || !esp || *esp + kEspHeader > packet.length) {
    *what = "it is not an ESP packet";
    return Finding::kWrong;
  }
  frame->l3 = parsed.type.l3_offset;
  frame->esp = *esp;
  const uint32_t spi = LoadBe32(packet.data() + *esp);
  const bool built = packet.protection == Protection::kOwedShadow;
  if (built ? seal_proof::HeaderSum(packet.data() + *esp) != packet.proof_header
            : !SpiIs(packet, spi)) {
    *what = built ? "SPI or sequence number differs" : "the SPI is not the SA's";
    return Finding::kWrong;
  }
  Sa* sa = path_->sad.LookupInbound(Spi(spi), ip.flow.daddr, ip.flow.family, kProtoEsp);
  if (sa == nullptr || sa->outbound() == nullptr ||
      static_cast<uint32_t>(sa->number) != packet.sa_number()) {
    return Finding::kUnknown;
  }
  frame->sa = sa->outbound();
  const SaBinding* binding = frame->sa->binding.load(std::memory_order_acquire);
  if (binding == nullptr || binding->shadow() == nullptr ||
      binding->shadow()->open.session == nullptr) {
    return Finding::kUnknown;
  }
  frame->with = binding->shadow();
  return Finding::kRight;
}

// Returns what is wrong; empty: nothing.
std::string_view WireShadow::Compare(const Packet& packet, Frame* frame) {
  const OutboundSa& sa = *frame->sa;
  const std::span<uint8_t> esp = desk_->Copy(packet.bytes().subspan(frame->esp));
  if (!esp::HasRoomForJob(sa.layout, esp.size())) return "it is shorter than an ESP packet";
  const bool built = packet.protection == Protection::kOwedShadow;
  uint32_t esn_high = packet.offload.esn_high;
  if (!built) {
    const auto number = NumberOf(sa, esp);
    if (!number) return "the IV does not belong to the sequence number";
    frame->seq = *number;
    esn_high = static_cast<uint32_t>(*number >> 32);
  } else {
    frame->seq = uint64_t{esn_high} << 32 | LoadBe32(esp.data() + 4);
  }
  if (desk_->Run(ParamsFor(sa), frame->with->open, esn_high, esp) != CryptoStatus::kOk) {
    return "the ICV does not verify";
  }
  frame->opened = esp;
  if (built) {
    const auto outer = packet.bytes().subspan(frame->l3, frame->esp - frame->l3);
    return HashOfBuilt(sa.layout, outer, esp, esn_high) == packet.proof
               ? std::string_view{}
               : "the packet is not the one that the stack built";
  }
  ShadowText text;
  if (!ReadText(sa.layout, esp, &text) || !IsPadding(text.padding)) return "the padding is wrong";
  if (HashOfOpened(sa, text) != packet.proof) return "the packet inside is not the one handed over";
  if (frame->seq == 0 || frame->seq > sa.sequence.last_sent()) {
    return "the sequence number is outside the device's block";
  }
  const DropReason repeated = frame->with->seen.Commit(frame->seq);
  return repeated == DropReason::kNone ? std::string_view{} : "the sequence number was used before";
}

void WireShadow::Report(const Packet& packet, const Frame& frame, std::string_view what) const {
  ShadowEvidence evidence;
  evidence.half = Half::kOutbound;
  evidence.mode =
      packet.protection == Protection::kOwedShadow ? OffloadMode::kCrypto : OffloadMode::kPacket;
  evidence.what = what;
  evidence.seq = frame.seq;
  if (frame.sa != nullptr) evidence.id = frame.sa->sa->id();
  evidence.esp = CopyOf(packet.bytes());
  if (!frame.opened.empty()) {  // the same frame with the text in clear
    evidence.by_cpu = CopyOf(packet.bytes().first(frame.esp));
    evidence.by_cpu.insert(evidence.by_cpu.end(), frame.opened.begin(), frame.opened.end());
  }
  shadow_->Report(std::move(evidence));
}

}  // namespace cygnet
