#include "net/ike_message.h"

#include "base/endian.h"
#include "net/ip_protocol.h"

namespace cygnet {

bool IsIkeMessage(std::span<const uint8_t> udp, uint16_t own_port) {
  constexpr std::size_t kUdpHeader = 8;
  constexpr std::size_t kMarker = 4;
  constexpr std::size_t kIsakmpHeader = 28;
  constexpr uint8_t kVersion1 = 0x10;
  constexpr uint8_t kVersion2 = 0x20;
  if (udp.size() < kUdpHeader || LoadBe16(udp.data() + 4) != udp.size()) return false;
  std::span<const uint8_t> message = udp.subspan(kUdpHeader);
  if (own_port == kPortIkeNatT) {
    if (message.size() == 1 && message[0] == 0xff) return true;
    if (message.size() < kMarker || LoadBe32(message.data()) != 0) return false;
    message = message.subspan(kMarker);
  }
  if (message.size() < kIsakmpHeader) return false;
  const bool initiator = (LoadBe32(message.data()) | LoadBe32(message.data() + 4)) != 0;
  const bool version = message[17] == kVersion1 || message[17] == kVersion2;
  return initiator && version && LoadBe32(message.data() + 24) == message.size();
}

}  // namespace cygnet
