// Faults that the software NIC plays on command: how they are written, and those that still wait
// for their turn.
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
    kClear,
  };
  static constexpr uint32_t kForever = std::numeric_limits<uint32_t>::max();

  Kind kind = Kind::kClear;
  uint32_t count = 1;  // adds or packets that it is for; kReset: milliseconds
  Errc error = Errc::kNotSupported;
  bool operator==(const Fault&) const = default;
};

// One fault: "reset 200". Errors list what there is.
Result<Fault> ParseFault(std::string_view text);
// The forms of all faults, for people.
std::string_view FaultForms();

// What a packet that is to be sealed meets.
enum class SealFault : uint8_t { kNone, kSkipSeal, kSkipIcv, kFailSeal };

// Faults that wait for the next adds and packets. Not thread-safe.
class PendingFaults {
 public:
  // Faults that are about the device's state are not for this.
  void Arm(const Fault& fault);
  // The refusal that the next add meets, if one is due.
  std::optional<DeviceRefusal> NextAdd();
  SealFault NextSeal();

 private:
  uint32_t table_full_ = 0;
  uint32_t add_fail_ = 0;
  Errc add_error_ = Errc::kNotSupported;
  uint32_t skip_seal_ = 0;
  uint32_t skip_icv_ = 0;
  uint32_t fail_seal_ = 0;
};

}  // namespace cygnet
