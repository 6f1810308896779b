// Outbound: from the host to the wire (RFC 4301 section 5.1). The steps, in the order of the code;
// ARCHITECTURE.md names the files of each.
//    1  receive: a batch of the host's port
//    2  parse: frame, IP header; reassemble fragments if policy needs the datagram
//    3  decide: bypass, drop, or a chain of SAs; ask key management and wait for the SA
//    4  fit: cut super-packets; answer packets that are too big with an ICMP error
//    5  round: one transform of the chain for each packet, in runs of one SA
//    6  charge the lifetime, reserve sequence numbers
//    7  prepare: build ESP; a job for an engine, or an offload request to the device
//    8  cryptography: engines do the jobs; check the seal; back to 5 while transforms are left
//    9  verdict: sealed as policy requires, or dropped; fragment; transmit
//   10  seal guard, at the wire: checks the bytes
// Most packets take the straight way through steps 2 to 9 (outbound_straight.h), which does the
// same for packets that need nothing special.
#pragma once

#include "datapath/outbound_admission.h"
#include "datapath/outbound_departure.h"
#include "datapath/outbound_straight.h"
#include "datapath/outbound_transform.h"
#include "datapath/warm_up.h"
#include "datapath/worker_context.h"

namespace cygnet {

class OutboundPipeline {
 public:
  // `random`: a seed for unpredictable values, different for each worker.
  OutboundPipeline(WorkerContext* context, uint64_t random)
      : ctx_(context),
        departure_(context, static_cast<uint32_t>(random >> 32)),
        transform_(context, &warm_up_, &departure_),
        admission_(context, &warm_up_, &transform_, random),
        straight_(context, &warm_up_, admission_.decider(), &admission_.waiting_for_next_hop()) {}
  OutboundPipeline(const OutboundPipeline&) = delete;
  OutboundPipeline& operator=(const OutboundPipeline&) = delete;

  // Takes all packets of `in`, which came from the host through `interface`.
  void Run(uint8_t interface, PacketBatch* in);
  // The same for packets that the host sent through a tunnel interface.
  void RunTunnel(const Tunnel& tunnel, PacketBatch* in);
  // The same for packets of hosts behind inside interfaces, which came by `port`.
  void RunInside(const Port* port, PacketBatch* in);
  // Sends the control thread's frames (DataPath::injected) unchanged.
  void RunInjected(PacketBatch* in);
  // Takes out of `in` the packets that the device of `interface` handed back: unsealed, or in clear
  // and not numbered yet, which begin anew. The rest stays.
  void RunReturned(uint8_t interface, PacketBatch* in);
  // Call between batches. Retries packets that wait for key management, and drops those that waited
  // too long.
  void RunTimers() { admission_.RunTimers(); }
  // The latest time for the next RunTimers, in monotonic milliseconds.
  std::optional<uint64_t> NextTimerMs() const { return admission_.NextTimerMs(); }

  // Call when a look-aside engine has finished the job with this tag.
  void OnJobDone(uint32_t tag, CryptoStatus status) { transform_.OnJobDone(tag, status); }
  // Continues with packets whose jobs are finished. Returns their number.
  uint32_t Resume() { return transform_.Resume(); }
  const InFlight<OutboundItem>& in_flight() const { return transform_.in_flight(); }

 private:
  void RunFrom(uint8_t interface, uint8_t inside, std::span<Packet* const> packets);
  void GoStraight();

  WorkerContext* const ctx_;
  WarmUp warm_up_;
  OutboundDeparture departure_;  // step 9
  OutboundTransform transform_;  // steps 5 to 8
  OutboundAdmission admission_;  // steps 2 to 4
  OutboundStraight straight_;    // steps 2 to 9, for most packets
};

}  // namespace cygnet
