#include "control/boundary.h"

#include <ctime>

namespace cygnet {
namespace {

constexpr std::size_t kMinHmacKeyBytes = 14;  // 112 bits: SP 800-131A, section 10
constexpr uint16_t kMinIcvBits = 32;          // SP 800-107

// The difference between an entry and a holder.
struct Difference {
  std::string text;  // empty: the entry describes the holder
  int fields = 0;
};

std::string_view VersionWord(HolderKind kind) {
  return kind == HolderKind::kDevice ? "firmware" : "version";
}

Difference Compare(const BoundaryEntry& entry, const HolderIdentity& holder) {
  Difference difference;
  const auto add = [&](std::string_view field, const std::string& listed,
                       const std::string& found) {
    if (difference.fields++ > 0) difference.text += "; ";
    difference.text += std::string(field) + " is " +
                       (found.empty() ? "unknown" : "'" + found + "'") + ", the list says '" +
                       listed + "'";
  };
  // A holder without an identity cannot be listed.
  const auto must = [&](std::string_view field, const std::string& listed,
                        const std::string& found) {
    if (listed.empty() || listed != found) add(field, listed, found);
  };
  const auto may = [&](std::string_view field, const std::string& listed,
                       const std::string& found) {
    if (!listed.empty() && listed != found) add(field, listed, found);
  };
  may("name", entry.name, holder.name);
  must("model", entry.model, holder.model);
  may("serial", entry.serial, holder.serial);
  must(VersionWord(entry.kind), entry.version, holder.version);
  if (entry.kind == HolderKind::kEngine) may("firmware", entry.firmware, holder.firmware);
  return difference;
}

// True if the entry means this holder, even in another state than listed.
bool IsAbout(const BoundaryEntry& entry, const HolderIdentity& holder) {
  return entry.kind == holder.kind && ((!entry.name.empty() && entry.name == holder.name) ||
                                       (!entry.model.empty() && entry.model == holder.model));
}

std::string CertificateText(const BoundaryEntry& entry) {
  return "certificate " + (entry.certificate.empty() ? "not named" : entry.certificate);
}

bool Expired(const BoundaryEntry& entry, uint64_t now) {
  return entry.expires != 0 && now >= entry.expires;
}

PlacementReason Unlisted(const Boundary& boundary, const HolderIdentity& holder) {
  return {ReasonCode::kFipsUnlisted,
          Describe(holder) +
              (boundary.source.empty() ? ", no list is configured" : ", list " + boundary.source)};
}

std::optional<PlacementReason> DenyBySelfTest(const HolderIdentity& holder) {
  if (holder.self_test.ran ? holder.self_test.failure.empty()
                           : holder.kind == HolderKind::kDevice) {
    return std::nullopt;
  }
  return PlacementReason{ReasonCode::kFipsSelfTest,
                         holder.self_test.ran ? holder.self_test.failure : "it has not run"};
}

std::optional<PlacementReason> DenyPart(const SaAlgorithm& part) {
  const AlgorithmDescriptor& row = *part.descriptor;
  if (auto denied = DenyAlgorithm(row)) return denied;
  const std::string name(row.name);
  if (row.any_key_length && part.key.size() < kMinHmacKeyBytes) {
    return PlacementReason{ReasonCode::kFipsAlgorithm, name + " with a key of " +
                                                           std::to_string(part.key.size() * 8) +
                                                           " bits, at least 112 are required"};
  }
  if (row.kind != AlgorithmKind::kCipher && part.icv_bits < kMinIcvBits) {
    return PlacementReason{ReasonCode::kFipsAlgorithm, name + " with an ICV of " +
                                                           std::to_string(part.icv_bits) +
                                                           " bits, at least 32 are required"};
  }
  return std::nullopt;
}

// "not on the list /etc/cygnet/boundary.toml"
std::string Complaint(const Boundary& boundary, const PlacementReason& reason) {
  if (reason.code != ReasonCode::kFipsUnlisted) return reason.detail;
  return boundary.source.empty() ? "and no boundary list is configured"
                                 : "not on the list " + boundary.source;
}

}  // namespace

HolderIdentity IdentityOf(const std::string& device, const DeviceIdentity& identity) {
  return {.kind = HolderKind::kDevice,
          .name = device,
          .model = identity.model,
          .serial = identity.serial,
          .version = identity.firmware};
}

HolderIdentity IdentityOf(const EngineSet::Entry& entry) {
  ModuleIdentity identity = entry.engine->identity();
  return {.kind = HolderKind::kEngine,
          .name = std::string(entry.engine->name()),
          .model = std::move(identity.model),
          .serial = std::move(identity.serial),
          .version = std::move(identity.version),
          .self_test = entry.self_test};
}

std::string Describe(const HolderIdentity& holder) {
  std::string text = holder.model.empty() ? "no model" : holder.model;
  if (!holder.serial.empty()) text += ", serial " + holder.serial;
  if (!holder.version.empty()) {
    text += ", " + std::string(VersionWord(holder.kind)) + " " + holder.version;
  }
  const bool is_card = holder.kind == HolderKind::kDevice || !holder.serial.empty();
  const std::string& firmware =
      holder.kind == HolderKind::kDevice ? holder.version : holder.firmware;
  return is_card && firmware.empty() ? text + ", firmware unknown" : text;
}

std::optional<PlacementReason> DenyByBoundary(const Boundary& boundary,
                                              const HolderIdentity& holder, uint64_t now,
                                              const BoundaryEntry** matched) {
  const BoundaryEntry* expired = nullptr;
  const BoundaryEntry* about = nullptr;
  const BoundaryEntry* valid = nullptr;
  Difference least;
  for (const BoundaryEntry& entry : boundary.entries) {
    if (!IsAbout(entry, holder)) continue;
    if (Difference difference = Compare(entry, holder); difference.fields != 0) {
      if (about != nullptr && difference.fields >= least.fields) continue;
      about = &entry;
      least = std::move(difference);
    } else if (Expired(entry, now)) {
      if (expired == nullptr) expired = &entry;
    } else if (valid == nullptr) {
      valid = &entry;
    }
  }
  const BoundaryEntry* nearest = valid != nullptr ? valid : expired != nullptr ? expired : about;
  if (matched != nullptr) *matched = nearest;
  if (valid != nullptr) return DenyBySelfTest(holder);
  if (expired != nullptr) {
    return PlacementReason{ReasonCode::kFipsExpired,
                           "on " + ExpiryDate(*expired) + ", " + CertificateText(*expired)};
  }
  if (about != nullptr) {
    return PlacementReason{ReasonCode::kFipsMismatch,
                           least.text + " (" + CertificateText(*about) + ")"};
  }
  return Unlisted(boundary, holder);
}

std::optional<PlacementReason> DenyAlgorithm(const AlgorithmDescriptor& algorithm) {
  if (algorithm.fips_approved) return std::nullopt;
  return PlacementReason{ReasonCode::kFipsAlgorithm, std::string(algorithm.name)};
}

std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec) {
  for (const SaAlgorithm* part : {&spec.aead, &spec.pair->cipher, &spec.pair->auth}) {
    if (part->descriptor == nullptr) continue;
    if (auto denied = DenyPart(*part)) return denied;
  }
  return std::nullopt;
}

Status CheckSoftwareModule(const Boundary& boundary, const EngineSet& engines, uint64_t now) {
  std::string found;
  std::string advice;
  for (uint32_t i = 0; i < engines.size(); ++i) {
    const EngineSet::Entry& entry = engines[i];
    if (entry.info->kind != EngineKind::kCpu) continue;
    const HolderIdentity holder = IdentityOf(entry);
    const auto denied = DenyByBoundary(boundary, holder, now);
    if (!denied) return {};
    if (!found.empty()) found += ", ";
    found += holder.name + " is '" + Text(entry.engine->identity()) + "' (" +
             Complaint(boundary, *denied) + ")";
    if (advice.empty()) advice = entry.engine->identity().advice;
  }
  if (found.empty()) found = "none runs here";
  return MakeError(
      Errc::kPermission,
      "FIPS mode is on and no software crypto module is inside the boundary: " + found + "; " +
          (advice.empty() ? "list a module" : advice + ", or list the module"));
}

std::string ExpiryDate(const BoundaryEntry& entry) {
  if (entry.expires == 0) return {};
  const auto last = static_cast<std::time_t>(entry.expires - 1);
  std::tm parts{};
  char text[32];
  if (gmtime_r(&last, &parts) == nullptr ||
      std::strftime(text, sizeof(text), "%Y-%m-%d", &parts) == 0) {
    return "?";
  }
  return text;
}

std::string_view Name(FipsMode mode) {
  switch (mode) {
    case FipsMode::kAuto:
      return "auto";
    case FipsMode::kOn:
      return "on";
    case FipsMode::kOff:
      return "off";
  }
  return "off";
}

std::optional<FipsMode> ParseFipsMode(std::string_view text) {
  for (const FipsMode mode : {FipsMode::kAuto, FipsMode::kOn, FipsMode::kOff}) {
    if (Name(mode) == text) return mode;
  }
  return std::nullopt;
}

}  // namespace cygnet
