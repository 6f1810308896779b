#include "plugin/plugin_packets.h"

#include <algorithm>

namespace cygnet {
namespace {

constexpr uint8_t kLoanBits = 4;
constexpr uint8_t kLoanMask = (1u << kLoanBits) - 1;

}  // namespace

PluginPackets::Views PluginPackets::MakeViews(PacketPool* pool) {
  Views views{pool, std::make_unique<cygnet_packet[]>(pool->count()),
              std::make_unique<std::atomic<uint8_t>[]>(pool->count())};
  for (uint32_t i = 0; i < pool->count(); ++i) {
    views.packets[i].buffer = pool->memory().data() + std::size_t{i} * pool->capacity();
    views.packets[i].capacity = pool->capacity();
    views.packets[i].host = pool->at(i);
  }
  return views;
}

PluginPackets::PluginPackets(PacketPools* pools)
    : pools_(pools),
      small_(MakeViews(&pools->small)),
      jumbo_(MakeViews(&pools->jumbo)),
      large_(MakeViews(&pools->large)) {}

void PluginPackets::Describe(const Packet& packet, cygnet_packet* view) {
  view->buffer = packet.buffer;
  view->capacity = packet.capacity;
  view->head = packet.head;
  view->length = packet.length;
  view->handle = packet.offload.handle.value;
  view->esn_high = packet.offload.esn_high;
  view->sa_number = packet.sa_number();
  // A wire says where the IP header would be, in a frame that ends before it, too.
  view->l3_offset = static_cast<uint16_t>(std::min<uint32_t>(packet.l3_offset, packet.length));
  view->esp_offset = packet.offload.esp_offset;
  view->status = static_cast<uint8_t>(packet.offload.status);
  view->flags = packet.csum_partial ? CYGNET_PACKET_CSUM_PARTIAL : 0;
}

cygnet_packet* PluginPackets::Show(const Packet& packet) {
  const Views& views = Of(packet);
  cygnet_packet* view = &views.packets[views.pool->index(&packet)];
  Describe(packet, view);
  return view;
}

cygnet_packet* PluginPackets::Lend(const Packet& packet, PluginLoan loan, uint32_t queue) {
  cygnet_packet* view = Show(packet);
  const Views& views = Of(packet);
  views.loans[views.pool->index(&packet)].store(
      static_cast<uint8_t>(queue << kLoanBits | static_cast<uint8_t>(loan)),
      std::memory_order_release);
  return view;
}

PluginPackets::Returned PluginPackets::TakeBack(const cygnet_packet* view) {
  const auto at = reinterpret_cast<uintptr_t>(view);
  for (const Views* views : {&small_, &jumbo_, &large_}) {
    const auto begin = reinterpret_cast<uintptr_t>(views->packets.get());
    if (at < begin || (at - begin) % sizeof(cygnet_packet) != 0) continue;
    const uintptr_t index = (at - begin) / sizeof(cygnet_packet);
    if (index >= views->pool->count()) continue;
    // An exchange, so that of two threads that give back the same packet one is caught.
    const uint8_t loan = views->loans[index].exchange(0, std::memory_order_acq_rel);
    if (loan == 0) return {};
    return {views->pool->at(static_cast<uint32_t>(index)),
            static_cast<PluginLoan>(loan & kLoanMask), uint32_t{loan} >> kLoanBits};
  }
  return {};
}

uint32_t PluginPackets::Reclaim() {
  uint32_t reclaimed = 0;
  for (const Views* views : {&small_, &jumbo_, &large_}) {
    for (uint32_t i = 0; i < views->pool->count(); ++i) {
      if (views->loans[i].exchange(0, std::memory_order_acq_rel) == 0) continue;
      Packet* packet = views->pool->at(i);
      views->pool->Give(&packet, 1);
      ++reclaimed;
    }
  }
  return reclaimed;
}

}  // namespace cygnet
