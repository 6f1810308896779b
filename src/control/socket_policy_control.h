// SocketPolicyControl: policies of single sockets, from the client's request to the socket's end.
// The client names the socket by its cookie. The kernel reports its address and its end
// (HostSockets), so it does not matter who else holds the socket or how it is closed.
//
// Packets do not show their socket. While a socket of another user shares the port, a policy that
// allows is not in force: that user's packets would pass by it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "control/host_sockets.h"
#include "datapath/data_path.h"
#include "requests/xfrm_control.h"

namespace cygnet {

// Control thread.
class SocketPolicyControl {
 public:
  static constexpr std::size_t kMaxSockets = 16384;

  // `sockets` nullptr: the kernel does not report where sockets are.
  SocketPolicyControl(DataPath* path, const Clock* clock, HostSockets* sockets)
      : path_(*path), clock_(*clock), sockets_(sockets) {}

  Status Change(SocketPolicyChange change);
  void RemoveAll();

  // Newest first.
  std::vector<PolicyView> List() const;
  std::array<uint32_t, 2> Counts() const;  // in, out

  // Some sockets have ended.
  void OnEnded();
  // About once a second: sockets move and get ports without an event.
  void Tick();

 private:
  struct Socket {
    IpFamily family = IpFamily::kUnspec;
    uint8_t proto = 0;
    std::optional<SocketEnds> ends{};    // nullopt: no port yet
    std::optional<uint32_t> stranger{};  // the user of another socket that shares the port
    std::array<std::shared_ptr<Policy>, 2> policies{};
    std::array<std::shared_ptr<const SocketPolicy>, 2> installed{};
  };
  using Sockets = std::map<uint64_t, Socket>;  // by cookie

  Status Check(const SocketPolicyChange& change) const;
  bool MakeRoom();
  std::shared_ptr<Policy> MakePolicy(PolicySpec spec);
  // All sockets of the port, 0: of all ports; by port. nullopt: the kernel did not tell.
  std::optional<std::vector<HostSocket>> AllOf(uint8_t proto, uint16_t port) const;
  void Place(Socket* socket, const std::optional<SocketEnds>& ends,
             std::optional<uint32_t> stranger = std::nullopt);
  void Install(Socket* socket, std::size_t direction);
  void Remove(Sockets::iterator at);
  bool Look(Socket* socket, uint64_t cookie, uint16_t port);
  void LookAtAll(bool some_have_ended);

  DataPath& path_;
  const Clock& clock_;
  HostSockets* const sockets_;
  Sockets by_cookie_;
  uint64_t next_number_ = 1;
};

}  // namespace cygnet
