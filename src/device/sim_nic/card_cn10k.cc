// Marvell CN10KA-B0 and CN10KB (octeontx2/nic/cn10k_ipsec.c).
#include "device/sim_nic/card_core_rules.h"

namespace cygnet {
namespace {

constexpr CardRule Out(CardTest test, std::string_view text, std::array<uint16_t, 4> allowed = {}) {
  return {.scope = CardScope::kSaOut, .test = test, .allowed = allowed, .text = text, .line = 43};
}

constexpr CardRule kRules[] = {
    kCoreRefusesEsn,
    {.scope = CardScope::kSaIn,
     .test = CardTest::kAlways,
     .code = Errc::kNotSupported,
     .text = "xfrm inbound offload not supported",
     .line = 43},
    Out(CardTest::kHasAuthentication, "Cannot offload authenticated xfrm states"),
    Out(CardTest::kNotGcmIcv16, "Only AES-GCM-ICV16 xfrm state may be offloaded"),
    Out(CardTest::kCompressed, "Cannot offload compressed xfrm states"),
    Out(CardTest::kEsn, "Cannot offload ESN xfrm states"),
    Out(CardTest::kFamilyNotIp, "Only IPv4/v6 xfrm states may be offloaded"),
    Out(CardTest::kPacketMode, "Cannot offload other than crypto-mode"),
    Out(CardTest::kNotTransportOrTunnel, "Only tunnel/transport xfrm states may be offloaded"),
    Out(CardTest::kNotEsp, "Only ESP xfrm state may be offloaded"),
    Out(CardTest::kEncap, "Encapsulated xfrm state may not be offloaded"),
    Out(CardTest::kNoAead, "Cannot offload xfrm states without aead"),
    Out(CardTest::kIcvBits, "Cannot offload xfrm states with AEAD ICV length other than 128bit",
        {128}),
    Out(CardTest::kKeyBits,
        "Cannot offload xfrm states with AEAD key length other than 128/192/256bit",
        {128 + 32, 192 + 32, 256 + 32}),
    Out(CardTest::kTfc, "Cannot offload xfrm states with tfc padding"),
    Out(CardTest::kNoIvGenerator, "Cannot offload xfrm states without geniv"),
    Out(CardTest::kOtherIvGenerator, "Cannot offload xfrm states with geniv other than seqiv"),
    {.scope = CardScope::kSaOut,
     .test = CardTest::kOffloadSwitchedOff,
     .code = Errc::kNoDevice,
     .text = "Error writing outbound SA",
     .line = 43},
    {.scope = CardScope::kSaOut,
     .test = CardTest::kFirmwareTimeout,
     .code = Errc::kBusy,
     .text = "Error writing outbound SA",
     .line = 43},
};

}  // namespace

std::span<const CardRule> Cn10kRules() { return kRules; }

}  // namespace cygnet
