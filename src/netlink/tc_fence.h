// The second means that shuts a wire, independent of a flush of nftables: filters at the
// interface's clsact queueing discipline, each a classic BPF program. They drop everything inbound,
// and outbound everything without Cygnet's socket mark. The filters belong to the interface: they
// survive a rename, but not its deletion or a move to another network namespace.
#pragma once

#include <cstdint>
#include <optional>

#include "netlink/kernel_netlink.h"

namespace cygnet {

// `route`: a socket of NETLINK_ROUTE. `mark`: the socket mark of frames that may leave. An existing
// clsact discipline is used, and its filters stay.
Status ShutByTc(KernelNetlink* route, uint32_t ifindex, uint32_t mark);
// Whether both filters exist as ShutByTc creates them. nullopt: with any mark, including those of
// an earlier process.
bool IsShutByTc(KernelNetlink* route, uint32_t ifindex, std::optional<uint32_t> mark);
// Removes the filters with any mark, and the discipline if it is empty then.
void OpenByTc(KernelNetlink* route, uint32_t ifindex);

}  // namespace cygnet
