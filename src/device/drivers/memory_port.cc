#include "device/drivers/memory_port.h"

namespace cygnet {

MemoryPort::~MemoryPort() {
  for (PacketFifo* queue : {&arriving, &sent}) {
    for (; !queue->empty(); queue->pop_front()) {
      Packet* packet = queue->front();
      packet->pool->Give(&packet, 1);
    }
  }
}

uint32_t MemoryPort::Receive(uint32_t, PacketBatch* out, DropSink*) {
  uint32_t n = 0;
  for (; !out->full() && !arriving.empty(); arriving.pop_front(), ++n) {
    Packet* packet = arriving.front();
    packet->offload = OffloadMeta{};  // a frame brings no marks of the machine that sent it
    stats_.rx_bytes += packet->length;
    out->Push(packet);
  }
  stats_.rx_packets += n;
  return n;
}

void MemoryPort::Transmit(uint32_t, PacketBatch* batch, DropSink*) {
  for (Packet* packet : batch->packets()) {
    stats_.tx_bytes += packet->length;
    sent.push_back(packet);
  }
  stats_.tx_packets += batch->size();
  batch->ReleaseAll();
}

}  // namespace cygnet
