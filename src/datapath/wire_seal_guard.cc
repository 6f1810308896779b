#include "datapath/wire_seal_guard.h"

#include <algorithm>

#include "datapath/always_passes.h"
#include "datapath/flow_decision.h"
#include "datapath/further_way.h"
#include "datapath/seal_proof.h"
#include "net/frame.h"

namespace cygnet {
namespace {

// "Level use": the policy itself lets packets leave in clear while no SA exists.
bool AllowsClear(const FlowDecision& decision) {
  const auto allows = [](const Policy* policy) {
    const auto& templates = policy->spec.templates;
    return std::all_of(templates.begin(), templates.end(),
                       [](const auto& t) { return t.optional; });
  };
  return decision.policy != nullptr && allows(decision.policy) &&
         (decision.second == nullptr || allows(decision.second));
}

}  // namespace

WireSealGuard::WireSealGuard(DataPath* path, uint8_t interface, uint32_t queues,
                             CapturePoint* capture)
    : path_(path), interface_(interface), capture_(capture) {
  for (uint32_t i = 0; i < queues; ++i) {
    queues_.push_back(std::make_unique<Queue>());
    queues_.back()->reader = path->quiescence.AddReader();
    queues_.back()->passing.resize(kEntries);
  }
}

void WireSealGuard::SetShadow(DeviceShadow* shadow, const EngineSet& engines) {
  shadow_ = std::make_unique<WireShadow>(path_, shadow, engines, interface_);
}

// The reader is offline between batches, because a device's thread sleeps without notice.
void WireSealGuard::Check(uint32_t number, PacketBatch* batch, DropSink* sink) {
  Queue* queue = queues_[number].get();
  queue->checked.store(queue->checked.load(std::memory_order_relaxed) + batch->size(),
                       std::memory_order_relaxed);  // one writer
  batch->Filter(
      [&](const Packet* packet, uint32_t) {
        const DropReason reason = Judge(queue, *packet);
        if (reason != DropReason::kNone) Stop(*packet, reason);
        return reason;
      },
      sink);
  if (queue->online) {
    queue->online = false;
    queue->reader->Offline();
  }
}

DropReason WireSealGuard::Judge(Queue* queue, const Packet& packet) const {
  switch (packet.protection) {
    case Protection::kProven:
    case Protection::kControl:
      return DropReason::kNone;
    case Protection::kNone:
    case Protection::kClear:
      return JudgeClear(queue, packet);
    case Protection::kOwedByDevice:
    case Protection::kOwedByDeviceNoText:
      return ShowsDeviceSeal(packet) ? DropReason::kNone : DropReason::kOutNotSealed;
    case Protection::kOwedShadow:
    case Protection::kOwedByDeviceShadow:
      return JudgeShadow(queue, packet);
    default:
      return StillEsp(packet) && ShowsSeal(packet, path_->unsealed_word)
                 ? DropReason::kNone
                 : DropReason::kOutNotSealed;
  }
}

void WireSealGuard::EnterQueue(Queue* queue) {
  if (queue->online) return;
  queue->online = true;
  queue->reader->Online();
}

DropReason WireSealGuard::JudgeShadow(Queue* queue, const Packet& packet) const {
  EnterQueue(queue);
  return shadow_ != nullptr ? shadow_->Check(packet) : DropReason::kOutVerify;
}

// Decides as the pipeline does, but from the bytes that are about to leave.
DropReason WireSealGuard::JudgeClear(Queue* queue, const Packet& packet) const {
  if (packet.enclosed()) return DropReason::kOutGuard;
  const auto type = ParseEtherType(packet.bytes());
  if (!type) return DropReason::kPortBadFrame;
  if (!type->IsIp()) {
    return path_->pass_ether_types.MayPass(*type, packet.bytes()) ? DropReason::kNone
                                                                  : DropReason::kOutEtherType;
  }
  EnterQueue(queue);
  if (path_->PolicyIdle()) return DropReason::kNone;
  const std::span<const uint8_t> l3 = packet.bytes().subspan(type->l3_offset);
  IpPacketView ip;
  if (!ParseIpOf(*type, l3, &ip)) return DropReason::kOutGuard;
  if (AlwaysPasses(*path_, PolicyDirection::kOut, path_->interfaces[interface_].ifindex, ip, l3)) {
    return DropReason::kNone;
  }
  const DropReason reason = AskPolicy(queue, packet, ip);
  if (reason != DropReason::kNone || !ip.has_options) return reason;
  const FlowDecision clear{.action = FlowAction::kBypass};
  return PassesFurther(*path_, ip, l3, path_->interfaces[interface_].ifindex, clear)
             ? DropReason::kNone
             : DropReason::kOutGuard;
}

DropReason WireSealGuard::AskPolicy(Queue* queue, const Packet& packet,
                                    const IpPacketView& ip) const {
  const uint64_t generation = path_->generation();
  Passing& known = queue->passing[ip.flow.Hash() & (kEntries - 1)];
  if (known.generation == generation && known.later_fragment == ip.later_fragment &&
      known.flow == ip.flow) {
    return DropReason::kNone;
  }
  const int32_t ifindex = path_->interfaces[interface_].ifindex;
  const bool stamped = packet.protection == Protection::kClear;
  const uint64_t before = DecisionStamp(*path_);
  if (stamped && NeedsWholeDatagram(*path_, ip, ifindex)) {
    // The datagram was decided whole and cut afterwards, so this piece does not show the ports that
    // policy needs.
    return packet.proof == 0 || packet.proof == before ? DropReason::kNone
                                                       : DropReason::kOutPolicyChanged;
  }
  const FlowDecision decision = DecideOutbound(*path_, ip, ifindex);
  if (decision.action == FlowAction::kBypass) {
    // Not cached while key management is being asked (as in FlowDecider::Outbound).
    if (!decision.acquire) known = {ip.flow, generation, ip.later_fragment};
    return DropReason::kNone;
  }
  // The packet is stopped. Either policy changed in between, or the sender was wrong.
  const bool same = packet.proof == before && packet.proof == DecisionStamp(*path_);
  return !stamped || (same && !AllowsClear(decision)) ? DropReason::kOutGuard
                                                      : DropReason::kOutPolicyChanged;
}

// This may be slow because it is rare. Control finds the device responsible.
void WireSealGuard::Stop(const Packet& packet, DropReason reason) {
  capture_->OfferStopped(packet, reason);
  if (reason == DropReason::kOutPolicyChanged) {
    changed_.fetch_add(1, std::memory_order_relaxed);
  } else if (reason == DropReason::kOutNotSealed) {
    unsealed_.fetch_add(1, std::memory_order_relaxed);
    path_->control_bell.Ring();
  } else if (reason != DropReason::kOutVerify) {  // DeviceShadow counts those
    clear_.fetch_add(1, std::memory_order_relaxed);
  }
}

void WireSealGuard::Report(const Packet& packet, DropReason reason) {
  capture_->OfferStopped(packet, reason);
  if (reason == DropReason::kOutNotSealed) {
    engine_unsealed_.fetch_add(1, std::memory_order_relaxed);
  } else {
    clear_.fetch_add(1, std::memory_order_relaxed);
  }
}

SealGuardStats WireSealGuard::stats() const {
  SealGuardStats sum{.clear_stopped = clear_.load(std::memory_order_relaxed),
                     .unsealed_stopped = unsealed_.load(std::memory_order_relaxed),
                     .engine_unsealed = engine_unsealed_.load(std::memory_order_relaxed),
                     .changed_stopped = changed_.load(std::memory_order_relaxed)};
  for (const auto& queue : queues_) {
    sum.frames_checked += queue->checked.load(std::memory_order_relaxed);
  }
  return sum;
}

}  // namespace cygnet
