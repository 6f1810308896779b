// `cygnet capture`: writes what the daemon streams, and ends in good order.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/operator_client.h"

namespace cygnet {

// Copies whole pcapng blocks to a descriptor, counting the packets.
class CaptureWriter {
 public:
  // `limit`: packets after which no more are written.
  CaptureWriter(int fd, std::optional<uint64_t> limit) : fd_(fd), limit_(limit) {}

  enum class Outcome : uint8_t {
    kMore,
    kLimit,   // the limit is reached
    kClosed,  // the reader of the output is gone: a reason to end, not a fault
  };
  // `datagram`: any number of whole blocks. Written at once: a reader sees each packet as it comes.
  Result<Outcome> Write(std::string_view datagram);

  uint64_t packets() const { return packets_; }
  uint64_t missed() const { return missed_; }  // as the daemon's last statistics say

 private:
  Result<Outcome> WriteAll(std::string_view bytes) const;
  // True: the block is to be written.
  bool Take(uint32_t type, std::string_view block);

  const int fd_;
  const std::optional<uint64_t> limit_;
  uint64_t packets_ = 0;
  uint64_t missed_ = 0;
};

// Runs until a signal, the limit, or the end of the daemon or of the reader. Takes over SIGINT,
// SIGTERM and SIGPIPE of the process. `connect`: to the daemon. What was captured is said on
// standard error.
Status RunCapture(const Arguments& arguments, const OperatorConnector& connect);

}  // namespace cygnet
