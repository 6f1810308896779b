// Named IP protocols, UDP ports (IANA) and the minimum IPv6 MTU.
#pragma once

#include <cstdint>

namespace cygnet {

inline constexpr uint8_t kProtoHopByHop = 0;
inline constexpr uint8_t kProtoIcmp = 1;
inline constexpr uint8_t kProtoIpip = 4;
inline constexpr uint8_t kProtoTcp = 6;
inline constexpr uint8_t kProtoUdp = 17;
inline constexpr uint8_t kProtoIpv6 = 41;
inline constexpr uint8_t kProtoRouting = 43;
inline constexpr uint8_t kProtoFragment = 44;
inline constexpr uint8_t kProtoGre = 47;
inline constexpr uint8_t kProtoEsp = 50;
inline constexpr uint8_t kProtoAh = 51;
inline constexpr uint8_t kProtoIcmpv6 = 58;
inline constexpr uint8_t kProtoNone = 59;  // "no next header": a dummy packet inside ESP
inline constexpr uint8_t kProtoDestOpts = 60;
inline constexpr uint8_t kProtoBeetPh = 94;  // options inside BEET-mode ESP, as Linux numbers it
inline constexpr uint8_t kProtoIpcomp = 108;
inline constexpr uint8_t kProtoDccp = 33;
inline constexpr uint8_t kProtoSctp = 132;
inline constexpr uint8_t kProtoMobility = 135;
inline constexpr uint8_t kProtoUdpLite = 136;

// Every IPv6 link carries packets of this size (RFC 8200 section 5).
inline constexpr uint32_t kMinIpv6Mtu = 1280;

inline constexpr uint16_t kPortIke = 500;
inline constexpr uint16_t kPortIkeNatT = 4500;

}  // namespace cygnet
