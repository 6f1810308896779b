#include "datapath/shadow/inbound_shadow.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/endian.h"
#include "net/frame.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

esp::JobParams ParamsFor(const InboundSa& sa) { return esp::ParamsOf(sa, nullptr); }

constexpr std::string_view kNotEsp = "the packet that came is not ESP";

std::span<const uint8_t> EspOf(const InboundItem& item) {
  const std::size_t length = item.view.total_length - item.esp.esp_offset;
  return std::as_const(*item.packet).l3().subspan(item.esp.esp_offset, length);
}

}  // namespace

// --- Crypto offload ---

void InboundShadow::CheckRun(const InboundSa& sa, const SaBinding& binding,
                             std::span<const Interface> interfaces, std::span<InboundItem> run) {
  for (InboundItem& item : run) {
    if (item.packet == nullptr) continue;
    const OffloadStatus status = item.packet->offload.status;
    const bool opened = status == OffloadStatus::kOpened && item.verdict == DropReason::kNone;
    const bool refused =
        status == OffloadStatus::kAuthFailed && item.verdict == DropReason::kInAuthFailed;
    if (!opened && !refused) continue;
    DeviceShadow* shadow = interfaces[item.packet->interface].shadow;
    const uint32_t one_of = shadow == nullptr ? 0 : shadow->one_of();
    if (one_of == 0 || !sampler_.Draw(one_of)) continue;
    const auto what = JudgeOpened(sa, binding, item);
    if (!what.has_value()) {
      // A refused packet stays refused.
      if (opened) item.verdict = DropReason::kInVerify;
      shadow->CountUnverified(Half::kInbound);
      continue;
    }
    shadow->CountVerified(Half::kInbound);
    if (what->empty()) continue;
    item.verdict = DropReason::kInVerify;
    ShadowEvidence evidence;
    evidence.half = Half::kInbound;
    evidence.what = *what;
    evidence.seq = item.seq;
    evidence.id = sa.sa->id();
    evidence.by_device = CopyOf(item.packet->bytes());
    shadow->Report(std::move(evidence));
  }
}

// What is wrong with the status of a packet; empty: nothing; nullopt: the CPU cannot know.
std::optional<std::string_view> InboundShadow::JudgeOpened(const InboundSa& sa,
                                                           const SaBinding& binding,
                                                           const InboundItem& item) {
  const OffloadMeta& meta = item.packet->offload;
  const bool opened = meta.status == OffloadStatus::kOpened;
  const std::span<const uint8_t> esp = EspOf(item);
  if (!esp::HasRoomForJob(sa.layout, esp.size())) {
    return opened ? "it is shorter than an ESP packet" : std::string_view{};
  }
  if (sa.layout.icv == 0 || binding.shadow()->seal.session == nullptr) return std::nullopt;
  const esp::JobParams params = ParamsFor(sa);
  const std::span<uint8_t> again = desk_.Copy(esp);
  const auto status = desk_.Run(params, binding.shadow()->seal, meta.esn_high, again);
  const bool good = status == CryptoStatus::kOk &&
                    std::equal(again.end() - sa.layout.icv, again.end(), esp.end() - sa.layout.icv);
  if (opened) return good ? std::string_view{} : "the ICV that arrived is not the packet's";
  // The device may have inferred another high word than the stack; then it was right to refuse.
  if (sa.esn && meta.esn_high != item.seq >> 32) return std::string_view{};
  if (good) return "the ICV verifies, and the device refused it";
  if (binding.cpu.session == nullptr) return std::string_view{};
  const std::span<uint8_t> untouched = desk_.Copy(esp);
  return desk_.Run(params, binding.cpu, meta.esn_high, untouched) == CryptoStatus::kOk
             ? "the ICV verifies, and the device refused it"
             : std::string_view{};
}

// --- Packet offload ---

DropReason InboundShadow::CheckInner(const Mirrored& m) {
  Copy copy;
  std::optional<std::string_view> what;
  if (m.copy != nullptr) {
    copy.frame = desk_.Spare(m.copy->bytes());
    what = JudgeCopy(m, &copy);
  } else if (m.shadow->copies_all(m.now_ms)) {
    what = "no copy of the ESP packet came with it";
  } else {
    return DropReason::kNone;  // it was not drawn
  }
  if (!what.has_value()) {
    m.shadow->CountUnverified(Half::kInbound);
    return DropReason::kInVerify;
  }
  m.shadow->CountVerified(Half::kInbound);
  if (what->empty()) return DropReason::kNone;
  ShadowEvidence evidence;
  evidence.half = Half::kInbound;
  evidence.mode = OffloadMode::kPacket;
  evidence.what = *what;
  evidence.seq = copy.seq;
  evidence.id = m.sa.id();
  evidence.esp = CopyOf(copy.frame);
  evidence.by_device = CopyOf(m.inner.bytes());
  if (copy.opened) evidence.by_cpu = CopyOf(m.copy->bytes());
  m.shadow->Report(std::move(evidence));
  return DropReason::kInVerify;
}

// What is wrong; empty: nothing; nullopt: the CPU cannot know.
std::optional<std::string_view> InboundShadow::JudgeCopy(const Mirrored& m, Copy* copy) {
  const InboundSa& sa = *m.sa.inbound();
  // After a move to crypto offload, the CPU's own session opens.
  ShadowSession& shadow = *m.binding.shadow();
  const EngineSession& with = shadow.open.session != nullptr ? shadow.open : m.binding.cpu;
  if (with.session == nullptr) return std::nullopt;
  if (const std::string_view what = FindEsp(m, copy); !what.empty()) return what;
  if (!Open(sa, shadow.seen.InferHigh(copy->esp.seq_low), with, m.copy, copy)) {
    return "the ICV of the packet that came does not verify";
  }
  if (copy->seq < m.first_number) {
    return "the sequence number is outside the device's block";
  }
  if (sa.replay.window() != 0) {
    const DropReason seen = shadow.seen.Commit(copy->seq);
    if (seen == DropReason::kInReplayDuplicate) return "the packet is a replay";
    if (seen != DropReason::kNone) return std::nullopt;  // too old to tell
  }
  return Compare(m, *copy);
}

// The ESP packet of the SA in the copy.
std::string_view InboundShadow::FindEsp(const Mirrored& m, Copy* copy) {
  const Frame frame = ParseFrame(m.copy->bytes(), &copy->outer);
  if (frame.kind != FrameKind::kIp || copy->outer.fragment) return kNotEsp;
  m.copy->l3_offset = frame.type.l3_offset;
  m.copy->TrimTo(m.copy->l3_offset + copy->outer.total_length);
  copy->esp = ClassifyWirePacket(copy->outer, std::as_const(*m.copy).l3(), m.encap_ports);
  if (copy->esp.kind != WireKind::kEsp) return kNotEsp;
  const InboundSa& sa = *m.sa.inbound();
  const SaId id = m.sa.id();
  const FlowKey& flow = copy->outer.flow;
  const bool same = copy->esp.spi == sa.spi && flow.family == id.family && flow.daddr == id.daddr &&
                    copy->esp.udp_encapsulated == (sa.layout.udp != 0);
  return same ? std::string_view{} : "the packet that came belongs to another SA";
}

// Opens the copy in place. The stack does not know how far the device is, so that its guess of the
// high word (ESN) may be wrong by one.
bool InboundShadow::Open(const InboundSa& sa, uint64_t inferred, const EngineSession& with,
                         Packet* packet, Copy* copy) {
  const uint32_t at = packet->l3_offset + copy->esp.esp_offset;
  const std::span<uint8_t> esp = packet->bytes().subspan(at);
  constexpr std::array<uint32_t, 3> kGuesses = {0, 1, ~uint32_t{0}};
  for (const uint32_t guess : kGuesses) {
    const uint32_t high = static_cast<uint32_t>(inferred >> 32) + guess;
    if (desk_.Run(ParamsFor(sa), with, high, esp) == CryptoStatus::kOk) {
      copy->seq = uint64_t{high} << 32 | copy->esp.seq_low;
      copy->opened = true;
      return true;
    }
    if (!sa.esn) return false;
    std::memcpy(esp.data(), copy->frame.data() + at, esp.size());
  }
  return false;
}

// Decapsulates the opened copy and compares it with what the device made of it.
std::string_view InboundShadow::Compare(const Mirrored& m, const Copy& copy) {
  const InboundSa& sa = *m.sa.inbound();
  esp::Trailer trailer;
  if (esp::ReadTrailer(sa, *m.copy, copy.esp.esp_offset, &trailer) != DropReason::kNone ||
      esp::Decapsulate(sa, copy.outer, copy.esp.esp_offset, trailer, m.copy) != DropReason::kNone) {
    return "the packet that came has nothing to deliver";
  }
  const auto expected = std::as_const(*m.copy).l3();
  const auto inner = m.inner.l3().first(m.inner_length);
  return std::equal(expected.begin(), expected.end(), inner.begin(), inner.end())
             ? std::string_view{}
             : "the inner packet differs";
}

}  // namespace cygnet
