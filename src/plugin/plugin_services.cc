#include "plugin/plugin_services.h"

#include <algorithm>
#include <mutex>

#include "base/log.h"
#include "plugin/plugin_convert.h"

namespace cygnet {
namespace {

constexpr std::size_t kLongestLine = 1024;

LogLevel LevelOf(uint32_t level) {
  switch (level) {
    case CYGNET_LOG_ERROR:
      return LogLevel::kError;
    case CYGNET_LOG_WARNING:
      return LogLevel::kWarning;
    case CYGNET_LOG_DEBUG:
      return LogLevel::kDebug;
    default:
      return LogLevel::kInfo;
  }
}

const Clock* SystemTime() {
  static const SystemClock clock;
  return &clock;
}

DropWatch* WatchOf(CapturePoints* capture) {
  return capture != nullptr ? capture->drops() : nullptr;
}

// Only packet offload changes lengths.
bool SameLength(const cygnet_packet& view, const Packet& packet) {
  return view.head == packet.head && view.length == packet.length;
}

}  // namespace

std::optional<DropReason> FindDropReason(std::string_view name) {
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (Describe(reason).name == name) return reason;
  }
  return std::nullopt;
}

PluginServices::PluginServices(std::string name, uint32_t queues, PluginPackets* packets,
                               Port* wire, CapturePoints* capture, const Clock* clock,
                               PluginContract* contract)
    : name_(std::move(name)),
      packets_(packets),
      wire_(wire),
      capture_(capture),
      clock_(clock != nullptr ? clock : SystemTime()),
      contract_(contract),
      alloc_(packets->pools()) {
  for (uint32_t i = 0; wire != nullptr && i < wire->queues(); ++i) {
    wire_queues_.push_back(std::make_unique<WireQueue>(packets->pools(), WatchOf(capture)));
  }
  host_.abi = CYGNET_ABI;
  host_.size = sizeof(host_);
  host_.context = this;
  host_.log = [](void* c, uint32_t level, const char* text) {
    Log(LevelOf(level), Of(c)->name_ + ": " + PlainText(text, kLongestLine));
  };
  host_.ring = [](void* c) { Of(c)->contract_->Ring(); };
  host_.monotonic_ns = [](void* c) { return Of(c)->clock_->MonotonicNs(); };
  host_.wall_seconds = [](void* c) { return Of(c)->clock_->WallSeconds(); };
  table_ = MakeTable();
  table_.queues = queues;
}

cygnet_driver_host PluginServices::MakeTable() {
  cygnet_driver_host t{};
  t.size = sizeof(t);
  t.host = &host_;
  t.packet_alloc = [](void* c, cygnet_packet** p, uint32_t n) { return Of(c)->Alloc(p, n); };
  t.packet_free = [](void* c, cygnet_packet* const* p, uint32_t n) {
    Of(c)->Free(p, n, DropReason::kNone);
  };
  t.packet_drop = [](void* c, cygnet_packet* const* p, uint32_t n, const char* name) {
    const auto reason = FindDropReason(name != nullptr ? name : "");
    if (!reason || *reason == DropReason::kNone) {
      Of(c)->contract_->Break("packet_drop was called with the reason \"" + PlainText(name, 64) +
                              "\", which does not exist");
    }
    Of(c)->Free(p, n, reason.value_or(DropReason::kOutDeviceError));
  };
  if (wire_ == nullptr) return t;
  t.wire_send = [](void* c, uint32_t queue, cygnet_packet* const* p, uint32_t n) {
    Of(c)->Send(queue, p, n);
  };
  t.wire_receive = [](void* c, uint32_t queue, cygnet_packet** p, uint32_t room) {
    return Of(c)->Receive(queue, p, room);
  };
  t.wire_wait_fd = [](void* c, uint32_t queue) {
    return Of(c)->QueueOfWire(queue) == nullptr ? -1 : Of(c)->wire_->wait_fd(queue);
  };
  t.wire_prepare_wait = [](void* c, uint32_t queue) -> int32_t {
    const WireQueue* wire = Of(c)->QueueOfWire(queue);
    if (wire == nullptr) return 1;
    return Of(c)->wire_->PrepareWait(queue) && wire->arrived.empty() ? 1 : 0;
  };
  t.wire_finish_wait = [](void* c, uint32_t queue) {
    if (Of(c)->QueueOfWire(queue) != nullptr) Of(c)->wire_->FinishWait(queue);
  };
  return t;
}

bool PluginServices::AtMostABurst(uint32_t n, const char* function) {
  if (n <= CYGNET_BURST) return true;
  contract_->Break(std::string(function) + " was called for " + std::to_string(n) +
                   " packets, more than CYGNET_BURST");
  return false;
}

PluginServices::WireQueue* PluginServices::QueueOfWire(uint32_t queue) {
  if (queue < wire_queues_.size()) return wire_queues_[queue].get();
  contract_->Break("it named queue " + std::to_string(queue) + " of the wire, which has " +
                   std::to_string(wire_queues_.size()));
  return nullptr;
}

uint32_t PluginServices::Alloc(cygnet_packet** out, uint32_t n) {
  if (contract_->broken() || !AtMostABurst(n, "packet_alloc")) return 0;
  // A device that sends by itself has an MTU of its own, which may rise.
  const bool long_frames = alloc_.HasLarge() && (wire_ == nullptr || wire_->mtu() > kSmallMtu);
  const std::lock_guard lock(alloc_lock_);
  for (uint32_t i = 0; i < n; ++i) {
    const Packet* packet = long_frames ? alloc_.large.Take() : alloc_.small.Take();
    if (packet == nullptr) return i;
    out[i] = packets_->Lend(*packet, PluginLoan::kFresh, 0);
  }
  return n;
}

void PluginServices::Free(cygnet_packet* const* views, uint32_t n, DropReason reason) {
  if (!AtMostABurst(n, "packet_free")) return;
  uint32_t dropped = 0;
  for (uint32_t i = 0; i < n; ++i) {
    Packet* packet = packets_->TakeBack(views[i]).packet;
    if (packet == nullptr) {
      contract_->Break("it gave back a packet that it does not own");
      continue;
    }
    if (reason != DropReason::kNone) {
      if (DropWatch* watch = WatchOf(capture_); watch != nullptr) watch->Offer(*packet, reason);
      ++dropped;
    }
    packet->pool->Give(&packet, 1);
  }
  if (dropped == 0) return;
  const std::lock_guard lock(drops_lock_);
  drops_.Add(reason, dropped);
}

bool PluginServices::Accept(const cygnet_packet& view, const PluginPackets::Returned& returned) {
  Packet* packet = returned.packet;
  if (view.status > CYGNET_PACKET_MIRRORED) {
    contract_->Break("a packet has status " + std::to_string(view.status) +
                     ", which does not exist");
    return false;
  }
  const uint64_t end = uint64_t{view.head} + view.length;
  if (end > packet->capacity || view.l3_offset > view.length) {
    contract_->Break("a packet begins at " + std::to_string(view.head) + " with " +
                     std::to_string(view.length) + " bytes, beyond its buffer of " +
                     std::to_string(packet->capacity));
    return false;
  }
  const bool whole = returned.loan == PluginLoan::kToSend || returned.loan == PluginLoan::kSeal;
  if (whole && !SameLength(view, *packet)) {
    contract_->Break("it changed the length of a packet that it was to send, from " +
                     std::to_string(packet->length) + " to " + std::to_string(view.length));
    return false;
  }
  packet->head = view.head;
  packet->length = view.length;
  packet->l3_offset = view.l3_offset;
  packet->offload.status = static_cast<OffloadStatus>(view.status);
  return true;
}

void PluginServices::Send(uint32_t number, cygnet_packet* const* views, uint32_t n) {
  WireQueue* queue = QueueOfWire(number);
  if (queue == nullptr || !AtMostABurst(n, "wire_send")) return;
  PacketBatch batch;
  for (uint32_t i = 0; i < n; ++i) {
    const PluginPackets::Returned returned = packets_->TakeBack(views[i]);
    if (returned.packet == nullptr) {
      contract_->Break("it sent a packet that it does not own");
      continue;
    }
    if (contract_->broken() || !Accept(*views[i], returned)) {
      queue->sink.Drop(returned.packet, DropReason::kPortDown);
      continue;
    }
    batch.Push(returned.packet);
  }
  wire_->Transmit(number, &batch, &queue->sink);
  ShowDrops(queue);
}

uint32_t PluginServices::Receive(uint32_t number, cygnet_packet** out, uint32_t room) {
  WireQueue* queue = QueueOfWire(number);
  if (queue == nullptr || contract_->broken()) return 0;
  PacketBatch& arrived = queue->arrived;
  if (arrived.empty()) {
    (void)wire_->Receive(number, &arrived, &queue->sink);
    if (capture_ != nullptr) capture_->wire.Offer(arrived.packets(), CaptureDirection::kInbound);
    ShowDrops(queue);
  }
  const uint32_t n = std::min(room, arrived.size());
  for (uint32_t i = 0; i < n; ++i) out[i] = packets_->Lend(*arrived[i], PluginLoan::kFresh, 0);
  arrived.ReleaseFront(n);
  return n;
}

// The queue's own counters have one writer; those of the device have many.
void PluginServices::ShowDrops(WireQueue* queue) {
  for (std::size_t i = 0; i < kDropReasons; ++i) {
    const auto reason = static_cast<DropReason>(i);
    const uint64_t now = queue->drops.Get(reason);
    if (now == queue->shown[i]) continue;
    const std::lock_guard lock(drops_lock_);
    drops_.Add(reason, now - queue->shown[i]);
    queue->shown[i] = now;
  }
}

}  // namespace cygnet
