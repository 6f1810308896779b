// Events of `cygnet monitor`, and the load of workers.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <iterator>
#include <type_traits>
#include <variant>

#include "daemon/operator/report_words.h"
#include "sa/sa.h"

namespace cygnet {
namespace {

Json SaJson(const char* action, const SaSpec& spec) {
  const std::string src = ToString(spec.saddr, spec.family);
  const std::string dst = ToString(spec.daddr, spec.family);
  return {{"action", action},
          {"src", src},
          {"dst", dst},
          {"spi", Hex32(spec.spi.value)},
          {"proto", ProtoName(spec.proto)},
          {"reqid", spec.reqid.value},
          {"mode", ModeName(spec.mode)},
          {"text", fmt::format("SA {} > {} spi {} reqid {}: {}", src, dst, Hex32(spec.spi.value),
                               spec.reqid.value, action)}};
}

// An SA that traffic or a client needs and that does not exist.
Json AcquireJson(const Acquire& acquire) {
  const IpFamily family = acquire.flow.family;
  const std::string src = ToString(acquire.flow.saddr, family);
  const std::string dst = ToString(acquire.flow.daddr, family);
  return {{"action", "acquire"},
          {"src", src},
          {"dst", dst},
          {"text", fmt::format("traffic {} > {} needs an SA: acquire", src, dst)}};
}

Json MappingJson(const SaMapping& mapping) {
  const SaSpec& spec = mapping.sa->spec();
  Json json = SaJson("mapping", spec);
  json["text"] = fmt::format("SA to {} spi {}: the peer is now at {} port {}: mapping",
                             ToString(spec.daddr, spec.family), Hex32(spec.spi.value),
                             ToString(mapping.new_saddr, spec.family), mapping.new_sport);
  return json;
}

Json FlushedJson(const SaFlushed& flushed) {
  constexpr uint8_t kAny[] = {0, 255};  // IPSEC_PROTO_ANY of the kernel's interfaces
  if (std::find(std::begin(kAny), std::end(kAny), flushed.proto) != std::end(kAny)) {
    return {{"action", "flushed"}, {"text", "all SAs were deleted: flushed"}};
  }
  const std::string proto = ProtoName(flushed.proto);
  return {{"action", "flushed"},
          {"proto", proto},
          {"text", fmt::format("all {} SAs were deleted: flushed", proto)}};
}

Json SaEventJson(const ControlEvent& event) {
  if (const auto* added = std::get_if<SaAdded>(&event)) return SaJson("added", added->sa->spec());
  if (const auto* updated = std::get_if<SaUpdated>(&event)) {
    return SaJson("updated", updated->sa->spec());
  }
  if (const auto* deleted = std::get_if<SaDeleted>(&event)) {
    return SaJson("deleted", deleted->sa->spec());
  }
  if (const auto* expired = std::get_if<SaExpired>(&event)) {
    return SaJson(expired->hard ? "hard-limit" : "soft-limit", expired->sa->spec());
  }
  if (const auto* migrated = std::get_if<SaMigrated>(&event)) {
    return SaJson("migrated", migrated->sa->spec());
  }
  if (const auto* mapping = std::get_if<SaMapping>(&event)) return MappingJson(*mapping);
  if (const auto* acquire = std::get_if<Acquire>(&event)) return AcquireJson(*acquire);
  return FlushedJson(std::get<SaFlushed>(event));
}

}  // namespace

bool IsAboutSas(const ControlEvent& event) {
  return std::visit(
      [](const auto& one) {
        using T = std::decay_t<decltype(one)>;
        return std::is_same_v<T, SaAdded> || std::is_same_v<T, SaUpdated> ||
               std::is_same_v<T, SaDeleted> || std::is_same_v<T, SaFlushed> ||
               std::is_same_v<T, SaExpired> || std::is_same_v<T, SaMigrated> ||
               std::is_same_v<T, SaMapping> || std::is_same_v<T, Acquire>;
      },
      event);
}

Json EventJson(const ControlEvent& event) {
  Json json = SaEventJson(event);
  const auto* expired = std::get_if<SaExpired>(&event);
  json["warning"] = expired != nullptr && expired->hard;
  return json;
}

Json EventJson(const PlacementEntry& entry, const std::string& text) {
  Json json = ToJson(entry);
  json.erase("kind");
  json["warning"] = entry.effective == "blocked" || !entry.really.empty();
  json["text"] = text;
  return json;
}

Json EventJson(const KeyEntry& entry, const std::string& text) {
  Json json = ToJson(entry);
  json.erase("kind");
  json["warning"] = entry.until_ms != 0 && !entry.erased;
  json["text"] = text;
  return json;
}

Json EventJson(const AuditRecord& record) {
  constexpr std::string_view kPrefix = "CYGNET_";
  Json json = Json::object();
  for (const auto& [name, value] : record.fields) {
    if (!name.starts_with(kPrefix) || name == "CYGNET_EVENT") continue;
    std::string field = name.substr(kPrefix.size());
    std::transform(field.begin(), field.end(), field.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    json[field] = value;
  }
  json["warning"] = record.warning;
  json["text"] = record.message;
  return json;
}

Json ToJson(const WorkerLoad::Sums& load) {
  return {{"busy_us", load.busy_us}, {"packets", load.packets}};
}

Json LostJson(uint64_t count, uint64_t time_ms) {
  return {{"event", "lost"},
          {"time_ms", time_ms},
          {"count", count},
          {"warning", true},
          {"text", fmt::format("{} events lost: they came faster than they were read", count)}};
}

}  // namespace cygnet
