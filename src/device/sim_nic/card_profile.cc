#include "device/sim_nic/card_profile.h"

#include <algorithm>

#include "base/check.h"

namespace cygnet {

bool IsIn(const CardRequest& request, CardScope scope) {
  const bool packet = request.mode == OffloadMode::kPacket;
  if (request.policy) return scope == CardScope::kPolicy;
  switch (scope) {
    case CardScope::kSa:
      return true;
    case CardScope::kSaIn:
      return request.inbound;
    case CardScope::kSaOut:
      return !request.inbound;
    case CardScope::kSaCrypto:
      return !packet;
    case CardScope::kSaPacket:
      return packet;
    case CardScope::kSaPacketIn:
      return packet && request.inbound;
    case CardScope::kSaPacketTunnel:
      return packet && request.sa_mode == SaMode::kTunnel;
    case CardScope::kPolicy:
      return false;
  }
  return false;
}

uint32_t CardProfile::KnownConditions() const {
  uint32_t known = adds_are_queued ? static_cast<uint32_t>(CardCondition::kFirmwareRefuses) : 0;
  for (const CardRule& rule : rules) known |= ConditionOf(rule.test);
  return known;
}

const CardRule* CardProfile::RefusingRow(const CardRequest& request) const {
  CardRequest with = request;
  with.conditions |= conditions;
  for (const CardRule& rule : rules) {
    if (IsIn(with, rule.scope) && Holds(rule.test, rule.allowed, with)) return &rule;
  }
  return nullptr;
}

std::optional<DeviceRefusal> CardProfile::Refuse(const CardRequest& request) const {
  const CardRule* rule = RefusingRow(request);
  if (rule == nullptr) return std::nullopt;
  const InstallError kind = rule->test == CardTest::kTableFull ? InstallError::kTableFull
                            : rule->test == CardTest::kAddressTableFull
                                ? InstallError::kAddressTableFull
                                : InstallError::kRefused;
  return DeviceRefusal{kind, rule->code, TextOf(*rule)};
}

std::string CardProfile::TextOf(const CardRule& rule) const {
  switch (rule.voice) {
    case CardVoice::kDriver:
      return std::string(module) + ": " + std::string(rule.text);
    case CardVoice::kCore:
      return std::string(rule.text);
    case CardVoice::kNobody:
      break;
  }
  // The client hears nothing; the operator gets the condition.
  return std::string(Words(rule.test));
}

const CardLie* CardProfile::LieAbout(const CardRequest& request) const {
  for (const CardLie& lie : lies) {
    if (IsIn(request, lie.scope) && Holds(lie.test, {}, request)) return &lie;
  }
  return nullptr;
}

std::vector<std::string_view> CardProfileNames() {
  std::vector<std::string_view> names;
  for (const CardProfile& profile : CardProfiles()) names.push_back(profile.name);
  return names;
}

const CardProfile& CardProfileNamed(std::string_view name) {
  const auto profiles = CardProfiles();
  const auto found = std::find_if(profiles.begin(), profiles.end(),
                                  [name](const CardProfile& p) { return p.name == name; });
  CYGNET_CHECK(found != profiles.end());
  return *found;
}

}  // namespace cygnet
