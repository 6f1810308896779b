// XfrmDump: the answer to a dump request, made part by part as the client reads, so that a table of
// any size needs only one part's memory for messages.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "netlink/buffer.h"
#include "netlink/extended_ack.h"
#include "requests/xfrm_control.h"
#include "xfrm/sa_message.h"

namespace cygnet {

class XfrmDump {
 public:
  // Whose dump it is: for the header of every message, and the form of the last.
  struct Client {
    xfrm::ReplyTo to;
    netlink::AckOptions options;
  };

  virtual ~XfrmDump() = default;

  // The next datagram: one or several entries, or, once there are none left, NLMSG_DONE alone.
  // REQUIRES: !finished().
  netlink::Buffer Next();
  bool finished() const { return finished_; }

 protected:
  XfrmDump(Client client, netlink::ExtendedAck ack) : client_(client), ack_(std::move(ack)) {}
  // The next entry as a message; nullopt when there are no more.
  virtual std::optional<netlink::Buffer> NextEntry() = 0;
  const Client& client() const { return client_; }

 private:
  const Client client_;
  netlink::ExtendedAck ack_;
  std::optional<netlink::Buffer> held_;  // did not fit into the part before
  bool finished_ = false;
};

// SAs as they are when their turn comes; those deleted since the start are left out. `control` must
// outlive the dump.
std::unique_ptr<XfrmDump> MakeSaDump(const XfrmControl* control, xfrm::SaDumpFilter filter,
                                     XfrmDump::Client client, netlink::ExtendedAck ack);
// Policies as they were when the dump began: of sockets, then of the SPD.
std::unique_ptr<XfrmDump> MakePolicyDump(const XfrmControl& control, XfrmDump::Client client);

}  // namespace cygnet
