// netdevsim, the kernel's simulated device (drivers/net/netdevsim/ipsec.c).
#include "device/sim_nic/card_core_rules.h"

namespace cygnet {
namespace {

constexpr std::string_view kKeys = "Failed to get key data for SA table";

constexpr CardRule kRules[] = {
    kCoreRefusesEsn,
    {.test = CardTest::kNotEspOrAh, .text = "Unsupported protocol for ipsec offload", .line = 14},
    {.test = CardTest::kCompressed, .text = "Compression offload not supported", .line = 14},
    {.test = CardTest::kPacketMode, .text = "Unsupported ipsec offload type", .line = 14},
    // One table for both directions, and one text.
    {.test = CardTest::kTableFull,
     .code = Errc::kNoSpace,
     .text = "No space for SA in Rx table!",
     .line = 14},
    {.test = CardTest::kNoAead, .text = kKeys, .line = 14},
    {.test = CardTest::kIcvBits, .allowed = {128}, .text = kKeys, .line = 14},
    {.test = CardTest::kNotGcm, .text = kKeys, .line = 14},
    {.test = CardTest::kShortKey, .allowed = {128}, .text = kKeys, .line = 14},
};

}  // namespace

std::span<const CardRule> NetdevsimRules() { return kRules; }

}  // namespace cygnet
