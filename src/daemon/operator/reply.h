// Replies of the operator server: each makes its datagrams one at a time, when the client has room.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "control/report.h"

namespace cygnet {

// Longest JSON datagram either way.
inline constexpr std::size_t kOperatorDatagram = 64u << 10;

class OperatorReply {
 public:
  enum class Next : uint8_t {
    kDatagram,  // one was made
    kWait,      // nothing now; wait_fd() becomes readable when there is
    kEnd,       // the reply is through; the connection takes requests again
    kClose,     // the reply is through, and so is the connection
  };

  virtual ~OperatorReply() = default;
  virtual Next MakeNext(std::string* datagram) = 0;

  // Memory of what is still to be told, about.
  virtual std::size_t held_bytes() const { return 0; }
  // -1: never returns kWait.
  virtual int wait_fd() const { return -1; }
  // wait_fd() is readable.
  virtual void OnWaitReady() {}
  // The client wants no more; replies that have an end of their own go on to it.
  virtual void Stop() {}
};

std::unique_ptr<OperatorReply> MakeErrorReply(std::string_view text);

// Executes a request: takes the snapshot that the reply will show.
std::unique_ptr<OperatorReply> MakeReply(OperatorControl* control, std::string_view request);

// What an audit is to be told of a request that orders something, shows keys, or captures: as it
// was understood, field by field, whatever its bytes look like. Empty: it only looks. REQUIRES:
// called for what MakeReply is given.
std::string OrderOf(std::string_view request);

// Raw pcapng of one side of a device. `control` and `points` outlive the reply.
std::unique_ptr<OperatorReply> MakeCaptureReply(const OperatorControl* control,
                                                CapturePoints* points, const std::string& device,
                                                CaptureSide side, uint32_t snap_length);

}  // namespace cygnet
