#include "control/ike_sockets.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr uint32_t kRoot = 0;

bool IsRoots(const HostSocket& socket) { return socket.uid == kRoot; }

}  // namespace

void IkeSockets::Refresh() {
  std::vector<SocketEnds> found;
  for (Port& port : ports_) {
    if (path_.ike_bypass && sockets_ != nullptr) {
      AddOf(&port, &found);
    } else {
      port.stranger.reset();
    }
  }
  if (found == told_) return;
  told_ = found;
  path_.SetIkeSockets(std::move(found));
  path_.BumpGeneration();
}

// Packets do not show which socket of a port they come from: only ports that root owns alone count.
void IkeSockets::AddOf(Port* port, std::vector<SocketEnds>* ends) {
  const auto listed = sockets_->ListBoth(kProtoUdp, port->number);
  if (!listed) return;
  const bool has_root = std::any_of(listed->begin(), listed->end(), IsRoots);
  const auto stranger = std::find_if_not(listed->begin(), listed->end(), IsRoots);
  const bool shared = has_root && stranger != listed->end();
  Show(port, shared ? std::optional(stranger->uid) : std::nullopt);
  if (shared || !has_root) return;
  for (const HostSocket& socket : *listed) ends->push_back(socket.ends);
}

void IkeSockets::Show(Port* port, std::optional<uint32_t> stranger) {
  if (stranger == port->stranger) return;
  port->stranger = stranger;
  const std::string name = "ike_bypass: UDP port " + std::to_string(port->number);
  if (!stranger) {
    Log(LogLevel::kInfo, name + ": no longer shared with another user");
    return;
  }
  Log(LogLevel::kWarning, name + ": the bypass is off for this port: a socket of uid " +
                              std::to_string(*stranger) + " shares it with a socket of uid " +
                              std::to_string(kRoot) +
                              ", and their packets cannot be told apart: close that socket");
}

}  // namespace cygnet
