// The part of InboundPipeline for packets that a device opened as a whole, or should have opened
// (packet offload).
#include "datapath/inbound_pipeline.h"
#include "device/segment.h"

namespace cygnet {

// Notes that the SA opened the packet, which item->view describes.
void InboundPipeline::DescribeOpened(const InboundSa& sa, InboundItem* item) {
  // Behind a NAT the checksum was computed for other addresses. The ICV protects the bytes (RFC
  // 3948 section 3.1.2, as in Linux).
  if (sa.mode == SaMode::kTransport && sa.layout.udp != 0) {
    VouchForChecksum(item->view, item->packet);
  }
  item->path.sas[item->path.size++] = sa.sa;
  item->joined = false;
  item->cut = {};
}

// A copy waits for the packet that it was made of, which comes next. nullptr: for none.
void InboundPipeline::KeepMirror(Packet* copy) {
  if (mirror_ != nullptr) ctx_->sink.Recycle(mirror_);
  mirror_ = copy;
}

// Shadow verification of a packet that a device decapsulated under `handle`.
DropReason InboundPipeline::CheckInner(OffloadHandle handle, const Sa& sa, const SaBinding& binding,
                                       const InboundItem& item) {
  const Packet& inner = *item.packet;
  DeviceShadow* shadow = ctx_->path->interfaces[inner.interface].shadow;
  if (shadow == nullptr || shadow->one_of() == 0) return DropReason::kNone;
  const bool own = mirror_ != nullptr && mirror_->offload.handle == handle &&
                   mirror_->sa_number() == inner.sa_number();
  return shadow_.CheckInner(
      {.sa = sa,
       .binding = binding,
       .shadow = shadow,
       .encap_ports = ctx_->path->encap_ports(),
       .now_ms = ctx_->now_ms,
       // Packets of an earlier place may still come.
       .first_number = binding.handle == handle ? binding.rare().first_number : 0,
       .copy = own ? mirror_ : nullptr,
       .inner = inner,
       .inner_length = item.view.total_length});
}

// Admit leaves both to this function.
static_assert(OffloadStatus::kMirrored > OffloadStatus::kDecapsulated);

// An inner packet (packet offload), or the copy that comes before it.
InboundPipeline::Outcome InboundPipeline::AdmitFromPacketDevice(const Frame& frame,
                                                                InboundItem* item) {
  if (item->packet->offload.status == OffloadStatus::kMirrored) {
    KeepMirror(item->packet);
    return Outcome::kGone;
  }
  const Outcome outcome = AdmitDecapsulated(frame, item);
  if (mirror_ != nullptr) KeepMirror(nullptr);
  return outcome;
}

// Steps 2 to 9 were done by a device (packet offload). The packet continues with the checks of
// opened packets, with the SA that the device names.
InboundPipeline::Outcome InboundPipeline::AdmitDecapsulated(const Frame& frame, InboundItem* item) {
  Packet* packet = item->packet;
  const OpenedBy by{ctx_->path->interfaces[packet->interface].offload, packet->offload.handle};
  Sa* sa = ctx_->path->sad.LookupByNumber(packet->sa_number());
  packet->offload = OffloadMeta{};
  packet->csum_partial = false;
  item->seq = 0;  // the device has checked it, and does not tell it
  if (sa == nullptr) return Drop(*item, DropReason::kInDeviceStale);
  item->verdict = CheckInboundState(*sa);
  if (item->verdict == DropReason::kNone) {
    const SaBinding* binding = sa->inbound()->binding.load(std::memory_order_acquire);
    if (binding == nullptr || !binding->MayHaveOpened(by)) {
      item->verdict = DropReason::kInDeviceStale;
    } else if (frame.kind != FrameKind::kIp) {
      item->verdict = DropReason::kInModeMismatch;
    } else if (binding->shadow() != nullptr) {
      item->verdict = CheckInner(by.handle, *sa, *binding, *item);
    }
  }
  if (item->verdict == DropReason::kNone) {
    packet->TrimTo(packet->l3_offset + item->view.total_length);
    DescribeOpened(*sa->inbound(), item);
    if (ctx_->record.on()) {
      ctx_->record.Opened(*sa->inbound(), OffloadStatus::kDecapsulated, *item);
    }
    if (item->view.fragment && ReassembleOpened(item) != Outcome::kKept) return Outcome::kWaits;
    item->verdict = CheckOpened(item);
  }
  if (item->verdict == DropReason::kNone) return Outcome::kKept;
  sa->CountDrop(item->verdict);
  return Drop(*item, item->verdict);
}

// A packet whose number belongs to a device, but that the device did not open, is in the middle of
// a move: it waits until the move is done. Packets in which something was opened or joined cannot
// begin anew. A packet that the stack joined was no whole packet for the device: its number is the
// device's, and it cannot go back there.
void InboundPipeline::HoldOver(std::span<InboundItem> run) {
  const SaBinding* now = run[0].sa->binding.load(std::memory_order_acquire);
  for (InboundItem& item : run) {
    const bool required = item.verdict == DropReason::kInRequired;
    const bool moved = required && item.binding != now;
    if (item.joined && item.binding->device_numbers() &&
        (required || item.verdict == DropReason::kInHandOver)) {
      item.verdict = DropReason::kInDeviceFragment;
    }
    if (item.verdict != DropReason::kInHandOver && !moved) continue;
    if (item.path.size == 0 && !item.joined && early_.Hold(item.packet, ctx_->now_ms)) {
      item.packet = nullptr;  // it has left the batch
    }
  }
}

}  // namespace cygnet
