// Tunnel interfaces that clients make and delete (transport::kLink).
#include <fmt/format.h>

#include <fstream>
#include <string>

#include "daemon/xfrm_server/requests.h"
#include "xfrm/link_message.h"

namespace cygnet {
namespace {

// "ip[4711]": the program as it calls itself now. For people; it proves nothing.
std::string ProgramOf(const PeerId& peer) {
  std::string name;
  std::ifstream comm(fmt::format("/proc/{}/comm", peer.pid));
  std::getline(comm, name);
  return fmt::format("{}[{}]", name.empty() ? "?" : name, peer.pid);
}

std::string InterfaceOf(const LinkRequest& request) {
  if (!request.name.empty()) return request.name;
  return request.ifindex != 0 ? fmt::format("number {}", request.ifindex) : "without a name";
}

std::string TextOf(const LinkRequest& request) {
  if (request.act == LinkAct::kDelete) {
    return "tunnel interface " + InterfaceOf(request) + " deleted";
  }
  return fmt::format("tunnel interface {} {}, if_id {}", InterfaceOf(request),
                     request.create ? "added" : "changed", request.if_id.value_or(0));
}

}  // namespace

Result<XfrmRequests::Answer> XfrmRequests::ChangeLink(const netlink::MessageView& message,
                                                      const XfrmConnection& client) {
  if (links_ == nullptr) return MakeError(Errc::kNotSupported);
  const auto request = xfrm::DecodeLink(message);
  if (!request) return request.error();
  CYGNET_RETURN_IF_ERROR(request->act == LinkAct::kDelete
                             ? links_->DeleteLink(*request)
                             : links_->NewLink(*request, ProgramOf(client.peer())));
  Notify(client, {ClientAct::kProtection, [&request] { return TextOf(*request); }});
  return Answer::kAck;
}

}  // namespace cygnet
