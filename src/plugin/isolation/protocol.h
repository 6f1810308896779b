// What the host and the child of an isolated plug-in share: control calls and events. Both are
// built from this header; kProtocol tells a child of another build.
//
// Host: believes nothing in here. It copies what the child wrote, once, and checks the copy.
// Sockets, not eventfds, carry bells: the two ends of an eventfd share the flag O_NONBLOCK and the
// counter, so that a child could make a write of the host wait forever.
#pragma once

#include <atomic>
#include <cstdint>

namespace cygnet::isolation {

inline constexpr uint32_t kProtocol = 2;

// --- Descriptors that the child starts with ---

inline constexpr int kControlFd = 3;  // SOCK_SEQPACKET: one Signal for each request and answer
inline constexpr int kEventFd = 4;    // SOCK_SEQPACKET: Events, child to host
inline constexpr int kPageFd = 5;     // memory of a ControlPage

// --- Arguments: KIND PLUGIN PARENT USER GROUP LOCK ---

inline constexpr const char* kEngineKind = "engine";
inline constexpr const char* kDriverKind = "driver";
// USER and GROUP: numbers. kSameUser: the child keeps the daemon's.
inline constexpr uint32_t kSameUser = UINT32_MAX;

// --- Control calls ---

enum class Call : uint32_t {
  kDescribe = 1,
  kOpen,
  kClose,
  kIdentity,
  // Engines.
  kLimits,
  kSupports,
  kSessionCreate,
  kSessionDestroy,
  kQueueCreate,   // carries two descriptors: memory and bell
  kQueueDestroy,  // the bell of the queue is shut down before
  // Drivers.
  kStats,
  kInstallSa,
  kStartSa,
  kStopSa,
  kReleaseSa,
  kTakeErased,
  kOwnRefusal,
  kAdvanceEsn,
  kAddPolicy,
  kRemovePolicy,
  kGrant,
  kSetLimits,
  kRead,
  kTakeState,
  kTakeEvents,
  kSetMirror,
  kLoop,
  kInject,
  kHeld,
  kKeyLog,
  kView,
  kTakeFindings,
};

// Announces a request, or its answer, in ControlPage::bytes.
struct Signal {
  uint32_t call;      // Call
  uint32_t sequence;  // the answer has that of its request
  uint32_t length;    // of the bytes
  int32_t result;     // answers: 0, a negative errno, or a count
};

inline constexpr uint32_t kMessageBytes = 256 * 1024;
// Descriptors with one request.
inline constexpr uint32_t kMaxFds = 40;

struct ControlPage {
  // State of an engine; of a driver also its resets, in the high word. Written by the child.
  std::atomic<uint64_t> state;
  std::atomic<uint64_t> port;  // of a driver: MTU, and in bit 32 whether the link is up
  std::atomic<uint32_t> beat;  // turns of the child's main thread
  uint8_t reserved[44];
  uint8_t bytes[kMessageBytes];
};

// --- Events ---

enum class EventKind : uint32_t {
  kRing = 1,    // the plug-in rang the bell; the state in the page is fresh
  kLog = 2,     // a line for the log
  kBreach = 3,  // the plug-in broke its contract as the text tells; the child ends
};
inline constexpr uint32_t kEventText = 480;
struct Event {
  uint32_t kind;
  uint32_t level;  // of a line
  uint32_t length;
  char text[kEventText];
};

// --- What kDescribe answers, before the texts ---

struct Description {
  uint32_t protocol;
  uint32_t abi;        // of the plug-in
  uint32_t wire;       // of a driver
  uint32_t functions;  // one bit for each that the plug-in has, in the order of EngineFunctions …
  uint32_t own_user;   // 1: the child runs as a user of its own
  uint32_t own_net;    // 1: in a network namespace without interfaces
  uint32_t files_limited;  // 1: Landlock limits which files it may read
  uint32_t locked;         // 1: its memory is not swapped

  bool operator==(const Description&) const = default;
};

// `result` of kDescribe if the plug-in does not load; then the bytes are the text of the reason.
inline constexpr int32_t kCannotLoad = -8;  // -ENOEXEC

}  // namespace cygnet::isolation
