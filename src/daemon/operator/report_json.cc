// SAs and policies.
#include "daemon/operator/report_json.h"

#include <fmt/format.h>

#include <span>
#include <string_view>
#include <utility>

#include "daemon/operator/report_words.h"

namespace cygnet {
namespace {

std::string_view StateName(SaState state) {
  switch (state) {
    case SaState::kLarval:
      return "larval";
    case SaState::kValid:
      return "valid";
    case SaState::kDying:
      return "dying";
    case SaState::kExpired:
      return "expired";
    case SaState::kDead:
      return "dead";
  }
  return "unknown";
}

std::string_view PolicyDirectionName(PolicyDirection direction) {
  switch (direction) {
    case PolicyDirection::kIn:
      return "in";
    case PolicyDirection::kOut:
      return "out";
    case PolicyDirection::kForward:
      return "fwd";
  }
  return "unknown";
}

std::string_view OffloadModeName(OffloadMode mode) {
  switch (mode) {
    case OffloadMode::kNo:
      return "no";
    case OffloadMode::kCrypto:
      return "crypto";
    case OffloadMode::kPacket:
      return "packet";
  }
  return "unknown";
}

Json FlagNames(const SaSpec& spec) {
  constexpr std::pair<uint8_t, std::string_view> kFlags[] = {
      {kSaFlagNoEcn, "noecn"},
      {kSaFlagDecapDscp, "decap-dscp"},
      {kSaFlagNoPmtuDisc, "nopmtudisc"},
      {kSaFlagWildRecv, "wildrecv"},
      {kSaFlagIcmp, "icmp"},
      {kSaFlagAfUnspec, "af-unspec"},
      {kSaFlagAlign4, "align4"},
      {kSaFlagEsn, "esn"},
  };
  constexpr std::pair<uint32_t, std::string_view> kExtraFlags[] = {
      {kSaExtraDontEncapDscp, "dont-encap-dscp"},
      {kSaExtraOseqMayWrap, "oseq-may-wrap"},
  };
  Json names = Json::array();
  for (const auto& [bit, name] : kFlags) {
    if ((spec.flags & bit) != 0) names.push_back(name);
  }
  for (const auto& [bit, name] : kExtraFlags) {
    if ((spec.rare->extra_flags & bit) != 0) names.push_back(name);
  }
  return names;
}

std::string HexBytes(std::span<const uint8_t> bytes) {
  std::string text = "0x";
  for (const uint8_t byte : bytes) text += fmt::format("{:02x}", byte);
  return text;
}

void AddAlgorithm(const char* name, const SaAlgorithm& algorithm, KeyVisibility keys, Json* out) {
  if (algorithm.descriptor == nullptr) return;
  const std::size_t salt = algorithm.descriptor->salt_bytes;
  const std::size_t size = algorithm.key.size();
  Json row = {{"name", algorithm.descriptor->name},
              {"icv_bits", algorithm.icv_bits},
              {"key_bits", size > salt ? (size - salt) * 8 : 0}};
  if (keys == KeyVisibility::kShown) row["key"] = HexBytes(algorithm.key.bytes());
  (*out)[name] = std::move(row);
}

void AddMark(uint32_t value, uint32_t mask, uint32_t if_id, Json* out) {
  if (value != 0 || mask != 0) (*out)["mark"] = {{"value", Hex32(value)}, {"mask", Hex32(mask)}};
  if (if_id != 0) (*out)["if_id"] = if_id;
}

Json UsageJson(const LifetimeUsage& usage) {
  return {{"bytes", usage.bytes},
          {"packets", usage.packets},
          {"add_time", usage.add_time},
          {"use_time", usage.use_time}};
}

Json LimitsJson(const LifetimeLimits& limits) {
  Json json = Json::object();
  const auto add = [&json](const char* name, uint64_t value, uint64_t unset) {
    if (value != unset) json[name] = value;
  };
  add("soft_bytes", limits.soft_bytes, kUnlimited);
  add("hard_bytes", limits.hard_bytes, kUnlimited);
  add("soft_packets", limits.soft_packets, kUnlimited);
  add("hard_packets", limits.hard_packets, kUnlimited);
  add("soft_add_seconds", limits.soft_add_seconds, 0);
  add("hard_add_seconds", limits.hard_add_seconds, 0);
  add("soft_use_seconds", limits.soft_use_seconds, 0);
  add("hard_use_seconds", limits.hard_use_seconds, 0);
  return json;
}

Json OffloadRequestJson(const std::optional<OffloadRequest>& request, const std::string& device) {
  if (!request) return nullptr;
  Json json = {{"ifindex", request->ifindex},
               {"mode", OffloadModeName(request->mode)},
               {"dir", Name(HalfFor(request->inbound))}};
  if (!device.empty()) json["device"] = device;
  return json;
}

Json IdentityJson(const SaSpec& spec) {
  return {{"src", ToString(spec.saddr, spec.family)},
          {"dst", ToString(spec.daddr, spec.family)},
          {"spi", Hex32(spec.spi.value)},
          {"proto", ProtoName(spec.proto)},
          {"family", spec.family == IpFamily::kV6 ? 6 : 4},
          {"mode", ModeName(spec.mode)},
          {"reqid", spec.reqid.value},
          {"replay_window", spec.replay.window},
          {"esn", spec.esn()},
          {"flags", FlagNames(spec)}};
}

// Only non-zero rows: most SAs have none.
Json LatenessJson(const LatenessHistogram& lateness) {
  Json rows = Json::array();
  for (std::size_t k = 0; k < kLatenessBuckets; ++k) {
    if (lateness.accepted[k] == 0 && lateness.rejected[k] == 0) continue;
    rows.push_back({{"from", k == 0 ? 0u : 1u << (k - 1)},
                    {"accepted", lateness.accepted[k]},
                    {"rejected", lateness.rejected[k]}});
  }
  return rows;
}

void AddLateness(const SaReport& report, Json* out) {
  if (!report.lateness) return;
  (*out)["lateness"] = LatenessJson(*report.lateness);
  (*out)["window_for_all"] = report.lateness->WindowForAll();
}

void AddDirection(const SaSpec& spec, Json* out) {
  if (spec.direction == SaDirection::kUnspec) return;
  (*out)["direction"] = Name(HalfFor(spec.direction == SaDirection::kIn));
}

Json ReplayJson(const ReplayState& replay) { return {{"oseq", replay.oseq}, {"seq", replay.seq}}; }

Json TemplateJson(const Template& tmpl) {
  return {{"src", ToString(tmpl.saddr, tmpl.family)},
          {"dst", ToString(tmpl.daddr, tmpl.family)},
          {"proto", ProtoName(tmpl.proto)},
          {"mode", ModeName(static_cast<SaMode>(tmpl.mode))},
          {"reqid", tmpl.reqid.value},
          {"spi", Hex32(tmpl.spi.value)},
          {"level", tmpl.optional ? "use" : "required"}};
}

void AddAlgorithms(const SaSpec& spec, KeyVisibility keys, Json* out) {
  AddAlgorithm("aead", spec.aead, keys, out);
  AddAlgorithm("cipher", spec.pair->cipher, keys, out);
  AddAlgorithm("auth", spec.pair->auth, keys, out);
}

}  // namespace

Json KeysOf(const SaSpec& spec) {
  Json json = IdentityJson(spec);
  AddAlgorithms(spec, KeyVisibility::kShown, &json);
  return json;
}

// What changes while an SA lives, and what names it: programs that read often need no more.
Json ToBriefJson(const SaReport& report) {
  const SaSpec& spec = report.sa->spec();
  Json json = {{"src", ToString(spec.saddr, spec.family)},
               {"dst", ToString(spec.daddr, spec.family)},
               {"spi", Hex32(spec.spi.value)},
               {"proto", ProtoName(spec.proto)},
               {"reqid", spec.reqid.value},
               {"replay_window", spec.replay.window},
               {"esn", spec.esn()}};
  AddDirection(spec, &json);
  json["state"] = StateName(report.state);
  json["usage"] = UsageJson(report.usage);
  json["replay"] = ReplayJson(report.replay);
  AddLateness(report, &json);
  json["limits"] = LimitsJson(spec.limits);
  json["placements"] = Json::array();
  for (const PlacementReport& row : report.placements) {
    json["placements"].push_back(BriefPlacementJson(row));
  }
  json["drops"] = CountsJson(report.drops);
  return json;
}

Json ToJson(const SaReport& report, KeyVisibility keys) {
  const SaSpec& spec = report.sa->spec();
  Json json = IdentityJson(spec);
  AddDirection(spec, &json);
  AddMark(spec.mark_value, spec.mark_mask, spec.if_id, &json);
  if ((spec.rare->set_mark_value | spec.rare->set_mark_mask) != 0) {
    json["set_mark"] = {{"value", Hex32(spec.rare->set_mark_value)},
                        {"mask", Hex32(spec.rare->set_mark_mask)}};
  }
  if (spec.rare->cpu) json["pcpu_num"] = *spec.rare->cpu;
  AddAlgorithms(spec, keys, &json);
  if (spec.encap) json["encap"] = {{"sport", spec.encap->sport}, {"dport", spec.encap->dport}};
  json["state"] = StateName(report.state);
  json["usage"] = UsageJson(report.usage);
  json["last_used"] = report.last_used;
  json["stats"] = {{"replay_window", report.stats.replay_window},
                   {"replay", report.stats.replay},
                   {"integrity_failed", report.stats.integrity_failed}};
  json["replay"] = ReplayJson(report.replay);
  if (report.path_mtu != 0) json["path_mtu"] = report.path_mtu;
  AddLateness(report, &json);
  json["limits"] = LimitsJson(spec.limits);
  json["selector"] = ToString(spec.selector);
  json["offload_requested"] = OffloadRequestJson(spec.offload, report.offload_device);
  json["placements"] = Json::array();
  for (const PlacementReport& row : report.placements) {
    json["placements"].push_back(PlacementJson(row));
  }
  json["drops"] = CountsJson(report.drops);
  return json;
}

Json ToJson(const PolicyReport& report) {
  const PolicySpec& spec = report.spec;
  Json json = {{"selector", ToString(spec.selector)},
               {"dir", PolicyDirectionName(spec.direction)},
               {"action", spec.action == PolicyAction::kAllow ? "allow" : "block"},
               {"priority", spec.priority},
               {"index", spec.index},
               {"templates", Json::array()},
               {"usage", UsageJson(report.usage)}};
  for (const Template& tmpl : spec.templates) json["templates"].push_back(TemplateJson(tmpl));
  AddMark(spec.mark_value, spec.mark_mask, spec.if_id, &json);
  if (spec.unmet) json["unmet"] = true;
  if (spec.offload.has_value()) {
    json["offload_requested"] = OffloadRequestJson(spec.offload, report.offload_device);
  }
  return json;
}

std::string ToText(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace cygnet
