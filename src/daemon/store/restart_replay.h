// Executes the messages of a restart file, one after the other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "daemon/store/restart_interfaces.h"
#include "daemon/store/restart_log.h"
#include "netlink/message.h"
#include "requests/xfrm_control.h"
#include "xfrm/request.h"

namespace cygnet {

// Record types. Never change one.
namespace restart_record {
inline constexpr uint32_t kFormat = 1;   // the first record: kFormatName
inline constexpr uint32_t kMessage = 2;  // an XFRM message
inline constexpr uint32_t kDamaged = 3;  // the file was incomplete and is not settled; the damage
inline constexpr uint32_t kSettled = 4;  // a client or the operator has settled it
inline constexpr uint32_t kSerial = 5;   // random, so that no two files begin alike
inline constexpr uint32_t kNamed = 6;    // an XFRM message and names of interfaces (WithNames)
inline constexpr std::string_view kFormatName = "cygnet restart file 2";
}  // namespace restart_record

class RestartReplay {
 public:
  RestartReplay(XfrmControl* control, RestartInterfaces* interfaces)
      : control_(control), interfaces_(interfaces) {}

  // `type`: kMessage or kNamed. REQUIRES: it has exactly one message, else an error.
  Status Take(uint32_t type, std::span<const uint8_t> payload);

  bool has_defaults() const { return has_defaults_; }
  LostSas TakeLost() { return std::move(lost_); }

 private:
  Status TakeMessage(std::span<const uint8_t> bytes);
  Status Execute(const xfrm::Request& request, const netlink::MessageView& message);
  Status TakePolicy(const xfrm::Request& request);
  Status Restore(PolicySpec policy, uint64_t add_time);
  Status DropPolicy(const xfrm::Request& request);
  Status FlushPolicies(const xfrm::Request& request);
  Status TakeDefaults(const xfrm::Request& request);
  Status TakeSa(const xfrm::Request& request, const netlink::MessageView& message);
  Status DropSa(const xfrm::Request& request);

  XfrmControl* const control_;
  RestartInterfaces* const interfaces_;
  NamesByNumber names_;  // of the record
  bool has_defaults_ = false;
  LostSas lost_;
};

void ForgetProtocol(uint8_t proto, LostSas* lost);

}  // namespace cygnet
