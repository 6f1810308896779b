#include "device/sim_nic/card_request.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "net/ip_protocol.h"

namespace cygnet {
namespace {

using Request = CardRequest;
using Allowed = std::span<const uint16_t>;

struct ConditionWord {
  std::string_view word;
  CardCondition condition;
};
// Those that a configuration may set.
constexpr ConditionWord kWords[] = {
    {"management-address", CardCondition::kManagementAddress},
    {"vfs-without-vepa", CardCondition::kVfsWithoutVepa},
    {"vf-not-trusted", CardCondition::kVfNotTrusted},
    {"no-ipsec", CardCondition::kNoIpsec},
    {"eswitch-changing", CardCondition::kEswitchChanging},
    {"encap-mode", CardCondition::kEncapMode},
    {"no-esn", CardCondition::kNoEsn},
    {"no-encap", CardCondition::kNoEncap},
    {"no-tunnel", CardCondition::kNoTunnel},
    {"no-priority", CardCondition::kNoPriority},
    {"no-memory", CardCondition::kNoMemory},
    {"esp-hw-offload-off", CardCondition::kOffloadSwitchedOff},
    {"firmware-timeout", CardCondition::kFirmwareTimeout},
    {"firmware-refuses", CardCondition::kFirmwareRefuses},
    {"slave-without-offload", CardCondition::kSlaveWithoutOffload},
    {"nfp-3800", CardCondition::kNfp3800},
};

bool Passes(Allowed allowed, uint32_t value) {
  return std::find(allowed.begin(), allowed.end(), value) != allowed.end();
}

bool Has(const Request& r, CardCondition condition) {
  return (r.conditions & static_cast<uint32_t>(condition)) != 0;
}

bool IsCipher(const Request& r, AlgorithmId id) {
  return r.encryption != nullptr && r.encryption->id == id;
}

// What Linux calls SADB_X_EALG_AES_GCM_ICV16.
bool IsGcmIcv16(const Request& r) { return IsCipher(r, AlgorithmId::kAesGcm) && r.icv_bits == 128; }
bool IsGmac(const Request& r) { return IsCipher(r, AlgorithmId::kAesGmac); }
bool IsChaCha(const Request& r) { return IsCipher(r, AlgorithmId::kChaCha20Poly1305); }
bool OtherThanTcpUdp(const Request& r) {
  return r.selector_proto != 0 && r.selector_proto != kProtoTcp && r.selector_proto != kProtoUdp;
}

// The ICV lengths of an authenticator that the nfp firmware has; empty: it does not know it.
std::array<uint16_t, 2> NfpIcvBits(const AlgorithmDescriptor& authentication) {
  switch (authentication.id) {
    case AlgorithmId::kHmacSha1:
      return {96, 80};
    case AlgorithmId::kHmacSha256:
      return {96, 128};
    case AlgorithmId::kHmacSha384:
      return {96, 192};
    case AlgorithmId::kHmacSha512:
      return {96, 256};
    default:
      return {};
  }
}

// An AEAD needs no authenticator.
bool NfpKnowsAuthentication(const Request& r) {
  return r.authentication == nullptr ? r.aead : NfpIcvBits(*r.authentication)[0] != 0;
}

bool NfpKnowsCipher(const Request& r) {
  return IsGcmIcv16(r) || IsGmac(r) || IsChaCha(r) || IsCipher(r, AlgorithmId::kAesCbc) ||
         IsCipher(r, AlgorithmId::kDes3Cbc) || IsCipher(r, AlgorithmId::kNullCipher);
}

bool WrongOrder(uint64_t soft, uint64_t hard) { return hard != kUnlimited && soft >= hard; }

struct TestRow {
  std::string_view words;
  bool (*holds)(const Request& r, Allowed allowed);
};

// In the order of CardTest.
constexpr TestRow kTests[] = {
    {"it takes no such SA", [](const Request&, Allowed) { return true; }},
    {"the protocol is not ESP", [](const Request& r, Allowed) { return r.proto != kProtoEsp; }},
    {"the protocol is neither ESP nor AH",
     [](const Request& r, Allowed) { return r.proto != kProtoEsp && r.proto != kProtoAh; }},
    {"the SA is compressed", [](const Request& r, Allowed) { return r.compressed; }},
    {"packet offload is requested",
     [](const Request& r, Allowed) { return r.mode == OffloadMode::kPacket; }},
    {"the mode is not transport",
     [](const Request& r, Allowed) { return r.sa_mode != SaMode::kTransport; }},
    {"the mode is neither transport nor tunnel",
     [](const Request& r, Allowed) {
       return r.sa_mode != SaMode::kTransport && r.sa_mode != SaMode::kTunnel;
     }},
    {"the family is neither IPv4 nor IPv6",
     [](const Request& r, Allowed) {
       return r.family != IpFamily::kV4 && r.family != IpFamily::kV6;
     }},
    {"the SA has ESN", [](const Request& r, Allowed) { return r.esn; }},
    {"the SA has no ESN", [](const Request& r, Allowed) { return !r.esn; }},
    {"the SA has an authentication algorithm",
     [](const Request& r, Allowed) { return r.authentication != nullptr; }},
    {"the encryption is not AES-GCM with an ICV of 128 bits",
     [](const Request& r, Allowed) { return !IsGcmIcv16(r); }},
    {"the SA has no AEAD", [](const Request& r, Allowed) { return !r.aead; }},
    {"the AEAD is not rfc4106(gcm(aes))",
     [](const Request& r, Allowed) { return r.aead && !IsCipher(r, AlgorithmId::kAesGcm); }},
    {"the ICV of the AEAD has another length",
     [](const Request& r, Allowed allowed) { return r.aead && !Passes(allowed, r.icv_bits); }},
    {"the key of the AEAD has another length",
     [](const Request& r, Allowed allowed) { return r.aead && !Passes(allowed, r.key_bits); }},
    {"the key of the AEAD is too short",
     [](const Request& r, Allowed allowed) { return r.aead && r.key_bits < allowed[0]; }},
    {"the card does not know the authentication",
     [](const Request& r, Allowed) { return !NfpKnowsAuthentication(r); }},
    {"the authentication has another ICV length",
     [](const Request& r, Allowed) {
       return r.authentication != nullptr &&
              !Passes(NfpIcvBits(*r.authentication), r.auth_icv_bits);
     }},
    {"the authentication key is too long",
     [](const Request& r, Allowed allowed) { return r.auth_key_bits > allowed[0]; }},
    {"the card does not know the encryption",
     [](const Request& r, Allowed) { return !NfpKnowsCipher(r); }},
    {"ChaCha20-Poly1305 on another card than the NFP-3800",
     [](const Request& r, Allowed) { return IsChaCha(r) && !Has(r, CardCondition::kNfp3800); }},
    {"3DES on the NFP-3800",
     [](const Request& r, Allowed) {
       return IsCipher(r, AlgorithmId::kDes3Cbc) && Has(r, CardCondition::kNfp3800);
     }},
    {"ChaCha20-Poly1305 with another ICV length",
     [](const Request& r, Allowed) { return IsChaCha(r) && r.icv_bits != 128; }},
    {"ChaCha20-Poly1305 with another key length",
     [](const Request& r, Allowed allowed) { return IsChaCha(r) && !Passes(allowed, r.key_bits); }},
    {"AES-GCM or GMAC with another ICV length",
     [](const Request& r, Allowed) {
       return (IsCipher(r, AlgorithmId::kAesGcm) || IsGmac(r)) && r.icv_bits != 128;
     }},
    {"AES-GCM or GMAC with another key length",
     [](const Request& r, Allowed allowed) {
       return (IsCipher(r, AlgorithmId::kAesGcm) || IsGmac(r)) && !Passes(allowed, r.key_bits);
     }},
    {"AES-CBC with another key length",
     [](const Request& r, Allowed allowed) {
       return IsCipher(r, AlgorithmId::kAesCbc) && !Passes(allowed, r.key_bits);
     }},
    {"the SA has UDP encapsulation", [](const Request& r, Allowed) { return r.encap_type != 0; }},
    {"the encapsulation is not ESP in UDP",
     [](const Request& r, Allowed) { return r.encap_type != 0 && r.encap_type != 2; }},
    {"the SA has TFC padding", [](const Request& r, Allowed) { return r.tfc; }},
    {"the SA has no IV generator",
     [](const Request& r, Allowed) { return r.iv_generator == CardIvGenerator::kNone; }},
    {"the IV generator is not seqiv",
     [](const Request& r, Allowed) { return r.iv_generator == CardIvGenerator::kOther; }},
    {"the selector has another protocol than TCP or UDP",
     [](const Request& r, Allowed) { return OtherThanTcpUdp(r); }},
    {"the replay window has another size",
     [](const Request& r, Allowed allowed) {
       return r.extended_replay && r.inbound && !Passes(allowed, r.replay_window);
     }},
    {"the SA has no reqid", [](const Request& r, Allowed) { return r.reqid == 0; }},
    {"the hard limit of bytes is not above the soft one",
     [](const Request& r, Allowed) {
       return WrongOrder(r.limits.soft_bytes, r.limits.hard_bytes);
     }},
    {"a limit of bytes is 0",
     [](const Request& r, Allowed) {
       return r.limits.soft_bytes == 0 || r.limits.hard_bytes == 0;
     }},
    {"the hard limit of packets is not above the soft one",
     [](const Request& r, Allowed) {
       return WrongOrder(r.limits.soft_packets, r.limits.hard_packets);
     }},
    {"a limit of packets is 0",
     [](const Request& r, Allowed) {
       return r.limits.soft_packets == 0 || r.limits.hard_packets == 0;
     }},
    {"the SA table is full", [](const Request& r, Allowed) { return !r.slot_free; }},
    {"the table of receive addresses is full",
     [](const Request& r, Allowed) { return !r.address_free; }},
    {"the policy is a sub-policy", [](const Request& r, Allowed) { return r.sub_policy; }},
    {"the policy has several templates", [](const Request& r, Allowed) { return r.templates > 1; }},
    {"the policy is for forwarded packets", [](const Request& r, Allowed) { return r.forward; }},
    {"the policy has neither reqid nor anything in its selector",
     [](const Request& r, Allowed) {
       return r.reqid == 0 && r.selector_proto == 0 && !r.selector_has_address;
     }},
    {"the policy has a priority", [](const Request& r, Allowed) { return r.priority != 0; }},
    {"the policy has the priority 0xffffffff",
     [](const Request& r, Allowed) { return r.priority == 0xffff'ffff; }},
    {"the address is one of the management controller",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kManagementAddress); }},
    {"SR-IOV VFs exist and the bridge is not in VEPA mode",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kVfsWithoutVepa); }},
    {"the PF does not trust the VF with IPsec",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kVfNotTrusted); }},
    {"the card has no IPsec",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kNoIpsec); }},
    {"the mode of the embedded switch is being changed",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kEswitchChanging); }},
    {"the embedded switch has an encapsulation mode",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kEncapMode); }},
    {"the SA has ESN, and the firmware has not",
     [](const Request& r, Allowed) { return r.esn && Has(r, CardCondition::kNoEsn); }},
    {"the SA has UDP encapsulation, and the firmware has not",
     [](const Request& r, Allowed) {
       return r.encap_type != 0 && Has(r, CardCondition::kNoEncap);
     }},
    {"the firmware has no tunnel mode",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kNoTunnel); }},
    {"the policy has a priority, and the firmware has none",
     [](const Request& r, Allowed) {
       return r.priority != 0 && Has(r, CardCondition::kNoPriority);
     }},
    {"no memory", [](const Request& r, Allowed) { return Has(r, CardCondition::kNoMemory); }},
    {"esp-hw-offload is switched off",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kOffloadSwitchedOff); }},
    {"the firmware does not answer",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kFirmwareTimeout); }},
    {"the active card of the bond has no IPsec offload",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kSlaveWithoutOffload); }},
    {"the card has no packet offload",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kNoPacket); }},
    {"the card is in switchdev mode",
     [](const Request& r, Allowed) { return Has(r, CardCondition::kSwitchdev); }},
};
static_assert(std::size(kTests) == static_cast<std::size_t>(CardTest::kCount));

const TestRow& RowOf(CardTest test) { return kTests[static_cast<std::size_t>(test)]; }

uint16_t Bits(const KeyMaterial& key) { return static_cast<uint16_t>(key.size() * 8); }

}  // namespace

std::vector<std::string_view> CardConditionWords() {
  std::vector<std::string_view> words;
  for (const ConditionWord& row : kWords) words.push_back(row.word);
  return words;
}

std::vector<std::string_view> CardConditionWords(uint32_t conditions) {
  std::vector<std::string_view> words;
  for (const ConditionWord& row : kWords) {
    if ((conditions & static_cast<uint32_t>(row.condition)) != 0) words.push_back(row.word);
  }
  return words;
}

uint32_t CardConditionsOf(const std::vector<std::string>& words) {
  uint32_t bits = 0;
  for (const ConditionWord& row : kWords) {
    if (std::find(words.begin(), words.end(), row.word) != words.end()) {
      bits |= static_cast<uint32_t>(row.condition);
    }
  }
  return bits;
}

CardRequest RequestOf(const SaSpec& spec, Half half, OffloadMode mode) {
  CardRequest r;
  r.mode = mode;
  r.inbound = IsInbound(half);
  r.proto = spec.proto;
  r.sa_mode = spec.mode;
  r.family = spec.family;
  r.encryption = spec.encryption().descriptor;
  r.authentication = spec.pair->auth.descriptor;
  r.aead = spec.aead.descriptor != nullptr;
  r.key_bits = Bits(spec.encryption().key);
  r.icv_bits = spec.aead.icv_bits;
  r.auth_key_bits = Bits(spec.pair->auth.key);
  r.auth_icv_bits = spec.pair->auth.icv_bits;
  r.esn = spec.esn();
  r.extended_replay = spec.replay.extended_form;
  r.replay_window = spec.replay_window();
  r.encap_type = spec.encap.has_value() ? spec.encap->type : uint16_t{0};
  r.tfc = spec.rare->tfc_pad != 0;
  r.reqid = spec.reqid.value;
  r.limits = spec.limits;
  r.selector_proto = spec.selector->proto;
  return r;
}

CardRequest RequestOf(const PolicySpec& spec) {
  CardRequest r;
  r.mode = OffloadMode::kPacket;
  r.policy = true;
  r.inbound = spec.direction == PolicyDirection::kIn;
  r.selector_proto = spec.selector.proto;
  r.sub_policy = spec.type == PolicyType::kSub;
  r.forward = spec.direction == PolicyDirection::kForward;
  r.templates = static_cast<uint32_t>(spec.templates.size());
  r.selector_has_address = spec.selector.prefixlen_s != 0 || spec.selector.prefixlen_d != 0;
  r.reqid = spec.templates.empty() ? 0 : spec.templates[0].reqid.value;
  r.priority = spec.priority;
  return r;
}

bool Holds(CardTest test, std::span<const uint16_t> allowed, const CardRequest& request) {
  return RowOf(test).holds(request, allowed);
}

uint32_t ConditionOf(CardTest test) {
  static constexpr std::pair<CardTest, CardCondition> kLooksAt[] = {
      {CardTest::kChaChaNotHere, CardCondition::kNfp3800},
      {CardTest::kDes3NotHere, CardCondition::kNfp3800},
      {CardTest::kManagementAddress, CardCondition::kManagementAddress},
      {CardTest::kVfsWithoutVepa, CardCondition::kVfsWithoutVepa},
      {CardTest::kVfNotTrusted, CardCondition::kVfNotTrusted},
      {CardTest::kNoIpsec, CardCondition::kNoIpsec},
      {CardTest::kEswitchChanging, CardCondition::kEswitchChanging},
      {CardTest::kEncapMode, CardCondition::kEncapMode},
      {CardTest::kNoEsnCap, CardCondition::kNoEsn},
      {CardTest::kNoEncapCap, CardCondition::kNoEncap},
      {CardTest::kNoTunnelCap, CardCondition::kNoTunnel},
      {CardTest::kNoPriorityCap, CardCondition::kNoPriority},
      {CardTest::kNoMemory, CardCondition::kNoMemory},
      {CardTest::kOffloadSwitchedOff, CardCondition::kOffloadSwitchedOff},
      {CardTest::kFirmwareTimeout, CardCondition::kFirmwareTimeout},
      {CardTest::kSlaveWithoutOffload, CardCondition::kSlaveWithoutOffload},
      {CardTest::kNoPacketCap, CardCondition::kNoPacket},
      {CardTest::kSwitchdev, CardCondition::kSwitchdev},
  };
  for (const auto& [row, condition] : kLooksAt) {
    if (row == test) return static_cast<uint32_t>(condition);
  }
  return 0;
}

std::string_view Words(CardTest test) { return RowOf(test).words; }

}  // namespace cygnet
