// `cygnet capture`: writes the stream of the daemon and ends it cleanly.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cli/arguments.h"
#include "cli/esp_keys.h"
#include "client/operator_client.h"

namespace cygnet {

// Copies whole pcapng blocks to a descriptor and counts the packets. Keys go elsewhere.
class CaptureWriter {
 public:
  // `limit`: maximum number of packets to write.
  // `keys`: nullptr if none were requested.
  CaptureWriter(int fd, std::optional<uint64_t> limit, KeyFolder* keys = nullptr)
      : fd_(fd), limit_(limit), keys_(keys) {}

  enum class Outcome : uint8_t {
    kMore,
    kLimit,   // the limit has been reached
    kClosed,  // the reader of the output is gone; not an error
  };
  // `datagram`: any number of whole blocks, or the keys of an SA. Written immediately, so that a
  // reader sees each packet as it arrives.
  Result<Outcome> Write(std::string_view datagram);

  uint64_t packets() const { return packets_; }
  uint64_t missed() const;  // from the daemon's latest statistics

 private:
  Result<Outcome> WriteAll(std::string_view bytes) const;
  // Updates the counters. True: write the block.
  bool Take(uint32_t type, std::string_view block);
  void TakeStatistics(std::string_view block);
  Result<Outcome> TakeKeys(std::string_view datagram);

  const int fd_;
  const std::optional<uint64_t> limit_;
  KeyFolder* const keys_;
  uint64_t packets_ = 0;
  std::map<uint32_t, uint64_t> missed_;  // by interface
};

// Runs until a signal or the limit, or until the daemon or the reader is gone. Takes over SIGINT,
// SIGTERM and SIGPIPE of the process. `connect` connects to the daemon. Prints the packet counts to
// standard error.
Status RunCapture(const Arguments& arguments, const OperatorConnector& connect);

}  // namespace cygnet
