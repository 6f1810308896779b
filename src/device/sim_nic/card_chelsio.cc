// Chelsio T6 (ch_ipsec/chcr_ipsec.c).
#include "device/sim_nic/card_profile.h"

namespace cygnet {
namespace {

constexpr CardRule Sa(CardTest test, std::string_view text) {
  return {.test = test, .text = text, .line = 35};
}

constexpr CardRule kRules[] = {
    Sa(CardTest::kHasAuthentication, "Cannot offload authenticated xfrm states"),
    Sa(CardTest::kCompressed, "Cannot offload compressed xfrm states"),
    Sa(CardTest::kFamilyNotIp, "Only IPv4/6 xfrm state offloaded"),
    Sa(CardTest::kNotTransportOrTunnel, "Only transport and tunnel xfrm offload"),
    Sa(CardTest::kNotEsp, "Only ESP xfrm state offloaded"),
    Sa(CardTest::kEncap, "Encapsulated xfrm state not offloaded"),
    Sa(CardTest::kNoAead, "Cannot offload xfrm states without aead"),
    {.test = CardTest::kIcvBits,
     .allowed = {128, 96},
     .text = "Cannot offload xfrm states with AEAD ICV length other than 96b & 128b",
     .line = 35},
    // In lower case, as the driver has it.
    {.test = CardTest::kKeyBits,
     .allowed = {128 + 32, 256 + 32},
     .text = "cannot offload xfrm states with AEAD key length other than 128/256 bit",
     .line = 35},
    Sa(CardTest::kTfc, "Cannot offload xfrm states with tfc padding"),
    Sa(CardTest::kNoIvGenerator, "Cannot offload xfrm states without geniv"),
    Sa(CardTest::kOtherIvGenerator, "Cannot offload xfrm states with geniv other than seqiv"),
    Sa(CardTest::kPacketMode, "Unsupported xfrm offload"),
    {.test = CardTest::kNoMemory,
     .code = Errc::kNoMemory,
     .voice = CardVoice::kCore,
     .text = "Device failed to offload this state",
     .line = 35},
};

constexpr CardLie kLies[] = {
    {.scope = CardScope::kSaIn,
     .test = CardTest::kAlways,
     .gap = ClaimGap::kNotUsed,
     .text = "the driver offloads outbound packets only: the CPU opens the packets of this SA",
     .line = 36},
};

}  // namespace

std::span<const CardRule> ChelsioRules() { return kRules; }
std::span<const CardLie> ChelsioLies() { return kLies; }

}  // namespace cygnet
