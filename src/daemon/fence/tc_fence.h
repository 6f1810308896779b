// A second means that shuts a wire, which who empties nftables does not touch: filters at the
// interface's clsact queueing discipline, a program of classic BPF each. It drops all that comes
// in, and on the way out all but what carries Cygnet's socket mark. Belongs to the interface: a new
// name does not shake it off, the interface's end and a move to another namespace do.
#pragma once

#include <cstdint>

#include "daemon/fence/kernel_netlink.h"

namespace cygnet {

// `route`: a socket of NETLINK_ROUTE. Another one's clsact discipline is used, his filters stay.
Status ShutByTc(KernelNetlink* route, uint32_t ifindex);
// Whose filters count: those with this process's mark (device/wire_mark.h), which let its frames
// out, or those of an earlier one as well.
enum class TcMark : uint8_t { kOurs, kAny };
// Whether both filters are there as ShutByTc makes them.
bool IsShutByTc(KernelNetlink* route, uint32_t ifindex, TcMark mark = TcMark::kOurs);
// Takes the filters away, whatever their mark, and the discipline when nothing else is left in it.
void OpenByTc(KernelNetlink* route, uint32_t ifindex);

}  // namespace cygnet
