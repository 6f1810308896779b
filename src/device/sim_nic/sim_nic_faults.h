// Faults that the software NIC simulates on command: their syntax, and those that wait for the next
// adds and packets.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "device/offload_device.h"

namespace cygnet {

struct Fault {
  enum class Kind : uint8_t {
    kLinkDown,
    kLinkUp,
    kDown,
    kUp,
    kReset,
    kRemove,
    kInsert,
    kCrash,
    kTableFull,
    kTableOk,
    kAddFail,
    kSkipSeal,
    kSkipIcv,
    kFailSeal,
    kFailOver,
    kPolicyMiss,
    kClear,
  };
  static constexpr uint32_t kForever = std::numeric_limits<uint32_t>::max();

  Kind kind = Kind::kClear;
  uint32_t count = 1;  // adds or packets affected; kReset: milliseconds
  Errc error = Errc::kNotSupported;
  bool operator==(const Fault&) const = default;
};

// Parses one fault: "reset 200". Errors list all forms.
Result<Fault> ParseFault(std::string_view text);
// The forms of all faults, for people.
std::string_view FaultForms();

// The fault of a packet that is to be sealed.
enum class SealFault : uint8_t { kNone, kSkipSeal, kSkipIcv, kFailSeal };

// Faults that wait for the next adds and packets. Not thread-safe.
class PendingFaults {
 public:
  // Ignores faults of the device's state.
  void Arm(const Fault& fault);
  // The refusal of the next add, if one is due.
  std::optional<DeviceRefusal> NextAdd();
  SealFault NextSeal();
  // Packet offload: true if the next packet misses its policy and leaves in clear.
  bool NextMissesPolicy();

 private:
  uint32_t table_full_ = 0;
  uint32_t add_fail_ = 0;
  Errc add_error_ = Errc::kNotSupported;
  uint32_t skip_seal_ = 0;
  uint32_t skip_icv_ = 0;
  uint32_t fail_seal_ = 0;
  uint32_t policy_miss_ = 0;
};

}  // namespace cygnet
