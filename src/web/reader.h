// The reader: a process of its own that holds CAP_NET_ADMIN, which cygnetd asks of its clients. The
// process that serves browsers has no capability; it can only have the readings made that
// client/readings.h lists.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "client/readings.h"

namespace cygnet::web {

// The reader's loop, until the other end of `channel` closes. Answers each request, one byte with
// the Reading, with frames: the items, then the end or an error.
void ServeReadings(UniqueFd channel, const OperatorConnector& connect);

class ReaderClient {
 public:
  // What a reading may have; more is an error. A daemon has as many SAs as memory.
  static constexpr std::size_t kMostBytes = 256u << 20;

  explicit ReaderClient(UniqueFd channel) : channel_(std::move(channel)) {}

  // kIo: the daemon cannot be read, and the text says why. kNoSuchProcess: the reader has ended.
  Status Read(Reading reading, std::vector<Json>* items);

 private:
  Status ReadExactly(char* bytes, std::size_t count);

  UniqueFd channel_;
};

}  // namespace cygnet::web
