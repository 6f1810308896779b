// Card profiles: how the software NIC behaves as a card that people own. A profile is data: what
// the card takes, its limits, and one row for each rule by which its Linux driver refuses an SA or
// a policy, in the order in which the driver checks, with errno and text. doc/card_profiles.md has
// the profiles; the rows name the lines of the reference on cards that they come from.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "device/device_extras.h"
#include "device/offload_device.h"
#include "device/sim_nic/card_request.h"
#include "device/sim_nic/card_statistics.h"

namespace cygnet {

// The requests that a row is for.
enum class CardScope : uint8_t {
  kSa,
  kSaIn,
  kSaOut,
  kSaCrypto,
  kSaPacket,
  kSaPacketIn,
  kSaPacketTunnel,
  kPolicy,
};
bool IsIn(const CardRequest& request, CardScope scope);

// Whose text it is. A driver's text has the name of its module in front, as in the kernel.
enum class CardVoice : uint8_t {
  kDriver,  // "mlx5_core: …"
  kCore,    // the kernel's core: no prefix
  kNobody,  // no text: the client's request continues in software
};

struct CardRule {
  CardScope scope = CardScope::kSa;
  CardTest test = CardTest::kAlways;
  std::array<uint16_t, 4> allowed = {};  // of tests that compare: the values that pass
  Errc code = Errc::kInvalid;            // kNotSupported: "do it in software"
  CardVoice voice = CardVoice::kDriver;
  std::string_view text = {};  // without the prefix
  uint16_t line = 0;           // of cards.md
};

// What a card says that is not true.
struct CardLie {
  CardScope scope = CardScope::kSa;
  CardTest test = CardTest::kAlways;
  ClaimGap gap = ClaimGap::kNotUsed;
  std::string_view text = {};  // what it really does, for operators
  uint16_t line = 0;           // of cards.md
};

// What the table of a card looks like to its driver.
struct CardLimits {
  uint32_t slots = 1024;
  bool shared = false;       // one table for both directions
  uint32_t addresses = 128;  // receive addresses; 0: no limit
};

struct CardHandles {
  uint32_t first_in = 1;  // handle of slot 0
  uint32_t first_out = 1;
};

struct CardProfile {
  std::string_view name;    // `profile = "…"`
  std::string_view help;    // what it is
  std::string_view module;  // the driver: prefix of its texts, and what `ethtool -i` shows
  OffloadCaps caps = {};
  CardLimits limits = {};
  CardHandles handles = {};
  uint32_t conditions = 0;  // bits of CardCondition that always apply
  std::span<const CardRule> rules = {};
  std::span<const CardLie> lies = {};
  std::span<const CardStatistic> statistics = {};  // of `ethtool -S` that concern IPsec
  bool reset_keeps_sas = false;  // its driver loads the tables again from its own copies
  bool adds_are_queued = false;  // the firmware's answer to an add reaches nobody
  // Packet offload: lifetimes are checked this often, statistics are this old, and the bytes of an
  // SA include the ESP overhead.
  uint32_t limit_poll_ms = 0;
  uint32_t statistics_age_ms = 0;
  bool bytes_with_overhead = false;

  // The conditions of the card that its driver looks at: bits of CardCondition.
  uint32_t KnownConditions() const;
  // The answer of the driver to a request; nullopt: it takes it.
  std::optional<DeviceRefusal> Refuse(const CardRequest& request) const;
  // The row that refuses; nullptr: none.
  const CardRule* RefusingRow(const CardRequest& request) const;
  // What the client is told if `rule` refuses.
  std::string TextOf(const CardRule& rule) const;
  // The lie that the card tells about a request that it took; nullptr: it tells none.
  const CardLie* LieAbout(const CardRequest& request) const;
  // The handle of a slot, as the driver counts them in each direction.
  uint32_t HandleOf(Half half, uint32_t slot) const {
    return slot + (IsInbound(half) ? handles.first_in : handles.first_out);
  }
};

// All profiles; the first one is "generic", the default: the software NIC as itself.
std::span<const CardProfile> CardProfiles();
std::vector<std::string_view> CardProfileNames();
// REQUIRES: `name` is one of them.
const CardProfile& CardProfileNamed(std::string_view name);
// The card itself, or the cards of a bond.
std::vector<const CardProfile*> CardsOf(const CardProfile& profile,
                                        const std::vector<std::string>& bond_cards);
// What a device of these cards can do, depending on which one is active.
OffloadCaps CapsOf(const CardProfile& profile, const std::vector<const CardProfile*>& cards);

// Rows of each family of cards.
std::span<const CardRule> NetdevsimRules();
std::span<const CardRule> IxgbeRules();
std::span<const CardRule> IxgbevfRules();
std::span<const CardRule> Mlx5Rules();
std::span<const CardRule> ChelsioRules();
std::span<const CardLie> ChelsioLies();
std::span<const CardLie> Mlx5Lies();
std::span<const CardStatistic> IxgbeStatistics();  // also those of ixgbevf
std::span<const CardStatistic> Mlx5Statistics();
std::span<const CardRule> NfpRules();
std::span<const CardRule> Cn10kRules();

}  // namespace cygnet
