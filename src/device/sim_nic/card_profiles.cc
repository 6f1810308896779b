// The table of profiles.
#include "device/sim_nic/card_profile.h"
#include "sa/replay_window.h"

namespace cygnet {
namespace {

constexpr std::string_view kGcm = "rfc4106(gcm(aes))";
constexpr uint32_t kManySlots = 32'768;  // of a driver that has no limit of its own

constexpr uint32_t Bits(CardCondition condition) { return static_cast<uint32_t>(condition); }

// AES-GCM with an ICV of 128 bits, IPv4 and IPv6, transport mode: what every card takes.
OffloadCaps GcmCaps(std::vector<uint16_t> key_bytes) {
  return {.crypto_offload = true,
          .inbound = true,
          .outbound = true,
          .transport = true,
          .ipv4 = true,
          .ipv6 = true,
          .algorithms = {kGcm},
          .key_bytes = std::move(key_bytes),
          .icv_bytes = {16},
          .max_replay_window = kMaxReplayWindow};
}

OffloadCaps GenericCaps() {
  OffloadCaps caps = GcmCaps({16, 32});
  caps.tunnel = true;
  caps.esn = true;
  caps.packet_offload = true;
  caps.packet_udp_encap = true;
  return caps;
}

// esp-tx-csum-hw-offload and tx-esp-segmentation.
OffloadCaps WithFeatures(OffloadCaps caps) {
  caps.inner_checksum = true;
  caps.segmentation = true;
  return caps;
}

CardProfile Generic() {
  return {
      .name = "generic", .help = "the software NIC as itself", .module = "", .caps = GenericCaps()};
}

CardProfile Netdevsim() {
  OffloadCaps caps = WithFeatures(GcmCaps({16, 24, 32}));
  caps.tunnel = true;
  caps.beet = true;
  caps.udp_encap = true;
  return {.name = "netdevsim",
          .help = "the kernel's simulated device; here it encrypts",
          .module = "netdevsim",
          .caps = std::move(caps),
          .limits = {.slots = 33, .shared = true, .addresses = 0},
          .handles = {.first_in = 0x8000'0000, .first_out = 0x8000'0000},
          .rules = NetdevsimRules()};
}

CardProfile Ixgbe() {
  return {.name = "ixgbe",
          .help = "Intel 82599, X540, X550",
          .module = "ixgbe",
          .caps = WithFeatures(GcmCaps({16})),
          .handles = {.first_in = 0, .first_out = 1024},
          .rules = IxgbeRules(),
          .statistics = IxgbeStatistics(),
          .reset_keeps_sas = true};
}

CardProfile Ixgbevf() {
  OffloadCaps caps = WithFeatures(GcmCaps({16, 24, 32}));
  caps.outbound = false;
  return {.name = "ixgbevf",
          .help = "a virtual function of an Intel 82599, X540, X550",
          .module = "ixgbevf",
          .caps = std::move(caps),
          .handles = {.first_in = 0, .first_out = 1024},
          .rules = IxgbevfRules(),
          .statistics = IxgbeStatistics(),
          .reset_keeps_sas = true};
}

CardProfile Mlx5(std::string_view name, std::string_view help) {
  OffloadCaps caps = WithFeatures(GcmCaps({16, 32}));
  caps.packet_offload = true;
  caps.tunnel = true;
  caps.esn = true;
  caps.udp_encap = true;
  caps.packet_udp_encap = true;
  caps.replay_check_without_esn = false;
  return {.name = name,
          .help = help,
          .module = "mlx5_core",
          .caps = std::move(caps),
          .limits = {.slots = kManySlots, .addresses = 0},
          .rules = Mlx5Rules(),
          .lies = Mlx5Lies(),
          .statistics = Mlx5Statistics(),
          .limit_poll_ms = 1000,
          .statistics_age_ms = 1000,
          .bytes_with_overhead = true};
}

CardProfile Mlx5Crypto() {
  CardProfile profile = Mlx5("mlx5-crypto", "NVIDIA ConnectX-6 Dx and later, crypto offload only");
  profile.caps.packet_offload = false;
  profile.caps.packet_udp_encap = false;
  profile.caps.udp_encap = false;
  profile.conditions = Bits(CardCondition::kNoPacket) | Bits(CardCondition::kNoEncap) |
                       Bits(CardCondition::kNoTunnel) | Bits(CardCondition::kNoPriority);
  return profile;
}

CardProfile Mlx5Switchdev() {
  CardProfile profile = Mlx5("mlx5-switchdev", "NVIDIA ConnectX-7 in switchdev mode");
  profile.conditions = Bits(CardCondition::kSwitchdev);
  return profile;
}

CardProfile Chelsio() {
  OffloadCaps caps = GcmCaps({16, 32});
  caps.tunnel = true;
  caps.esn = true;
  caps.icv_bytes = {16, 12};
  return {.name = "chelsio-t6",
          .help = "Chelsio T6",
          .module = "ch_ipsec",
          .caps = std::move(caps),
          .limits = {.slots = kManySlots, .addresses = 0},
          .rules = ChelsioRules(),
          .lies = ChelsioLies()};
}

CardProfile Nfp() {
  OffloadCaps caps = GcmCaps({16, 24, 32});
  caps.tunnel = true;
  caps.udp_encap = true;
  caps.algorithms = {kGcm,
                     "rfc4543(gcm(aes))",
                     "cbc(aes)",
                     "cbc(des3_ede)",
                     "hmac(sha1)",
                     "hmac(sha256)",
                     "hmac(sha384)",
                     "hmac(sha512)",
                     "ecb(cipher_null)",
                     "rfc7539esp(chacha20,poly1305)"};
  caps.icv_bytes = {16, 12, 10, 24, 32};
  return {.name = "nfp",
          .help = "Netronome NFP-4000 and NFP-6000",
          .module = "nfp",
          .caps = std::move(caps),
          .limits = {.slots = 16'384, .shared = true, .addresses = 0},
          .handles = {.first_in = 1, .first_out = 1},
          .rules = NfpRules(),
          .adds_are_queued = true};
}

CardProfile Cn10k() {
  OffloadCaps caps = GcmCaps({16, 24, 32});
  caps.tunnel = true;
  caps.inbound = false;
  return {.name = "cn10k",
          .help = "Marvell CN10K",
          .module = "rvu_nicpf",
          .caps = std::move(caps),
          .limits = {.slots = kManySlots, .addresses = 0},
          .rules = Cn10kRules()};
}

// No driver exists yet, so it has no texts: what its capabilities lack is done in software.
CardProfile Virtio() {
  CardProfile profile = {.name = "virtio-1.4",
                         .help = "virtio-net of virtio 1.4 with inline IPsec",
                         .module = "virtio_net",
                         .caps = GenericCaps(),
                         .limits = {.slots = 1024, .addresses = 0}};
  profile.caps.key_bytes = {16, 24, 32};
  return profile;
}

// The active card's rules follow (sim_nic_bond.cc).
constexpr CardRule kBondRules[] = {
    {.test = CardTest::kSlaveWithoutOffload,
     .text = "Slave does not support ipsec offload",
     .line = 47},
};

CardProfile Bond() {
  return {.name = "bond",
          .help = "a bond of two cards (bond_cards), one active",
          .module = "bonding",
          .limits = {.slots = kManySlots, .addresses = 0},
          .rules = kBondRules};
}

}  // namespace

std::span<const CardProfile> CardProfiles() {
  static const std::vector<CardProfile> kProfiles = [] {
    std::vector<CardProfile> all;
    all.push_back(Generic());
    all.push_back(Netdevsim());
    all.push_back(Ixgbe());
    all.push_back(Ixgbevf());
    all.push_back(Mlx5Crypto());
    all.push_back(Mlx5("mlx5-packet", "NVIDIA ConnectX-7 and BlueField"));
    all.push_back(Mlx5Switchdev());
    all.push_back(Chelsio());
    all.push_back(Nfp());
    all.push_back(Cn10k());
    all.push_back(Virtio());
    all.push_back(Bond());
    return all;
  }();
  return kProfiles;
}

}  // namespace cygnet
