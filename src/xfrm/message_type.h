// Message types by name, so that the XFRM server does not depend on protocol numbers.
#pragma once

#include <cstdint>

namespace cygnet::xfrm {

// Requests, by nlmsg_type.
enum class RequestType : uint16_t {
  kNewSa = 0x10,
  kDelSa = 0x11,
  kGetSa = 0x12,
  kNewPolicy = 0x13,
  kDelPolicy = 0x14,
  kGetPolicy = 0x15,
  kAllocSpi = 0x16,
  kAcquire = 0x17,
  kExpire = 0x18,
  kUpdPolicy = 0x19,
  kUpdSa = 0x1a,
  kPolExpire = 0x1b,
  kFlushSa = 0x1c,
  kFlushPolicy = 0x1d,
  kNewAe = 0x1e,
  kGetAe = 0x1f,
  kReport = 0x20,  // kernel → user only, like kNewSadInfo and kMapping
  kMigrate = 0x21,
  kNewSadInfo = 0x22,
  kGetSadInfo = 0x23,
  kNewSpdInfo = 0x24,
  kGetSpdInfo = 0x25,
  kMapping = 0x26,
  kSetDefault = 0x27,
  kGetDefault = 0x28,
  kMigrateState = 0x29,
};
inline constexpr uint16_t kFirstRequestType = 0x10;
inline constexpr uint16_t kLastRequestType = 0x29;

// Multicast groups (enum xfrm_nlgroups).
enum class EventGroup : uint8_t {
  kAcquire = 1,
  kExpire = 2,
  kSa = 3,
  kPolicy = 4,
  kAevents = 5,
  kReport = 6,
  kMigrate = 7,
  kMapping = 8,
};

}  // namespace cygnet::xfrm
