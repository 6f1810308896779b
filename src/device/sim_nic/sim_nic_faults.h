// Faults that the software NIC simulates on command: their syntax, and those that wait for the next
// adds and packets.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "device/offload_device.h"
#include "device/sim_nic/sim_nic_lies.h"

namespace cygnet {

// The packets that a fault is for.
enum class FaultWay : uint8_t { kOut, kIn, kBoth };

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
    kReorder,
    kSwallow,
    kStaleCounters,
    kSlowAdd,
    kWrongIcv,
    kWrongInner,
    kLetReplay,
    kNoExpiry,
    kLie,
    kClear,
  };
  static constexpr uint32_t kForever = std::numeric_limits<uint32_t>::max();

  Kind kind = Kind::kClear;
  uint32_t count = 1;  // adds or packets affected; kReset, kStaleCounters: milliseconds
  Errc error = Errc::kNotSupported;
  FaultWay way = FaultWay::kBoth;
  uint32_t ms = 0;        // kSlowAdd
  std::string word = {};  // kLie: the capability
  bool operator==(const Fault&) const = default;
};

// Parses one fault: "reset 200". Errors list all forms.
Result<Fault> ParseFault(std::string_view text);
// The forms of all faults, for people.
std::string_view FaultForms();

// The fault of a packet that is to be sealed.
enum class SealFault : uint8_t { kNone, kSkipSeal, kSkipIcv, kFailSeal };

// Faults that wait for the next adds and packets, and the lasting ones. Not thread-safe.
class PendingFaults {
 public:
  // `seed`: of what is random.
  explicit PendingFaults(uint64_t seed = 1) : dice_(seed) {}

  // Ignores faults of the device's state.
  void Arm(const Fault& fault);
  // The same device without the faults that wait for adds and packets: it still lies.
  PendingFaults OnlyLies() const;

  // The refusal of the next add, if one is due.
  std::optional<DeviceRefusal> NextAdd();
  // How long the next add takes.
  uint32_t NextAddMs();
  SealFault NextSeal();
  // Packet offload: true if the next packet misses its policy and leaves in clear.
  bool NextMissesPolicy();

  // In these, `way` is not kBoth. The next packet is passed out of its order.
  bool NextReorders(FaultWay way) { return Use(&reorder_[IndexOf(way)]); }
  bool Reorders() const { return reorder_[0] != 0 || reorder_[1] != 0; }
  // The next packet of an SA disappears uncounted.
  bool NextSwallows(FaultWay way) { return Use(&swallow_[IndexOf(way)]); }
  // kOut: the ICV is wrong. kIn: a packet whose ICV does not verify passes as opened.
  bool NextHasWrongIcv(FaultWay way) { return Use(&wrong_icv_[IndexOf(way)]); }
  bool WrongIcvIsDue(FaultWay way) const { return wrong_icv_[IndexOf(way)] != 0; }
  // A byte of the packet in clear is changed.
  bool NextHasWrongInner(FaultWay way) { return Use(&wrong_inner_[IndexOf(way)]); }
  // Packet offload: a packet that the replay check refuses is accepted.
  bool NextLetsReplay() { return Use(&let_replay_); }
  // Packet offload: a limit that is reached is not raised, and has no effect.
  bool NextHidesLimit() { return Use(&no_expiry_); }
  // Packet offload: readings are up to this old; nullopt: fresh. kForever: never read again.
  std::optional<uint32_t> stale_ms() const { return stale_ms_; }
  SaLies LiesAbout(const CardRequest& request) const {
    return lies_.empty() ? SaLies{} : cygnet::LiesAbout(lies_, request);
  }

  // 0 to sides - 1.
  uint64_t Throw(uint64_t sides);

 private:
  using EachWay = std::array<uint32_t, 2>;
  static std::size_t IndexOf(FaultWay way) { return way == FaultWay::kIn ? 1 : 0; }
  // Uses up one of several that are due; false if none is.
  static bool Use(uint32_t* count) {
    if (*count == 0) return false;
    if (*count != Fault::kForever) --*count;
    return true;
  }
  uint32_t* CountOf(Fault::Kind kind);
  EachWay* CountsOf(Fault::Kind kind);

  uint32_t table_full_ = 0;
  uint32_t add_fail_ = 0;
  Errc add_error_ = Errc::kNotSupported;
  uint32_t slow_add_ = 0;
  uint32_t add_ms_ = 0;
  uint32_t skip_seal_ = 0;
  uint32_t skip_icv_ = 0;
  uint32_t fail_seal_ = 0;
  uint32_t policy_miss_ = 0;
  uint32_t let_replay_ = 0;
  uint32_t no_expiry_ = 0;
  EachWay reorder_{};
  EachWay swallow_{};
  EachWay wrong_icv_{};
  EachWay wrong_inner_{};
  std::optional<uint32_t> stale_ms_;
  std::vector<std::string> lies_;
  uint64_t dice_;
};

}  // namespace cygnet
