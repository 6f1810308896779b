// The receive ring and the transmit ring of an AF_PACKET socket pair.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "packet/drop_reason.h"
#include "packet/packet.h"

namespace cygnet {

// A ring of frames in memory shared with the kernel (TPACKET_V2).
struct PacketRing {
  UniqueFd fd;
  uint8_t* memory = nullptr;
  std::size_t bytes = 0;
  uint32_t frame_bytes = 0;
  uint32_t frames = 0;
  uint32_t next = 0;
  bool searching = false;  // `next` is unknown: no frame has come since the ring was taken over

  PacketRing() = default;
  PacketRing(const PacketRing&) = delete;
  PacketRing& operator=(const PacketRing&) = delete;
  ~PacketRing();
  uint8_t* frame(uint32_t i) const { return memory + std::size_t{i} * frame_bytes; }
  uint32_t after(uint32_t i) const { return i + 1 == frames ? 0 : i + 1; }
  uint32_t before(uint32_t i) const { return i == 0 ? frames - 1 : i - 1; }
  // Status of the frame's header; the kernel writes it, too.
  uint32_t status(uint32_t i) const;
  void set_status(uint32_t i, uint32_t status) const;
};

// Bytes of a slot that holds a frame of this MTU.
uint32_t RingFrameBytes(uint32_t mtu);

struct RingParams {
  std::string name;  // the interface's, for messages
  int ifindex = 0;
  uint32_t mtu = 0;
  uint32_t fanout_group = 0;  // 0: the only socket of the interface
};

Status OpenReceiveRing(const RingParams& params, PacketRing* ring);
// The same with the socket that an earlier process left. The frames that it did not read come
// first. False: it does not fit.
bool AdoptReceiveRing(const RingParams& params, UniqueFd fd, PacketRing* ring);
// For a ring that was taken over: finds the oldest frame. False: there is none.
bool FindOldest(PacketRing* ring);

// What was sent of one batch.
struct SentFrames {
  uint64_t frames = 0;
  uint64_t bytes = 0;
  SentFrames& operator+=(const SentFrames& more) {
    frames += more.frames;
    bytes += more.bytes;
    return *this;
  }
};

// Outgoing frames. No frame waits from one batch to the next: HandOver removes from the ring and
// counts what the kernel has not taken.
//
// Frames are numbered, and each slot has the number of the frame that was put there last: the
// kernel does not tell where it continues, and the next process must.
class TransmitRing {
 public:
  Status Open(const RingParams& params);
  // The same with the socket that an earlier process left: to close one and to open one takes the
  // kernel tens of milliseconds. Frames that the kernel has not taken are removed. False: it does
  // not fit.
  bool Adopt(const RingParams& params, UniqueFd fd);
  int fd() const { return ring_.fd.get(); }
  // -1: the interface is gone.
  int BoundIfindex() const;

  uint32_t room() const;
  // Copies the packet behind the others of the batch. False: no slot became free in time. REQUIRES:
  // it fits room().
  bool Put(const Packet& packet, DropCounters* drops);
  // Ends the batch. Frames that the driver refuses, or that are not taken within kLongestWaitMs,
  // are dropped.
  SentFrames HandOver(DropCounters* drops);

  static constexpr int kLongestWaitMs = 20;

 private:
  void Push(DropCounters* drops);
  void SkipTaken();
  void Wait() const;
  void SetNumber(uint32_t slot, uint64_t number) const;
  uint64_t NumberOf(uint32_t slot) const;
  void FindPlace();
  void RemoveLast();
  void TakeOutFirst();
  void TakeOutAll(DropReason reason, DropCounters* drops);

  PacketRing ring_;
  uint64_t number_ = 0;   // of the frame that goes to ring_.next
  uint32_t first_ = 0;    // the oldest frame not yet taken by the kernel
  uint32_t waiting_ = 0;  // frames from there to ring_.next
  SentFrames batch_;
};

}  // namespace cygnet
