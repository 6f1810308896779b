// Walks the rules of the card profiles: each row refuses, through the software NIC, with the errno
// and the text of doc/card_profiles.md.
#include "device/sim_nic/card_profile.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "device/sim_nic/sim_nic.h"
#include "net/ip_protocol.h"
#include "support/memory_port.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

// A request that breaks one rule, on a card of a profile.
struct Case {
  std::string profile;
  std::vector<std::string> conditions = {};
  SaSpec spec = test::MakeSpec({.mode = SaMode::kTransport, .window = 32});
  Half half = Half::kOutbound;
  OffloadMode mode = OffloadMode::kCrypto;
  std::optional<SaSpec> before = {};  // takes the last room of the card
  // Of a policy, and of what no SA of Cygnet has.
  CardRequest request = {};
};

void UsePair(SaSpec* spec, const char* cipher, std::size_t key, const char* auth,
             std::size_t auth_key, uint16_t icv_bits) {
  spec->aead = {};
  spec->pair.Change()->cipher.descriptor = FindAlgorithm(AlgorithmKind::kCipher, cipher);
  spec->pair.Change()->cipher.key = KeyMaterial(test::Pattern(key));
  spec->pair.Change()->auth.descriptor = FindAlgorithm(AlgorithmKind::kAuth, auth);
  spec->pair.Change()->auth.key = KeyMaterial(test::Pattern(auth_key));
  spec->pair.Change()->auth.icv_bits = icv_bits;
}

void UseAead(SaSpec* spec, const char* name, std::size_t key, uint16_t icv_bits) {
  spec->aead.descriptor = FindAlgorithm(AlgorithmKind::kAead, name);
  spec->aead.key = KeyMaterial(test::Pattern(key));
  spec->aead.icv_bits = icv_bits;
}

using Breaker = std::function<void(Case*)>;

Breaker Condition(std::string word) {
  return [word](Case* c) { c->conditions = {word}; };
}

// What breaks the rules of each test.
const std::map<CardTest, Breaker>& Breakers() {
  using T = CardTest;
  static const std::map<CardTest, Breaker> kBreakers = {
      {T::kAlways, [](Case*) {}},
      {T::kNotEsp, [](Case* c) { c->spec.proto = kProtoAh; }},
      {T::kNotEspOrAh, [](Case* c) { c->spec.proto = kProtoIpcomp; }},
      {T::kCompressed, [](Case* c) { c->request.compressed = true; }},
      {T::kPacketMode, [](Case* c) { c->mode = OffloadMode::kPacket; }},
      {T::kNotTransport, [](Case* c) { c->spec.mode = SaMode::kTunnel; }},
      {T::kNotTransportOrTunnel, [](Case* c) { c->spec.mode = SaMode::kBeet; }},
      {T::kFamilyNotIp, [](Case* c) { c->spec.family = IpFamily::kUnspec; }},
      {T::kEsn, [](Case* c) { c->spec.flags |= kSaFlagEsn; }},
      {T::kHasAuthentication,
       [](Case* c) { UsePair(&c->spec, "cbc(aes)", 16, "hmac(sha256)", 32, 128); }},
      {T::kNotGcmIcv16, [](Case* c) { c->spec.aead.icv_bits = 64; }},
      {T::kNoAead, [](Case* c) { UsePair(&c->spec, "cbc(aes)", 16, "hmac(sha256)", 32, 128); }},
      {T::kNotGcm, [](Case* c) { UseAead(&c->spec, "rfc4543(gcm(aes))", 20, 128); }},
      {T::kIcvBits, [](Case* c) { c->spec.aead.icv_bits = 64; }},
      {T::kKeyBits, [](Case* c) { c->spec.aead.key = KeyMaterial(test::Pattern(12)); }},
      {T::kShortKey, [](Case* c) { c->spec.aead.key = KeyMaterial(test::Pattern(12)); }},
      {T::kAuthUnknown, [](Case* c) { UsePair(&c->spec, "cbc(aes)", 16, "xcbc(aes)", 16, 96); }},
      {T::kAuthIcv, [](Case* c) { UsePair(&c->spec, "cbc(aes)", 16, "hmac(sha256)", 32, 112); }},
      {T::kAuthKeyLong,
       [](Case* c) { UsePair(&c->spec, "cbc(aes)", 16, "hmac(sha256)", 65, 128); }},
      {T::kCipherUnknown, [](Case* c) { UseAead(&c->spec, "rfc4309(ccm(aes))", 19, 128); }},
      {T::kChaChaNotHere,
       [](Case* c) { UseAead(&c->spec, "rfc7539esp(chacha20,poly1305)", 36, 128); }},
      {T::kDes3NotHere,
       [](Case* c) {
         c->conditions = {"nfp-3800"};
         UsePair(&c->spec, "cbc(des3_ede)", 24, "hmac(sha256)", 32, 128);
       }},
      {T::kChaChaIcv,
       [](Case* c) {
         c->conditions = {"nfp-3800"};
         UseAead(&c->spec, "rfc7539esp(chacha20,poly1305)", 36, 64);
       }},
      {T::kChaChaKey,
       [](Case* c) {
         c->conditions = {"nfp-3800"};
         UseAead(&c->spec, "rfc7539esp(chacha20,poly1305)", 20, 128);
       }},
      {T::kGcmOrGmacIcv, [](Case* c) { UseAead(&c->spec, "rfc4543(gcm(aes))", 20, 64); }},
      {T::kGcmOrGmacKey, [](Case* c) { c->spec.aead.key = KeyMaterial(test::Pattern(12)); }},
      {T::kCbcKey, [](Case* c) { UsePair(&c->spec, "cbc(aes)", 10, "hmac(sha256)", 32, 128); }},
      {T::kEncap, [](Case* c) { c->spec.encap = test::NatT(); }},
      {T::kEncapNotUdp,
       [](Case* c) {
         c->spec.encap = test::NatT();
         c->spec.encap->type = 1;
       }},
      {T::kTfc, [](Case* c) { c->spec.rare.Change()->tfc_pad = 1; }},
      {T::kNoIvGenerator, [](Case* c) { c->request.iv_generator = CardIvGenerator::kNone; }},
      {T::kOtherIvGenerator, [](Case* c) { c->request.iv_generator = CardIvGenerator::kOther; }},
      {T::kSelectorProto,
       [](Case* c) {
         c->spec.selector.Change()->proto = kProtoGre;
         c->request.selector_proto = kProtoGre;
       }},
      {T::kReplayWindow,
       [](Case* c) {
         c->spec.replay.extended_form = true;
         c->spec.replay.window = 96;
       }},
      {T::kNoReqid, [](Case* c) { c->spec.reqid = Reqid(0); }},
      {T::kByteLimitOrder,
       [](Case* c) {
         c->spec.limits.Change()->soft_bytes = 5000;
         c->spec.limits.Change()->hard_bytes = 5000;
       }},
      {T::kByteLimitZero, [](Case* c) { c->spec.limits.Change()->soft_bytes = 0; }},
      {T::kPacketLimitOrder,
       [](Case* c) {
         c->spec.limits.Change()->soft_packets = 7;
         c->spec.limits.Change()->hard_packets = 6;
       }},
      {T::kPacketLimitZero, [](Case* c) { c->spec.limits.Change()->soft_packets = 0; }},
      {T::kTableFull,
       [](Case* c) { c->before = test::MakeSpec({.spi = 0x77, .mode = c->spec.mode}); }},
      {T::kAddressTableFull,
       [](Case* c) {
         c->before = test::MakeSpec({.dst = "192.0.2.77", .spi = 0x77, .mode = c->spec.mode});
       }},
      {T::kSubPolicy, [](Case* c) { c->request.sub_policy = true; }},
      {T::kManyTemplates, [](Case* c) { c->request.templates = 2; }},
      {T::kForward, [](Case* c) { c->request.forward = true; }},
      {T::kNoReqidNoSelector,
       [](Case* c) {
         c->request.reqid = 0;
         c->request.selector_has_address = false;
       }},
      {T::kPriority, [](Case* c) { c->request.priority = 100; }},
      {T::kPriorityHighest, [](Case* c) { c->request.priority = 0xffff'ffff; }},
      {T::kManagementAddress, Condition("management-address")},
      {T::kVfsWithoutVepa, Condition("vfs-without-vepa")},
      {T::kVfNotTrusted, Condition("vf-not-trusted")},
      {T::kNoIpsec, Condition("no-ipsec")},
      {T::kEswitchChanging, Condition("eswitch-changing")},
      {T::kEncapMode, Condition("encap-mode")},
      {T::kNoEsnCap,
       [](Case* c) {
         c->conditions = {"no-esn"};
         c->spec.flags |= kSaFlagEsn;
       }},
      {T::kNoEncapCap,
       [](Case* c) {
         c->conditions = {"no-encap"};
         c->spec.encap = test::NatT();
       }},
      {T::kNoTunnelCap, Condition("no-tunnel")},
      {T::kNoPriorityCap,
       [](Case* c) {
         c->conditions = {"no-priority"};
         c->request.priority = 100;
       }},
      {T::kNoMemory, Condition("no-memory")},
      {T::kOffloadSwitchedOff, Condition("esp-hw-offload-off")},
      {T::kFirmwareTimeout, Condition("firmware-timeout")},
      {T::kSlaveWithoutOffload, Condition("slave-without-offload")},
      {T::kNoPacketCap, [](Case* c) { c->profile = "mlx5-crypto"; }},
      {T::kSwitchdev, [](Case* c) { c->profile = "mlx5-switchdev"; }},
  };
  return kBreakers;
}

// A request of the rule's scope that breaks nothing else.
Case GoodCase(const CardProfile& profile, CardScope scope) {
  Case c{.profile = std::string(profile.name)};
  const bool packet = scope == CardScope::kSaPacket || scope == CardScope::kSaPacketIn ||
                      scope == CardScope::kSaPacketTunnel || scope == CardScope::kPolicy;
  if (packet) c.mode = OffloadMode::kPacket;
  if (scope == CardScope::kSaPacketTunnel) c.spec.mode = SaMode::kTunnel;
  if (scope == CardScope::kSaIn || scope == CardScope::kSaPacketIn) c.half = Half::kInbound;
  // A VF seals nothing.
  if (scope == CardScope::kSa && profile.name == "ixgbevf") c.half = Half::kInbound;
  c.request.policy = scope == CardScope::kPolicy;
  c.request.reqid = 1;
  c.request.templates = 1;
  c.request.selector_has_address = true;
  c.request.mode = c.mode;
  return c;
}

struct Answer {
  Errc code = Errc::kInvalid;
  std::string text;
  bool operator==(const Answer&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Answer& answer) {
  return out << static_cast<int>(answer.code) << " \"" << answer.text << '"';
}

std::unique_ptr<SimNic> MakeNic(const Case& c, PacketPools* pools) {
  const CardLimits& limits = CardProfileNamed(c.profile).limits;
  SimNicOptions options{.profile = c.profile,
                        .card_conditions = c.conditions,
                        .sa_limit = c.before.has_value() ? 1u : limits.slots,
                        .address_limit = limits.addresses};
  const bool another_address = c.before.has_value() && c.before->daddr != c.spec.daddr;
  if (another_address) {
    options.sa_limit = 2;
    options.address_limit = 1;
  }
  return std::make_unique<SimNic>("nic0", std::make_unique<MemoryPort>("wire"), 1, pools, nullptr,
                                  options);
}

// What the software NIC answers. Packet offload: what it says to a request that it cannot do.
std::optional<DeviceRefusal> Ask(const Case& c) {
  PacketPools pools(64, 1);
  if (c.request.policy) {
    CardRequest request = c.request;
    request.conditions = CardConditionsOf(c.conditions);
    return CardProfileNamed(c.profile).Refuse(request);
  }
  const std::unique_ptr<SimNic> nic = MakeNic(c, &pools);
  OffloadHandle handle;
  if (c.before.has_value()) (void)nic->InstallSa({*c.before, c.half, 0}, &handle);
  if (c.mode == OffloadMode::kPacket) return nic->OwnRefusal(c.spec, c.half, c.mode);
  return nic->InstallSa({c.spec, c.half, 0}, &handle);
}

std::string_view ListOf(const CardProfile& profile) {
  return profile.rules.data() == Mlx5Rules().data() ? "mlx5" : profile.name;
}

std::string_view ScopeName(CardScope scope) {
  constexpr std::string_view kNames[] = {
      "SA",        "SA in",        "SA out",           "crypto SA",
      "packet SA", "packet SA in", "packet tunnel SA", "policy"};
  return kNames[static_cast<std::size_t>(scope)];
}

std::string_view ErrnoName(Errc code) {
  switch (code) {
    case Errc::kInvalid:
      return "EINVAL";
    case Errc::kNotSupported:
      return "EOPNOTSUPP";
    case Errc::kNoSpace:
      return "ENOSPC";
    case Errc::kBusy:
      return "EBUSY";
    case Errc::kAccess:
      return "EACCES";
    case Errc::kNoMemory:
      return "ENOMEM";
    case Errc::kNoDevice:
      return "ENODEV";
    default:
      return "?";
  }
}

struct ListedRule {
  const CardProfile* profile;  // the first one with the list
  const CardRule* rule;
  std::string title;
};

// Every rule once, though several profiles share a list.
std::vector<ListedRule> AllRules() {
  std::vector<ListedRule> all;
  std::vector<const CardRule*> lists;
  for (const CardProfile& profile : CardProfiles()) {
    // mlx5-packet has all capabilities; it is walked for the family.
    if (profile.name == "mlx5-crypto" || profile.name == "mlx5-switchdev") continue;
    for (const CardRule& rule : profile.rules) {
      all.push_back({&profile, &rule,
                     std::string(ListOf(profile)) + ": " + std::string(Words(rule.test)) + " (" +
                         std::string(ScopeName(rule.scope)) + ")"});
    }
  }
  return all;
}

// The row of doc/card_profiles.md.
std::string DocRow(const ListedRule& listed) {
  const CardRule& rule = *listed.rule;
  std::string allowed;
  for (const uint16_t value : rule.allowed) {
    if (value != 0) allowed += (allowed.empty() ? "" : "/") + std::to_string(value);
  }
  const std::string text = rule.voice == CardVoice::kNobody ? "" : listed.profile->TextOf(rule);
  return "| " + std::string(ListOf(*listed.profile)) + " | " + std::string(ScopeName(rule.scope)) +
         " | " + std::string(Words(rule.test)) + (allowed.empty() ? "" : " (" + allowed + ")") +
         " | " + std::string(ErrnoName(rule.code)) + " | " + text + " | " +
         std::to_string(rule.line) + " |";
}

std::vector<std::string> RowsOfTheDocument() {
  std::ifstream file(CYGNET_CARD_PROFILES);
  std::vector<std::string> rows;
  bool rules = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("## ")) rules = line == "## Rules";
    if (rules && line.starts_with("| ") && !line.starts_with("| list ")) rows.push_back(line);
  }
  return rows;
}

// Errno and text as the document has them.
Answer AnswerIn(const std::string& row, std::string_view words) {
  std::vector<std::string> cells;
  for (std::size_t at = 2; at < row.size();) {
    const std::size_t end = row.find(" | ", at);
    cells.push_back(row.substr(at, end == std::string::npos ? end : end - at));
    at = end == std::string::npos ? row.size() : end + 3;
  }
  Answer answer;
  for (const Errc code : {Errc::kInvalid, Errc::kNotSupported, Errc::kNoSpace, Errc::kBusy,
                          Errc::kAccess, Errc::kNoMemory, Errc::kNoDevice}) {
    if (cells.at(3) == ErrnoName(code)) answer.code = code;
  }
  answer.text = cells.at(4).empty() ? std::string(words) : cells.at(4);
  return answer;
}

// Checks a rule of kAlone.
bool RefusesAlone(const ListedRule& listed, const Case& c, const Answer& expected) {
  CardProfile alone = *listed.profile;
  alone.rules = {listed.rule, 1};
  CardRequest request = RequestOf(c.spec, c.half, c.mode);
  request.conditions = CardConditionsOf(c.conditions);
  request.slot_free = !c.before.has_value();
  request.compressed = c.request.compressed;
  request.iv_generator = c.request.iv_generator;
  const auto refusal = alone.Refuse(request);
  return refusal.has_value() && Answer{refusal->code, refusal->text} == expected;
}

// Rules that no request reaches: an earlier rule refuses it, or no SA of Cygnet has what the rule
// is about. A VF never has an outbound SA.
constexpr std::string_view kAlone[] = {
    "netdevsim: the SA is compressed (SA)",
    "ixgbe: the SA is compressed (SA in)",
    "ixgbevf: the SA is compressed (SA in)",
    "ixgbevf: the SA table is full (SA out)",
    "mlx5: the SA is compressed (SA)",
    "mlx5: the SA has no AEAD (SA)",
    "mlx5: the ICV of the AEAD has another length (SA)",
    "mlx5: the SA has no IV generator (SA)",
    "mlx5: the IV generator is not seqiv (SA)",
    "chelsio-t6: the SA is compressed (SA)",
    "chelsio-t6: the SA has no AEAD (SA)",
    "chelsio-t6: the SA has no IV generator (SA)",
    "chelsio-t6: the IV generator is not seqiv (SA)",
    "cn10k: the SA is compressed (SA out)",
    "cn10k: the SA has ESN (SA out)",
    "cn10k: the SA has no AEAD (SA out)",
    "cn10k: the ICV of the AEAD has another length (SA out)",
    "cn10k: the SA has no IV generator (SA out)",
    "cn10k: the IV generator is not seqiv (SA out)",
};

TEST(CardProfileTest, TheDocumentHasEveryRuleInTheDriversOrder) {
  std::vector<std::string> rows;
  std::string table;
  for (const ListedRule& listed : AllRules()) {
    rows.push_back(DocRow(listed));
    table += rows.back() + "\n";
  }
  EXPECT_TRUE(RowsOfTheDocument() == rows) << "the table of the code is\n" << table;
}

TEST(CardProfileTest, EachRuleRefusesWithItsErrnoAndText) {
  const std::vector<std::string> rows = RowsOfTheDocument();
  const std::vector<ListedRule> rules = AllRules();
  ASSERT_EQ(rows.size(), rules.size());
  int through_the_nic = 0;
  int policies = 0;
  std::vector<std::string_view> alone;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const ListedRule& listed = rules[i];
    SCOPED_TRACE(listed.title);
    Case c = GoodCase(*listed.profile, listed.rule->scope);
    ASSERT_TRUE(Breakers().contains(listed.rule->test));
    Breakers().at(listed.rule->test)(&c);
    EXPECT_EQ(CardConditionsOf(c.conditions) & ~listed.profile->KnownConditions(), 0u);
    const Answer expected = AnswerIn(rows[i], Words(listed.rule->test));
    const auto refusal = Ask(c);
    if (refusal.has_value() && Answer{refusal->code, refusal->text} == expected) {
      ++(c.request.policy ? policies : through_the_nic);
      continue;
    }
    alone.push_back(listed.title);
    EXPECT_TRUE(RefusesAlone(listed, c, expected)) << "expected " << expected << ", the card says "
                                                   << (refusal.has_value() ? refusal->text : "ok");
  }
  EXPECT_EQ(through_the_nic, 110);
  EXPECT_EQ(policies, 10);
  EXPECT_THAT(alone, testing::ElementsAreArray(kAlone));
}

// Name and what is counted, as the table "Statistics" has them.
TEST(CardProfileTest, TheDocumentHasEveryStatistic) {
  std::ifstream file(CYGNET_CARD_PROFILES);
  std::vector<std::string> listed;
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kCell = "| `";
    const std::size_t end = line.find('`', kCell.size());
    const bool is_row = line.starts_with("| `ipsec_") || line.starts_with("| `tx_ipsec`") ||
                        line.starts_with("| `rx_ipsec`");
    if (is_row) listed.push_back(line.substr(kCell.size(), end - kCell.size()));
  }
  std::vector<std::string> names;
  for (const char* profile : {"ixgbe", "mlx5-packet"}) {
    for (const CardStatistic& line : CardProfileNamed(profile).statistics) {
      names.emplace_back(line.name);
      EXPECT_LT(line.name.size(), 32u) << "ETH_GSTRING_LEN";
    }
  }
  EXPECT_EQ(listed, names);
}

TEST(CardProfileTest, WhatBreaksNothingIsTaken) {
  for (const CardProfile& profile : CardProfiles()) {
    SCOPED_TRACE(profile.name);
    for (const CardScope scope : {CardScope::kSaOut, CardScope::kSaIn}) {
      if (profile.name == "cn10k" && scope == CardScope::kSaIn) continue;
      if (profile.name == "ixgbevf" && scope == CardScope::kSaOut) continue;
      EXPECT_FALSE(Ask(GoodCase(profile, scope)).has_value());
    }
    for (const CardScope scope :
         {CardScope::kSaPacket, CardScope::kSaPacketIn, CardScope::kPolicy}) {
      if (!profile.caps.packet_offload) continue;
      EXPECT_FALSE(Ask(GoodCase(profile, scope)).has_value());
    }
  }
}

}  // namespace
}  // namespace cygnet
