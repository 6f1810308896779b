// Where the calling thread is, as far as the daemon's and the kernel's proofs are about it
// (netlink/rendezvous.h): a connection that was made in one place says nothing about another.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace cygnet::shim {

struct Place {
  uid_t user = 0;
  uint64_t network = 0;  // inode numbers of namespaces; 0: unknown
  uint64_t users = 0;

  bool known() const { return network != 0 && users != 0; }
  bool operator==(const Place&) const = default;
};

// False: it cannot be told.
bool FindPlaceOnce(Place* place);
// As FindPlaceOnce, in a third of the time when it is called again: it keeps a descriptor of the
// folder that says it, close-on-exec, under a number of kLowestHiddenNumber or above.
bool FindPlace(Place* place);

// In a forked child: the folder is the parent's.
void ForgetPlaceInChild();

// Above the numbers that programs expect to get, below the usual limit of 1,024.
inline constexpr int kLowestHiddenNumber = 512;

}  // namespace cygnet::shim
