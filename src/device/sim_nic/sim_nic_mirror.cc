// The software NIC: copies of the ESP packets that it decapsulates, for shadow verification.
#include <cstring>

#include "device/sim_nic/sim_nic.h"

namespace cygnet {

bool SimNic::SetMirror(uint32_t n) {
  mirror_.store(n, std::memory_order_relaxed);
  return true;
}

// Copies the packet as it came if it is drawn. False: it must not go up without a copy, and there
// is no buffer for one.
bool SimNic::DrawCopy(const Packet& packet, Packet** copy) {
  const uint32_t one_of = mirror_.load(std::memory_order_relaxed);
  if (one_of == 0) return true;
  copy_draw_ = copy_draw_ * 6364136223846793005u + 1442695040888963407u;
  if (one_of > 1 && ((copy_draw_ >> 32) * one_of) >> 32 != 0) return true;
  Packet* made = caches_.TakeFor(packet.length);
  if (made == nullptr || made->tailroom() < packet.length) {
    FreeCopy(made);
    return one_of > 1;
  }
  std::memcpy(made->Append(packet.length), packet.data(), packet.length);
  made->l3_offset = packet.l3_offset;
  *copy = made;
  return true;
}

void SimNic::MarkCopy(const Packet& inner, Packet* copy) {
  copy->offload.handle = inner.offload.handle;
  copy->offload.status = OffloadStatus::kMirrored;
  copy->SetSaNumber(inner.sa_number());
}

void SimNic::FreeCopy(Packet* copy) {
  if (copy != nullptr) caches_.Give(copy);
}

}  // namespace cygnet
