// The boundary of FIPS mode: what an operator lists as validated, and who is refused keys because
// of it (cygnet-fips(7)). Everything is outside until an entry says otherwise.
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

// A [[module]] of the boundary list. Who is inside is what it says, in every field.
struct BoundaryEntry {
  HolderKind kind = HolderKind::kDevice;
  std::string name{};  // of the configuration's device, or of the engine; empty: any
  std::string model{};
  std::string serial{};   // empty: any
  std::string version{};  // a device's firmware
  std::string certificate{};
  uint64_t expires = 0;  // wall-clock seconds, the first that is too late; 0 = never
  bool operator==(const BoundaryEntry&) const = default;
};

struct Boundary {
  std::vector<BoundaryEntry> entries{};
  std::string source{};  // the file; empty: there is no list
  bool operator==(const Boundary&) const = default;
};

// Who would be given a key.
struct HolderIdentity {
  HolderKind kind = HolderKind::kDevice;
  std::string name{};
  std::string model{};
  std::string serial{};
  std::string version{};  // a device's firmware
  SelfTestOutcome self_test{};
};

HolderIdentity IdentityOf(const std::string& device, const DeviceIdentity& identity);
HolderIdentity IdentityOf(const EngineSet::Entry& entry);

// "Acme CX-9, serial A17, firmware 28.39"; "OpenSSL FIPS Provider, version 3.0.9": what to list.
std::string Describe(const HolderIdentity& holder);

// nullopt: it is inside. An engine has to have passed its known-answer tests, a device tests
// itself. `matched`, when not null, becomes the entry that the answer is about, nullptr if none is.
std::optional<PlacementReason> DenyByBoundary(const Boundary& boundary,
                                              const HolderIdentity& holder, uint64_t now,
                                              const BoundaryEntry** matched = nullptr);

// What NIST's SP 800-131A does not allow for protecting data now: unapproved algorithms, HMAC keys
// of less than 112 bits, ICVs of less than 32. nullopt: all of it is allowed.
std::optional<PlacementReason> DenyAlgorithm(const SaSpec& spec);
// The same of one algorithm by itself, as `cygnet doctor --fips` lists them.
std::optional<PlacementReason> DenyAlgorithm(const AlgorithmDescriptor& algorithm);

// REQUIRES: FIPS mode is in force. Some engine of the CPU has to be inside, for whatever no device
// does; the error says of each what is wrong, and what to install or to list.
Status CheckSoftwareModule(const Boundary& boundary, const EngineSet& engines, uint64_t now);

// "2027-01-31": the last day of an entry; empty: it does not expire.
std::string ExpiryDate(const BoundaryEntry& entry);

std::string_view Name(FipsMode mode);  // "auto", "on", "off"
std::optional<FipsMode> ParseFipsMode(std::string_view text);

}  // namespace cygnet
