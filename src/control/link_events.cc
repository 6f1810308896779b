#include "control/link_events.h"

#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

#include "base/errno_error.h"

namespace cygnet {

void LinkEvents::Closer::operator()(mnl_socket* s) const { mnl_socket_close(s); }

Result<std::unique_ptr<LinkEvents>> LinkEvents::Create() {
  std::unique_ptr<LinkEvents> events(new LinkEvents);
  events->socket_.reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (events->socket_ == nullptr ||
      mnl_socket_bind(events->socket_.get(), RTMGRP_LINK, MNL_SOCKET_AUTOPID) != 0) {
    return ErrnoError("listen for network interfaces");
  }
  return events;
}

int LinkEvents::event_fd() const { return mnl_socket_get_fd(socket_.get()); }

LinkChanges LinkEvents::Drain() {
  std::array<char, 32768> buffer;
  LinkChanges changes;
  for (;;) {
    const ssize_t n = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
    if (n < 0 && (errno == ENOBUFS || errno == ENOSPC)) {
      changes.any = changes.lost = true;
      continue;
    }
    if (n <= 0) return changes;
    int left = static_cast<int>(n);
    for (auto* m = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      changes.any = true;
      if (m->nlmsg_type != RTM_DELLINK || mnl_nlmsg_get_payload_len(m) < sizeof(ifinfomsg)) {
        continue;
      }
      // A bridge sends this for a port that left it: the interface still exists.
      const auto* info = static_cast<const ifinfomsg*>(mnl_nlmsg_get_payload(m));
      if (info->ifi_family == AF_UNSPEC) changes.gone.push_back(info->ifi_index);
    }
  }
}

}  // namespace cygnet
