// A second means that shuts a wire, which who empties nftables does not touch: filters at the
// interface's clsact queueing discipline, a program of classic BPF each. It drops all that comes
// in, and on the way out all but what carries Cygnet's socket mark. Belongs to the interface: a new
// name does not shake it off, the interface's end and a move to another namespace do.
#pragma once

#include <cstdint>
#include <optional>

#include "netlink/kernel_netlink.h"

namespace cygnet {

// `route`: a socket of NETLINK_ROUTE. `mark`: of the frames that the filters let out. Another one's
// clsact discipline is used, his filters stay.
Status ShutByTc(KernelNetlink* route, uint32_t ifindex, uint32_t mark);
// Whether both filters are there as ShutByTc makes them; nullopt: with whatever mark, those of an
// earlier process as well.
bool IsShutByTc(KernelNetlink* route, uint32_t ifindex, std::optional<uint32_t> mark);
// Takes the filters away, whatever their mark, and the discipline when nothing else is left in it.
void OpenByTc(KernelNetlink* route, uint32_t ifindex);

}  // namespace cygnet
