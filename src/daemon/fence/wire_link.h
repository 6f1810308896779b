// The wire as a kernel interface: its addresses, and the settings that keep the kernel from adding
// addresses itself.
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

// Identifies an interface when its name changes.
struct LinkIdentity {
  uint32_t ifindex = 0;
  std::vector<uint8_t> mac{};  // empty: none
};

LinkIdentity IdentityOf(const std::string& wire);
// The interfaces of this namespace whose current or permanent hardware address is `mac`, without
// those that copy another interface's (bridges, bonds, VLANs, TUN/TAP …).
std::vector<uint32_t> LinksOfMac(KernelNetlink* route, const std::vector<uint8_t>& mac);

// `route`: a socket of NETLINK_ROUTE.
std::vector<WireAddress> AddressesOn(KernelNetlink* route, uint32_t ifindex);
// The addresses that people or their programs put there: "192.0.2.1, 2001:db8::1". Empty: none.
std::string AddressesByPeople(KernelNetlink* route, uint32_t ifindex);
// Removes the addresses that the kernel made by itself.
void RemoveKernelAddresses(KernelNetlink* route, uint32_t ifindex);

// Stops the kernel from making a link-local address and from accepting router advertisements. Turns
// IPv6 off on the interface unless people have put addresses there. Settings that cannot be written
// are left: no arriving frame reaches the kernel, and RemoveKernelAddresses removes what it makes.
void QuietIpv6(KernelNetlink* route, const std::string& wire, uint32_t ifindex);
// Restores the defaults of a new interface.
void DefaultIpv6(const std::string& wire);

bool IsUp(const std::string& wire);
Status BringDown(KernelNetlink* route, uint32_t ifindex);
Status BringUp(KernelNetlink* route, uint32_t ifindex);

}  // namespace cygnet
