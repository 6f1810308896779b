// XfrmDump: the answer to a dump request, made part by part as the client reads. A table of any
// size needs only the memory of one part for messages.
#pragma once

#include <cstddef>
#include <memory>
#include <variant>
#include <vector>

#include "netlink/buffer.h"
#include "netlink/extended_ack.h"
#include "requests/xfrm_control.h"
#include "xfrm/sa_message.h"

namespace cygnet {

class XfrmDump {
 public:
  // The requester: determines the header of every message and the form of the last.
  struct Client {
    xfrm::ReplyTo to;
    netlink::AckOptions options;
  };

  virtual ~XfrmDump() = default;

  // The next datagram: as many entries as fit into `room` bytes, but at least one; after the last
  // entry, NLMSG_DONE alone. REQUIRES: !finished().
  netlink::Buffer Next(std::size_t room);
  bool finished() const { return finished_; }

 protected:
  XfrmDump(Client client, netlink::ExtendedAck ack) : client_(client), ack_(std::move(ack)) {}
  // Appends the next entry to `part` as a message. False: there are no more.
  virtual bool AddEntry(netlink::Buffer* part) = 0;
  const Client& client() const { return client_; }

 private:
  const Client client_;
  netlink::ExtendedAck ack_;
  netlink::Buffer held_;  // the entry that did not fit into the previous part
  bool finished_ = false;
};

// Dumps each SA as it is when it is encoded; SAs that were deleted since the start are left out.
// REQUIRES: `control` outlives the dump.
std::unique_ptr<XfrmDump> MakeSaDump(const XfrmControl* control, xfrm::SaDumpFilter filter,
                                     XfrmDump::Client client, netlink::ExtendedAck ack);
// Dumps the policies that there were when the dump began: socket policies, then the SPD.
std::unique_ptr<XfrmDump> MakePolicyDump(const XfrmControl& control, XfrmDump::Client client);

}  // namespace cygnet
