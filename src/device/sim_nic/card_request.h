// CardRequest: the facts of an SA or a policy that drivers of cards look at before they take it,
// and the tests on them. Contains no key.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "crypto/algorithm.h"
#include "net/address.h"
#include "policy/policy.h"
#include "sa/half.h"
#include "sa/sa_spec.h"

namespace cygnet {

// What is the matter with a card, its firmware or its settings. Set by the profile, and by
// `card_conditions` of the configuration; one bit each.
enum class CardCondition : uint32_t {
  kManagementAddress = 1 << 0,  // the SA's address is one of the management controller
  kVfsWithoutVepa = 1 << 1,     // SR-IOV VFs exist, and the bridge is not in VEPA mode
  kVfNotTrusted = 1 << 2,       // the PF does not trust the VF with IPsec
  kNoIpsec = 1 << 3,            // this card of the family has no IPsec
  kEswitchChanging = 1 << 4,    // the mode of the embedded switch is being changed
  kEncapMode = 1 << 5,          // the embedded switch has an encapsulation mode
  kNoEsn = 1 << 6,              // capabilities that its firmware lacks
  kNoEncap = 1 << 7,
  kNoTunnel = 1 << 8,
  kNoPriority = 1 << 9,
  kNoMemory = 1 << 10,
  kOffloadSwitchedOff = 1 << 11,   // ethtool -K … esp-hw-offload off
  kFirmwareTimeout = 1 << 12,      // the firmware does not answer in time
  kFirmwareRefuses = 1 << 13,      // the firmware refuses every add
  kSlaveWithoutOffload = 1 << 14,  // of a bond: the active card has no IPsec offload
  kNoPacket = 1 << 15,             // capabilities that the card of the profile lacks
  kSwitchdev = 1 << 16,            // the card is in switchdev mode
  kNfp3800 = 1 << 17,              // the card is an NFP-3800: ChaCha20-Poly1305, but no 3DES
};
// Words of the configuration, "no-esn" and so on, and their bits.
std::vector<std::string_view> CardConditionWords();
uint32_t CardConditionsOf(const std::vector<std::string>& words);

// How the IV is generated; Linux's name is "seqiv".
enum class CardIvGenerator : uint8_t { kSeqIv, kOther, kNone };

struct CardRequest {
  OffloadMode mode = OffloadMode::kCrypto;
  bool policy = false;  // otherwise an SA
  bool inbound = false;
  uint32_t conditions = 0;  // bits of CardCondition
  bool slot_free = true;
  bool address_free = true;

  // Of an SA.
  uint8_t proto = 0;
  SaMode sa_mode = SaMode::kTransport;
  IpFamily family = IpFamily::kUnspec;
  const AlgorithmDescriptor* encryption = nullptr;
  const AlgorithmDescriptor* authentication = nullptr;  // nullptr: none, or an AEAD
  bool aead = false;
  uint16_t key_bits = 0;       // of the encryption, including a salt
  uint16_t icv_bits = 0;       // of the AEAD
  uint16_t auth_key_bits = 0;  // of the authentication
  uint16_t auth_icv_bits = 0;
  CardIvGenerator iv_generator = CardIvGenerator::kSeqIv;
  bool compressed = false;
  bool esn = false;
  bool extended_replay = false;  // the SA has the long form of the replay state
  uint32_t replay_window = 0;
  uint16_t encap_type = 0;  // 0: none
  bool tfc = false;
  uint32_t reqid = 0;
  LifetimeLimits limits = {};

  // Of both: the protocol of the selector, 0: any.
  uint8_t selector_proto = 0;

  // Of a policy.
  bool sub_policy = false;
  bool forward = false;
  uint32_t templates = 0;
  bool selector_has_address = false;
  uint32_t priority = 0;
};
CardRequest RequestOf(const SaSpec& spec, Half half, OffloadMode mode);
CardRequest RequestOf(const PolicySpec& spec);

// A condition under which a row of a profile applies. `allowed`: the values that pass, of the tests
// that compare with values.
enum class CardTest : uint8_t {
  kAlways,
  kNotEsp,
  kNotEspOrAh,
  kCompressed,
  kPacketMode,
  kNotTransport,
  kNotTransportOrTunnel,
  kFamilyNotIp,
  kEsn,
  kWithoutEsn,
  kHasAuthentication,
  kNotGcmIcv16,
  kNoAead,
  kNotGcm,
  kIcvBits,      // compares
  kKeyBits,      // compares
  kShortKey,     // allowed[0]: the shortest key that passes
  kAuthUnknown,  // nfp: an authenticator that it does not know
  kAuthIcv,      // nfp: an authenticator with another ICV length than it knows
  kAuthKeyLong,  // allowed[0]: the longest key that passes
  kCipherUnknown,
  kChaChaNotHere,
  kDes3NotHere,
  kChaChaIcv,
  kChaChaKey,  // compares
  kGcmOrGmacIcv,
  kGcmOrGmacKey,  // compares
  kCbcKey,        // compares
  kEncap,
  kEncapNotUdp,
  kTfc,
  kNoIvGenerator,
  kOtherIvGenerator,
  kSelectorProto,
  kReplayWindow,  // compares; only SAs with the long form
  kNoReqid,
  kByteLimitOrder,
  kByteLimitZero,
  kPacketLimitOrder,
  kPacketLimitZero,
  kTableFull,
  kAddressTableFull,
  kSubPolicy,
  kManyTemplates,
  kForward,
  kNoReqidNoSelector,
  kPriority,
  kPriorityHighest,
  // A condition of the card, alone or with something of the request.
  kManagementAddress,
  kVfsWithoutVepa,
  kVfNotTrusted,
  kNoIpsec,
  kEswitchChanging,
  kEncapMode,
  kNoEsnCap,
  kNoEncapCap,
  kNoTunnelCap,
  kNoPriorityCap,
  kNoMemory,
  kOffloadSwitchedOff,
  kFirmwareTimeout,
  kSlaveWithoutOffload,
  kNoPacketCap,
  kSwitchdev,
  kCount,
};
// True if the condition holds for the request.
bool Holds(CardTest test, std::span<const uint16_t> allowed, const CardRequest& request);
// The condition of the card that the test looks at, as a bit; 0: none.
uint32_t ConditionOf(CardTest test);
// The words of these bits, in the order of CardConditionWords().
std::vector<std::string_view> CardConditionWords(uint32_t conditions);
// The condition in words: "the SA is compressed".
std::string_view Words(CardTest test);

}  // namespace cygnet
