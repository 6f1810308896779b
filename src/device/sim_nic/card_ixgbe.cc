// Intel 82599 and later (ixgbe/ixgbe_ipsec.c), and their virtual functions (ixgbevf/ipsec.c).
#include "device/sim_nic/card_core_rules.h"

namespace cygnet {
namespace {

constexpr std::string_view kRxKeys = "Failed to get key data for Rx SA table";
constexpr std::string_view kTxKeys = "Failed to get key data for Tx SA table";
constexpr CardRule kNotTransport = {
    .test = CardTest::kNotTransport, .text = "Unsupported mode for ipsec offload", .line = 18};
constexpr CardRule kPacketMode = {
    .test = CardTest::kPacketMode, .text = "Unsupported ipsec offload type", .line = 18};
constexpr CardRule kCompressed = {.scope = CardScope::kSaIn,
                                  .test = CardTest::kCompressed,
                                  .text = "Compression offload not supported",
                                  .line = 18};
constexpr CardRule kRxFull = {.scope = CardScope::kSaIn,
                              .test = CardTest::kTableFull,
                              .code = Errc::kNoSpace,
                              .text = "No space for SA in Rx table!",
                              .line = 18};
constexpr CardRule kRxAddresses = {.scope = CardScope::kSaIn,
                                   .test = CardTest::kAddressTableFull,
                                   .code = Errc::kNoSpace,
                                   .text = "No space for SA in Rx IP SA table",
                                   .line = 18};
constexpr CardRule kTxFull = {.scope = CardScope::kSaOut,
                              .test = CardTest::kTableFull,
                              .code = Errc::kNoSpace,
                              .text = "No space for SA in Tx table",
                              .line = 18};

constexpr CardRule Key(CardScope scope, CardTest test, std::array<uint16_t, 4> allowed,
                       uint16_t line) {
  return {.scope = scope,
          .test = test,
          .allowed = allowed,
          .text = scope == CardScope::kSaIn ? kRxKeys : kTxKeys,
          .line = line};
}

// The PF takes a key of 160 bits, the salt at the end, or of 128 bits, with a salt of 0.
constexpr CardRule kPfRules[] = {
    kCoreRefusesEsn,
    {.test = CardTest::kNotEspOrAh, .text = "Unsupported protocol for ipsec offload", .line = 18},
    kNotTransport,
    {.test = CardTest::kManagementAddress,
     .text = "IPsec IP addr clash with mgmt filters",
     .line = 18},
    kPacketMode,
    kCompressed,
    kRxFull,
    Key(CardScope::kSaIn, CardTest::kNoAead, {}, 18),
    Key(CardScope::kSaIn, CardTest::kIcvBits, {128}, 19),
    Key(CardScope::kSaIn, CardTest::kNotGcm, {}, 18),
    Key(CardScope::kSaIn, CardTest::kKeyBits, {160, 128}, 19),
    kRxAddresses,
    {.scope = CardScope::kSaOut,
     .test = CardTest::kVfsWithoutVepa,
     .code = Errc::kNotSupported,
     .voice = CardVoice::kNobody,
     .line = 18},
    kTxFull,
    Key(CardScope::kSaOut, CardTest::kNoAead, {}, 18),
    Key(CardScope::kSaOut, CardTest::kIcvBits, {128}, 19),
    Key(CardScope::kSaOut, CardTest::kNotGcm, {}, 18),
    Key(CardScope::kSaOut, CardTest::kKeyBits, {160, 128}, 19),
};

// The VF's driver checks first; then its PF decides. The driver's own text says "IPsec".
constexpr CardRule kVfRules[] = {
    kCoreRefusesEsn,
    {.test = CardTest::kNotEspOrAh, .text = "Unsupported protocol for IPsec offload", .line = 18},
    kNotTransport,
    kPacketMode,
    kCompressed,
    kRxFull,
    Key(CardScope::kSaIn, CardTest::kNoAead, {}, 18),
    Key(CardScope::kSaIn, CardTest::kIcvBits, {128}, 19),
    Key(CardScope::kSaIn, CardTest::kNotGcm, {}, 18),
    Key(CardScope::kSaIn, CardTest::kShortKey, {160}, 20),
    kRxAddresses,
    kTxFull,
    Key(CardScope::kSaOut, CardTest::kNoAead, {}, 18),
    Key(CardScope::kSaOut, CardTest::kIcvBits, {128}, 19),
    Key(CardScope::kSaOut, CardTest::kNotGcm, {}, 18),
    Key(CardScope::kSaOut, CardTest::kShortKey, {160}, 20),
    {.test = CardTest::kVfNotTrusted,
     .code = Errc::kAccess,
     .voice = CardVoice::kCore,
     .text = "Device failed to offload this state",
     .line = 20},
    {.scope = CardScope::kSaOut,
     .test = CardTest::kAlways,
     .code = Errc::kNotSupported,
     .voice = CardVoice::kNobody,
     .line = 20},
};

// The driver counts what it gives to the IPsec unit, and what that returns for an SA. It does not
// look whether the ICV was right.
constexpr CardStatistic kStatistics[] = {
    {"tx_ipsec", Bit(CardCount::kTxPackets)},
    {"rx_ipsec", Bit(CardCount::kRxPackets) | Bit(CardCount::kRxWrongIcv)},
};

}  // namespace

std::span<const CardStatistic> IxgbeStatistics() { return kStatistics; }
std::span<const CardRule> IxgbeRules() { return kPfRules; }
std::span<const CardRule> IxgbevfRules() { return kVfRules; }

}  // namespace cygnet
