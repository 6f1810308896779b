// Netronome and Corigine NFP-4000, NFP-6000 and, by a condition, NFP-3800 (nfp/crypto/ipsec.c).
#include "device/sim_nic/card_core_rules.h"

namespace cygnet {
namespace {

constexpr CardRule Sa(CardTest test, std::string_view text, std::array<uint16_t, 4> allowed = {}) {
  return {.test = test, .allowed = allowed, .text = text, .line = 39};
}

constexpr std::string_view kCipher = "Unsupported encryption algorithm for offload";
constexpr std::string_view kAesKey = "Unsupported AES key length";

// The driver refuses an unknown cipher after the checks of the authentication.
constexpr CardRule kRules[] = {
    kCoreRefusesEsn,
    Sa(CardTest::kNotTransportOrTunnel, "Unsupported mode for xfrm offload"),
    Sa(CardTest::kNotEspOrAh, "Unsupported protocol for xfrm offload"),
    {.scope = CardScope::kSaPacket,
     .test = CardTest::kEsn,
     .text = "Unsupported XFRM_REPLAY_MODE_ESN for xfrm offload",
     .line = 39},
    Sa(CardTest::kPacketMode, "Unsupported xfrm offload type"),
    Sa(CardTest::kAuthUnknown, "Unsupported authentication algorithm"),
    Sa(CardTest::kAuthIcv, "Unsupported authentication algorithm trunc length"),
    Sa(CardTest::kAuthKeyLong, "Insufficient space for offloaded auth key", {512}),
    Sa(CardTest::kCipherUnknown, kCipher),
    Sa(CardTest::kChaChaNotHere, kCipher),
    Sa(CardTest::kDes3NotHere, kCipher),
    Sa(CardTest::kChaChaIcv, "ICV must be 128bit with CHACHA20_POLY1305"),
    Sa(CardTest::kChaChaKey, "Unsupported CHACHA20 key length", {256 + 32}),
    Sa(CardTest::kGcmOrGmacIcv, "ICV must be 128bit with SADB_X_EALG_AES_GCM_ICV16"),
    Sa(CardTest::kGcmOrGmacKey, kAesKey, {128 + 32, 192 + 32, 256 + 32}),
    Sa(CardTest::kCbcKey, kAesKey, {128, 192, 256}),
    {.test = CardTest::kTableFull,
     .code = Errc::kBusy,
     .text = "Unable to get sa_data number for IPsec",
     .line = 40},
    {.test = CardTest::kNoMemory,
     .code = Errc::kNoMemory,
     .text = "Failed to issue IPsec command",
     .line = 40},
};

}  // namespace

std::span<const CardRule> NfpRules() { return kRules; }

}  // namespace cygnet
