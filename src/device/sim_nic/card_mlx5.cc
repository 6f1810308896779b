// NVIDIA ConnectX-6 Dx, ConnectX-7, BlueField (mlx5_core, en_accel/ipsec.c). One list for all
// profiles: they differ by the capabilities that their conditions take away.
#include "device/sim_nic/card_profile.h"

namespace cygnet {
namespace {

constexpr std::string_view kTcpUdp = "Device does not support upper protocol other than TCP/UDP";
constexpr std::string_view kFailed = "Device failed to offload this state";

constexpr CardRule Sa(CardTest test, std::string_view text) {
  return {.test = test, .text = text, .line = 24};
}

constexpr CardRule Packet(CardTest test, std::string_view text,
                          CardScope scope = CardScope::kSaPacket) {
  return {.scope = scope, .test = test, .text = text, .line = 25};
}

constexpr CardRule Policy(CardTest test, std::string_view text) {
  return {.scope = CardScope::kPolicy, .test = test, .text = text, .line = 31};
}

constexpr CardRule kRules[] = {
    {.scope = CardScope::kSaCrypto,
     .test = CardTest::kNoIpsec,
     .code = Errc::kNotSupported,
     .voice = CardVoice::kNobody,
     .line = 23},
    {.scope = CardScope::kSaPacket,
     .test = CardTest::kNoIpsec,
     .code = Errc::kNotSupported,
     .voice = CardVoice::kCore,
     .text = kFailed,
     .line = 23},
    Sa(CardTest::kHasAuthentication, "Cannot offload authenticated xfrm states"),
    Sa(CardTest::kNotGcmIcv16, "Only AES-GCM-ICV16 xfrm state may be offloaded"),
    Sa(CardTest::kCompressed, "Cannot offload compressed xfrm states"),
    Sa(CardTest::kNoEsnCap, "Cannot offload ESN xfrm states"),
    Sa(CardTest::kFamilyNotIp, "Only IPv4/6 xfrm states may be offloaded"),
    Sa(CardTest::kNotEsp, "Only ESP xfrm state may be offloaded"),
    Sa(CardTest::kNoEncapCap, "Encapsulation is not supported"),
    Sa(CardTest::kEncapNotUdp, "Encapsulation other than UDP is not supported"),
    {.scope = CardScope::kSaCrypto,
     .test = CardTest::kEncap,
     .text = "Encapsulation is supported in packet offload mode only",
     .line = 24},
    {.scope = CardScope::kSaPacketTunnel,
     .test = CardTest::kEncap,
     .text = "Encapsulation is supported in transport mode only",
     .line = 24},
    Sa(CardTest::kNoAead, "Cannot offload xfrm states without aead"),
    {.test = CardTest::kIcvBits,
     .allowed = {128},
     .text = "Cannot offload xfrm states with AEAD ICV length other than 128bit",
     .line = 24},
    {.test = CardTest::kKeyBits,
     .allowed = {128 + 32, 256 + 32},
     .text = "Cannot offload xfrm states with AEAD key length other than 128/256 bit",
     .line = 24},
    Sa(CardTest::kTfc, "Cannot offload xfrm states with tfc padding"),
    Sa(CardTest::kNoIvGenerator, "Cannot offload xfrm states without geniv"),
    Sa(CardTest::kOtherIvGenerator, "Cannot offload xfrm states with geniv other than seqiv"),
    Sa(CardTest::kSelectorProto, kTcpUdp),
    Sa(CardTest::kNotTransportOrTunnel, "Only transport and tunnel xfrm states may be offloaded"),
    Packet(CardTest::kNoPacketCap, "Packet offload is not supported"),
    Packet(CardTest::kNoTunnelCap, "Packet offload is not supported for tunnel mode",
           CardScope::kSaPacketTunnel),
    {.scope = CardScope::kSaPacketIn,
     .test = CardTest::kReplayWindow,
     .allowed = {32, 64, 128, 256},
     .text = "Unsupported replay window size",
     .line = 25},
    Packet(CardTest::kNoReqid, "Cannot offload without reqid"),
    Packet(CardTest::kByteLimitOrder, "Hard byte limit must be greater than soft one"),
    Packet(CardTest::kByteLimitZero, "Soft/hard byte limits can't be 0"),
    Packet(CardTest::kPacketLimitOrder, "Hard packet limit must be greater than soft one"),
    Packet(CardTest::kPacketLimitZero, "Soft/hard packet limits can't be 0"),
    {.test = CardTest::kEswitchChanging, .code = Errc::kBusy, .text = kFailed, .line = 23},
    // The errno is inferred: the flow table of the card has no entry left.
    {.test = CardTest::kTableFull, .code = Errc::kNoSpace, .text = kFailed, .line = 29},
    // Refused by the firmware.
    {.scope = CardScope::kSaPacketTunnel,
     .test = CardTest::kSwitchdev,
     .text = kFailed,
     .line = 50},
    Packet(CardTest::kEncapMode, "Packet offload tunnel mode is disabled due to encap settings",
           CardScope::kSaPacketTunnel),

    {.scope = CardScope::kPolicy,
     .test = CardTest::kNoIpsec,
     .code = Errc::kNotSupported,
     .text = "Device doesn't support IPsec packet offload",
     .line = 31},
    Policy(CardTest::kSubPolicy, "Cannot offload non-main policy types"),
    Policy(CardTest::kManyTemplates, "Cannot offload more than one template"),
    Policy(CardTest::kForward, "Cannot offload forward policy"),
    Policy(CardTest::kNoReqidNoSelector,
           "Unsupported policy with reqid 0 without at least one of upper protocol or ip addr(s) "
           "different than 0"),
    Policy(CardTest::kSelectorProto, kTcpUdp),
    Policy(CardTest::kNoPriorityCap, "Device does not support policy priority"),
    Policy(CardTest::kPriorityHighest, "Device does not support requested policy priority"),
    Policy(CardTest::kNoPacketCap, "Packet offload is not supported"),
    {.scope = CardScope::kPolicy,
     .test = CardTest::kEswitchChanging,
     .code = Errc::kBusy,
     .text = "Device failed to offload this policy",
     .line = 31},
};

constexpr CardLie kLies[] = {
    {.scope = CardScope::kSaPacketIn,
     .test = CardTest::kWithoutEsn,
     .gap = ClaimGap::kNoReplayCheck,
     .text = "the card checks replay only of SAs with ESN",
     .line = 27},
};

// First the flow counters of the card. Its tables of crypto and packet offload end in the same
// rule, which counts the packets of both with their Ethernet and IP headers. What a policy drops is
// packet offload. Packets with a wrong ICV and replays are counted for their SA only. The software
// NIC leaves input policies and selectors to the host. Then what the driver counts. It drops
// outbound packets of crypto offload only.
constexpr CardStatistic kStatistics[] = {
    {"ipsec_rx_pkts", Bit(CardCount::kRxPackets)},
    {"ipsec_rx_bytes", Bit(CardCount::kRxBytes)},
    {"ipsec_rx_drop_pkts"},
    {"ipsec_rx_drop_bytes"},
    {"ipsec_rx_drop_mismatch_sa_sel"},
    {"ipsec_tx_pkts", Bit(CardCount::kTxPackets)},
    {"ipsec_tx_bytes", Bit(CardCount::kTxBytes)},
    {"ipsec_tx_drop_pkts", Bit(CardCount::kTxPolicyPackets)},
    {"ipsec_tx_drop_bytes", Bit(CardCount::kTxPolicyBytes)},
    {"ipsec_rx_drop_sp_alloc"},
    {"ipsec_rx_drop_sadb_miss"},
    {"ipsec_tx_drop_bundle"},
    {"ipsec_tx_drop_no_state", Bit(CardCount::kTxNoSa)},
    {"ipsec_tx_drop_not_ip"},
    {"ipsec_tx_drop_trailer", Bit(CardCount::kTxTooShort)},
};

}  // namespace

std::span<const CardStatistic> Mlx5Statistics() { return kStatistics; }
std::span<const CardRule> Mlx5Rules() { return kRules; }
std::span<const CardLie> Mlx5Lies() { return kLies; }

}  // namespace cygnet
