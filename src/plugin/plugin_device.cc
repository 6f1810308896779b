#include "plugin/plugin_device.h"

#include <algorithm>

#include "base/log.h"
#include "plugin/plugin_convert.h"
#include "plugin/trial.h"

namespace cygnet {
namespace {

PluginLoan LoanOf(const Packet& packet) {
  switch (packet.offload.status) {
    case OffloadStatus::kSealRequested:
      return PluginLoan::kSeal;
    case OffloadStatus::kProtectRequested:
      return PluginLoan::kProtect;
    default:
      return PluginLoan::kToSend;
  }
}

std::vector<cygnet_memory> MemoryOf(PacketPools* pools) {
  std::vector<cygnet_memory> memory;
  for (const PacketPool* pool : {&pools->small, &pools->jumbo, &pools->large}) {
    if (!pool->memory().empty()) memory.push_back({pool->memory().data(), pool->memory().size()});
  }
  return memory;
}

// Keys and values of options, which outlive what they point to by the call.
struct OptionTexts {
  explicit OptionTexts(const std::vector<std::string>& options) {
    for (const std::string& option : options) {
      const std::size_t equals = option.find('=');
      keys.push_back(option.substr(0, equals));
      values.push_back(equals == std::string::npos ? "" : option.substr(equals + 1));
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
      table.push_back({keys[i].c_str(), values[i].c_str()});
    }
  }
  std::vector<std::string> keys;
  std::vector<std::string> values;
  std::vector<cygnet_option> table;
};

DeviceIdentity IdentityOf(const cygnet_identity& from) {
  constexpr std::size_t kLongest = 128;
  return {.model = PlainText(from.model, kLongest),
          .serial = PlainText(from.serial, kLongest),
          .firmware = PlainText(from.version, kLongest),
          .simulated = from.simulated != 0};
}

}  // namespace

PluginDevice::PluginDevice(const DriverPlugin& plugin, PluginDeviceParams params)
    : plugin_(plugin),
      driver_(plugin_.driver),
      name_(std::move(params.name)),
      queues_(params.queues),
      wire_(std::move(params.wire)),
      capture_(params.capture),
      guard_(params.guard),
      contract_(name_ + ": plug-in " + plugin_.Title()),
      packets_(params.pools),
      services_(name_, queues_, &packets_, wire_.get(), capture_, params.clock, &contract_),
      memory_(MemoryOf(params.pools)) {}

PluginDevice::~PluginDevice() {
  const uint32_t kept = Close();
  if (kept > 0) {
    Log(LogLevel::kWarning, name_ + ": plug-in " + plugin_.Title() + " did not give back " +
                                std::to_string(kept) + " packets when it was closed");
  }
}

uint32_t PluginDevice::Close() {
  NoteStep("close");
  contract_.SetEndProcess(nullptr);
  if (device_ != nullptr) driver_.close(device_);
  device_ = nullptr;
  return packets_.Reclaim();
}

Result<std::unique_ptr<PluginDevice>> PluginDevice::Open(const DriverPlugin& plugin,
                                                         PluginDeviceParams params) {
  const PluginDeviceParams rest{.name = params.name,
                                .wire_name = params.wire_name,
                                .queues = params.queues,
                                .options = params.options};
  std::unique_ptr<PluginDevice> device(new PluginDevice(plugin, std::move(params)));
  CYGNET_RETURN_IF_ERROR(device->OpenPlugin(rest));
  CYGNET_RETURN_IF_ERROR(device->LookAtCaps());
  return device;
}

Status PluginDevice::OpenPlugin(const PluginDeviceParams& params) {
  const OptionTexts options(params.options);
  cygnet_driver_open open{};
  open.size = sizeof(open);
  open.name = params.name.c_str();
  open.wire = params.wire_name.c_str();
  open.options = options.table.data();
  open.option_count = static_cast<uint32_t>(options.table.size());
  open.services = services_.table();
  open.memory = memory_.data();
  open.memory_count = static_cast<uint32_t>(memory_.size());
  open.headroom = packets_.pools()->small.headroom();
  cygnet_refusal refusal = NewRefusal();
  void* device = nullptr;
  NoteStep("open");
  const int32_t result = driver_.open(&open, &device, &refusal);
  const std::string who = "plug-in " + plugin_.Title();
  if (result < 0) {
    return MakeError(static_cast<Errc>(-result),
                     who + " refuses to open: " + FromPlugin(result, refusal).text);
  }
  if (result > 0 || device == nullptr) {
    return MakeError(Errc::kInvalid, who + " breaks the contract of drivers: open returned " +
                                         std::to_string(result) + " without a device");
  }
  device_ = device;
  if (plugin_.isolated) {
    contract_.SetEndProcess([device](const std::string& why) { FailIsolatedDriver(device, why); });
  }
  return {};
}

Status PluginDevice::LookAtCaps() {
  NoteStep("caps");
  plugin_caps_ = driver_.caps(device_);
  const std::string who = "plug-in " + plugin_.Title() + " breaks the contract of drivers: ";
  const bool known =
      plugin_caps_ != nullptr && CYGNET_HAS(cygnet_caps, plugin_caps_, kernel_driver);
  if (!known || (plugin_caps_->algorithm_count > 0 && plugin_caps_->algorithms == nullptr)) {
    return MakeError(Errc::kInvalid, who + "caps returned nothing that this version can read");
  }
  if (plugin_caps_->algorithm_count > CYGNET_MAX_ALGORITHMS) {
    return MakeError(Errc::kInvalid, who + "caps names " +
                                         std::to_string(plugin_caps_->algorithm_count) +
                                         " algorithms; at most " +
                                         std::to_string(CYGNET_MAX_ALGORITHMS) + " are possible");
  }
  caps_ = FromPlugin(*plugin_caps_);
  if (caps_.packet_offload && driver_.packet == nullptr) {
    return MakeError(Errc::kInvalid, who + "it claims packet offload without the table \"packet\"");
  }
  cygnet_identity identity{};
  identity.size = sizeof(identity);
  NoteStep("identity");
  driver_.identity(device_, &identity);
  identity_ = IdentityOf(identity);
  NoteStep("");
  return {};
}

// --- Facts ---

// Asks, or repeats the last answer.
template <typename T>
T PluginDevice::Ask(void (*ask)(void*, T*), T* last) const {
  const std::lock_guard lock(last_mutex_);
  if (!usable()) return *last;
  T answer{};
  answer.size = sizeof(answer);
  ask(device_, &answer);
  *last = answer;
  return answer;
}

cygnet_status PluginDevice::Look() const {
  const cygnet_status status = Ask(driver_.status, &last_status_);
  if (status.state > CYGNET_STATE_FAILED) {
    contract_.Break("its state is " + std::to_string(status.state) + ", which does not exist");
  }
  return status;
}

cygnet_driver_stats PluginDevice::LookAtStats() const { return Ask(driver_.stats, &last_stats_); }

cygnet_port PluginDevice::LookAtPort() const { return Ask(driver_.port, &last_port_); }

MacAddress PluginDevice::mac() const {
  if (wire_ != nullptr) return wire_->mac();
  const cygnet_port port = LookAtPort();
  MacAddress mac;
  std::copy(std::begin(port.mac), std::end(port.mac), mac.begin());
  return mac;
}

uint32_t PluginDevice::mtu() const {
  return wire_ != nullptr ? wire_->mtu() : std::min(LookAtPort().mtu, kLargestMtu);
}

PortStats PluginDevice::stats() const {
  if (wire_ != nullptr) return wire_->stats();
  const cygnet_driver_stats s = LookAtStats();
  return {.rx_packets = s.rx_packets,
          .rx_bytes = s.rx_bytes,
          .tx_packets = s.tx_packets,
          .tx_bytes = s.tx_bytes,
          .rx_dropped = s.rx_dropped};
}

LinkStatus PluginDevice::link() const {
  if (!usable()) return LinkStatus::kBarred;
  if (plugin_.isolated && !WhyIsolatedDriverEnded(device_).empty()) return LinkStatus::kBarred;
  const uint32_t state = Look().state;
  if (state == CYGNET_STATE_REMOVED) return LinkStatus::kGone;
  const LinkStatus wire = wire_ != nullptr            ? wire_->link()
                          : LookAtPort().link_up != 0 ? LinkStatus::kUp
                                                      : LinkStatus::kNoCarrier;
  const bool without = wire == LinkStatus::kUp && state == CYGNET_STATE_LINK_DOWN;
  return without ? LinkStatus::kNoCarrier : wire;
}

// The device has no link while its wire has none.
Status PluginDevice::Follow(const PortLink& link) {
  if (wire_ == nullptr) return {};
  const Status status = wire_->Follow(link);
  contract_.Ring();
  return status;
}

// --- Packets ---

void PluginDevice::Transmit(uint32_t queue, PacketBatch* batch, DropSink* sink) {
  if (!usable()) return batch->DropAll(DropReason::kPortDown, sink);
  if (capture_ != nullptr) capture_->host.Offer(batch->packets(), CaptureDirection::kOutbound);
  if (wire_ == nullptr && guard_ != nullptr) GuardClear(queue, batch, sink);
  if (batch->empty()) return;
  std::array<cygnet_packet*, kMaxBatch> views;
  const uint32_t n = batch->size();
  for (uint32_t i = 0; i < n; ++i) {
    views[i] = packets_.Lend(*(*batch)[i], LoanOf(*(*batch)[i]), queue);
  }
  batch->ReleaseAll();
  uint32_t taken = driver_.tx_burst(device_, queue, views.data(), n);
  if (taken > n) {
    contract_.Break("tx_burst took " + std::to_string(taken) + " of " + std::to_string(n) +
                    " packets");
    taken = n;
  }
  for (uint32_t i = taken; i < n; ++i) NotTaken(views[i], sink);
}

// Of a driver that sends by itself the frames are checked before it gets them. What it is to seal
// is readable by right: nobody can look behind the card.
void PluginDevice::GuardClear(uint32_t queue, PacketBatch* batch, DropSink* sink) {
  PacketBatch clear;
  batch->Partition([](const Packet* packet) { return LoanOf(*packet) == PluginLoan::kToSend; },
                   &clear);
  if (clear.empty()) return;
  guard_->Check(queue, &clear, sink);
  if (capture_ != nullptr) capture_->wire.Offer(clear.packets(), CaptureDirection::kOutbound);
  for (Packet* packet : clear.packets()) batch->Push(packet);
  clear.ReleaseAll();
}

void PluginDevice::NotTaken(cygnet_packet* view, DropSink* sink) {
  Packet* packet = packets_.TakeBack(view).packet;
  if (packet == nullptr) {
    contract_.Break("tx_burst gave back a packet that it did not take");
    return;
  }
  sink->Drop(packet, DropReason::kPortFull);
}

bool PluginDevice::MayComeUp(const cygnet_packet& view, const PluginPackets::Returned& returned,
                             uint32_t queue) {
  switch (returned.loan) {
    case PluginLoan::kFresh:
      switch (view.status) {
        case CYGNET_PACKET_NONE:
        case CYGNET_PACKET_OPENED:
        case CYGNET_PACKET_AUTH_FAILED:
        case CYGNET_PACKET_ERROR:
          return true;
        case CYGNET_PACKET_DECAPSULATED:
        case CYGNET_PACKET_MIRRORED:
          return caps_.packet_offload;
        default:
          return false;
      }
    case PluginLoan::kSeal:
      return view.status == CYGNET_PACKET_RETURNED && returned.queue == queue;
    case PluginLoan::kProtect:
      return view.status == CYGNET_PACKET_RETURNED_CLEAR && returned.queue == queue &&
             view.head == returned.packet->head && view.length == returned.packet->length;
    default:
      return false;
  }
}

// The packet that the plug-in hands up; nullptr: it may not.
Packet* PluginDevice::TakeUp(uint32_t queue, cygnet_packet* view, DropSink* sink) {
  const PluginPackets::Returned returned = packets_.TakeBack(view);
  Packet* packet = returned.packet;
  if (packet == nullptr) {
    contract_.Break("rx_burst returned a packet that it does not own");
    return nullptr;
  }
  if (!MayComeUp(*view, returned, queue)) {
    contract_.Break("rx_burst returned a packet with status " + std::to_string(view->status) +
                    " that was not lent for this, or not of this queue");
    sink->Drop(packet, DropReason::kInDeviceError);
    return nullptr;
  }
  if (!services_.Accept(*view, returned)) {
    sink->Drop(packet, DropReason::kInDeviceError);
    return nullptr;
  }
  if (returned.loan != PluginLoan::kFresh) return packet;  // as the stack gave it
  packet->offload.handle = OffloadHandle(view->handle);
  packet->offload.esn_high = view->esn_high;
  packet->offload.esp_offset = 0;
  if (view->status == CYGNET_PACKET_DECAPSULATED || view->status == CYGNET_PACKET_MIRRORED) {
    packet->csum_partial = false;
    packet->gso_type = GsoType::kNone;
    packet->SetSaNumber(view->sa_number);
  }
  return packet;
}

uint32_t PluginDevice::Receive(uint32_t queue, PacketBatch* out, DropSink* sink) {
  if (!usable()) return 0;
  std::array<cygnet_packet*, kMaxBatch> views;
  const uint32_t room = out->room();
  uint32_t n = driver_.rx_burst(device_, queue, views.data(), room);
  if (n > room) {
    contract_.Break("rx_burst returned " + std::to_string(n) + " packets for " +
                    std::to_string(room) + " places");
    return 0;
  }
  const uint32_t before = out->size();
  for (uint32_t i = 0; i < n; ++i) {
    Packet* packet = TakeUp(queue, views[i], sink);
    if (packet != nullptr) out->Push(packet);
  }
  if (capture_ != nullptr) {
    capture_->host.Offer(out->packets().subspan(before), CaptureDirection::kInbound);
  }
  return out->size() - before;
}

int PluginDevice::wait_fd(uint32_t queue) const {
  return usable() ? driver_.wait_fd(device_, queue) : -1;
}

bool PluginDevice::PrepareWait(uint32_t queue) {
  return !usable() || driver_.prepare_wait(device_, queue) != 0;
}

void PluginDevice::FinishWait(uint32_t queue) {
  if (usable()) driver_.finish_wait(device_, queue);
}

}  // namespace cygnet
