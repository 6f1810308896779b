// The boundary of FIPS mode: the modules that an operator lists as validated, and the reason why
// others get no keys (cygnet-fips(7)). Everything is outside unless an entry lists it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "crypto/engine_set.h"
#include "device/offload_device.h"
#include "device/placement_reason.h"
#include "sa/sa_spec.h"

namespace cygnet {

enum class FipsMode : uint8_t {
  kAuto,  // as the kernel: /proc/sys/crypto/fips_enabled
  kOn,
  kOff,
};

enum class HolderKind : uint8_t { kDevice, kEngine };

// A [[module]] of the boundary list. A holder is inside if it matches every field.
struct BoundaryEntry {
  HolderKind kind = HolderKind::kDevice;
  std::string name{};  // of the configured device, or of the engine; empty: any
  std::string model{};
  std::string serial{};   // empty: any
  std::string version{};  // a device's firmware
  std::string certificate{};
  uint64_t expires = 0;    // wall-clock seconds, the first second that is too late; 0 = never
  std::string firmware{};  // of the device behind an engine; empty: not asked for
  bool operator==(const BoundaryEntry&) const = default;
};

struct Boundary {
  std::vector<BoundaryEntry> entries{};
  std::string source{};  // the file; empty: no list is configured
  bool operator==(const Boundary&) const = default;
};

// A device or engine that may receive a key.
struct HolderIdentity {
  HolderKind kind = HolderKind::kDevice;
  std::string name{};
  std::string model{};
  std::string serial{};
  std::string version{};   // a device's firmware; empty: unknown
  std::string firmware{};  // of the device behind an engine; empty: unknown, or there is none
  SelfTestOutcome self_test{};
};

HolderIdentity IdentityOf(const std::string& device, const DeviceIdentity& identity);
HolderIdentity IdentityOf(const EngineSet::Entry& entry);

// "Acme CX-9, serial A17, firmware 28.39"; "OpenSSL FIPS Provider, version 3.0.9": what to enter in
// the list.
std::string Describe(const HolderIdentity& holder);

// nullopt: it is inside. An engine must have passed its known-answer tests; a device tests itself.
// `matched`, if not null, receives the entry that the answer is about, or nullptr.
std::optional<PlacementReason> DenyByBoundary(const Boundary& boundary,
                                              const HolderIdentity& holder, uint64_t now,
                                              const BoundaryEntry** matched = nullptr);

// Refuses what NIST SP 800-131A no longer allows for protecting data: unapproved algorithms, HMAC
// keys below 112 bits, ICVs below 32 bits. nullopt: everything is allowed.
std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec);
// The same for one algorithm alone, as `cygnet doctor --fips` lists them.
std::optional<PlacementReason> DenyAlgorithm(const AlgorithmDescriptor& algorithm);

// REQUIRES: FIPS mode is in force. At least one CPU engine must be inside, as the fallback of all
// devices. The error names each engine's problem and what to install or to list.
Status CheckSoftwareModule(const Boundary& boundary, const EngineSet& engines, uint64_t now);

// "2027-01-31": the last day of an entry; empty: it does not expire.
std::string ExpiryDate(const BoundaryEntry& entry);

std::string_view Name(FipsMode mode);  // "auto", "on", "off"
std::optional<FipsMode> ParseFipsMode(std::string_view text);

}  // namespace cygnet
