// Sends super-packets by an AF_PACKET socket with virtio headers, one system call for each. The
// kernel or the NIC cuts them. A ring's slots would have to be as large as a super-packet.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <span>

#include "packet/drop_reason.h"
#include "packet/packet.h"

namespace cygnet {

class SuperSender {
 public:
  // `joins`: datagrams may go as one, see RunOf.
  explicit SuperSender(bool joins) : cuts_datagrams_(joins) {}

  // Of the receive ring's socket: it has the virtio header that a transmit ring has no room for.
  // Calling it again does no harm. False: errno has the cause.
  static bool Prepare(int fd);

  // Before the first packet of a batch: all of it waits kLongestWaitMs at most for room.
  void BeginBatch() { waits_ = kLongestWaitMs / kWaitMs; }
  // kNone: sent. The packet stays the caller's, here and below.
  DropReason Send(int fd, const Packet& packet);

  // How many of the first packets may go as one: sealed ESP in UDP of one flow and one size, whose
  // bytes the kernel restores when it cuts them again. The UDP checksum differs, which RFC 3948
  // allows: it is computed, where it was zero. At least 1.
  uint32_t RunOf(std::span<Packet* const> packets) const;
  // REQUIRES: RunOf them is their number, at least 2. kPortRefused: the kernel cannot cut datagrams
  // (before Linux 6.2), and RunOf returns 1 from now on; none is sent.
  DropReason SendRun(int fd, std::span<Packet* const> packets);

  static constexpr uint32_t kMaxRun = 64;  // datagrams that every kernel and NIC cuts

 private:
  static constexpr int kLongestWaitMs = 20;
  static constexpr int kWaitMs = 2;
  DropReason SendParts(int fd, std::span<iovec> parts);

  int waits_ = 0;  // left for this batch
  bool cuts_datagrams_;
};

}  // namespace cygnet
