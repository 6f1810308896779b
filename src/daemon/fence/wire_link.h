// The wire as an interface of the kernel's: its addresses, and the settings that keep the kernel
// from giving it some of itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "netlink/kernel_netlink.h"

namespace cygnet {

struct WireAddress {
  uint8_t family = 0;
  uint8_t prefix = 0;
  std::vector<uint8_t> bytes;
  bool by_kernel = false;  // link-local, or from a router's advertisement
};

// An interface by what stays with it when its name does not.
struct LinkIdentity {
  uint32_t ifindex = 0;
  std::vector<uint8_t> mac{};  // empty: none
};

LinkIdentity IdentityOf(const std::string& wire);
// The interfaces of this namespace with that hardware address, now or by their making, but none
// that borrows it from another (bridges, bonds, VLANs, TUN/TAP …).
std::vector<uint32_t> LinksOfMac(KernelNetlink* route, const std::vector<uint8_t>& mac);

// `route`: a socket of NETLINK_ROUTE.
std::vector<WireAddress> AddressesOn(KernelNetlink* route, uint32_t ifindex);
// "192.0.2.1, 2001:db8::1": those that people or their programs put there. Empty: none.
std::string AddressesByPeople(KernelNetlink* route, uint32_t ifindex);
// Takes away what the kernel made by itself.
void RemoveKernelAddresses(KernelNetlink* route, uint32_t ifindex);

// The kernel makes no link-local address and takes no router's advertisements there; IPv6 ends on
// it altogether unless people's addresses are there. What /proc does not let us write is left:
// nothing that arrives reaches the kernel, and what it makes all the same is removed.
void QuietIpv6(KernelNetlink* route, const std::string& wire, uint32_t ifindex);
// As a new interface would have it.
void DefaultIpv6(const std::string& wire);

bool IsUp(const std::string& wire);
Status BringDown(KernelNetlink* route, uint32_t ifindex);
Status BringUp(KernelNetlink* route, uint32_t ifindex);

}  // namespace cygnet
