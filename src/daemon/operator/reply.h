// Replies of the operator server: each makes its datagrams one at a time, when the client has room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/report.h"
#include "datapath/worker_load.h"

namespace cygnet {

// Longest JSON datagram either way.
inline constexpr std::size_t kOperatorDatagram = 64u << 10;

class EventFeed;

class OperatorReply {
 public:
  enum class Next : uint8_t {
    kDatagram,  // made a datagram
    kWait,      // nothing now; wait_fd() becomes readable when there is
    kEnd,       // the reply is complete; the connection accepts requests again
    kClose,     // the reply is complete; close the connection
  };

  virtual ~OperatorReply() = default;
  virtual Next MakeNext(std::string* datagram) = 0;

  // Approximate memory of what has not been sent yet.
  virtual std::size_t held_bytes() const { return 0; }
  // -1: never returns kWait.
  virtual int wait_fd() const { return -1; }
  // Call it when wait_fd() is readable.
  virtual void OnWaitReady() {}
  // The client wants no more. A reply that ends by itself is still completed.
  virtual void Stop() {}
};

std::unique_ptr<OperatorReply> MakeErrorReply(std::string_view text);

// What replies are made of besides the control plane. All of it outlives them.
struct OperatorSources {
  EventFeed* events = nullptr;                                // nullptr: no events are told
  std::function<std::vector<WorkerLoad::Sums>()> loads = {};  // empty: no loads are told
};

// Executes a request: takes the snapshot that the reply will show. `control` and what `sources`
// names outlive the reply. `mark`: who asks; its time does not matter.
std::unique_ptr<OperatorReply> MakeReply(OperatorControl* control, std::string_view request,
                                         const OrderMark& mark = {},
                                         const OperatorSources& sources = {});

// The audit text of a request that changes something, shows keys or captures: its parsed fields,
// whatever the bytes look like. Empty: the request only reads. REQUIRES: `request` is also passed
// to MakeReply.
std::string OrderOf(std::string_view request);

enum class CaptureKeys : uint8_t { kNone, kOfSasSeen };

struct CaptureRequest {
  std::string device;
  std::optional<CaptureSide> side;  // nullopt: the host-side interface and the wire together
  uint32_t snap_length = 0;
  CaptureKeys keys = CaptureKeys::kNone;
};
// Captures frames of a device as raw pcapng. `control` and `points` outlive the reply.
std::unique_ptr<OperatorReply> MakeCaptureReply(const OperatorControl* control,
                                                CapturePoints* points, CaptureRequest request);

}  // namespace cygnet
