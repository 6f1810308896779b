// Who is at the other end of a Unix socket, and whether they may change the SAD and SPD.
#pragma once

namespace cygnet {

// True when the peer held CAP_NET_ADMIN in this process's user namespace: what NETLINK_XFRM asks of
// every request. Judged by what /proc says of the process that connected; false whenever in doubt.
// Needs CAP_SYS_PTRACE to look at a process that has capabilities which this one lacks, or that
// hides its memory; without it such a peer is refused.
bool PeerIsNetAdmin(int fd);
bool MaySeeEveryPeer();

}  // namespace cygnet
