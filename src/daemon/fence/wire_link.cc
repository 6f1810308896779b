#include "daemon/fence/wire_link.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <fstream>

#include "base/bytes.h"
#include "netlink/attribute.h"
#include "netlink/builder.h"
#include "netlink/message.h"

namespace cygnet {
namespace {

using netlink::FindAttribute;
using netlink::MessageBuilder;
using Bytes = std::span<const uint8_t>;

constexpr uint8_t kProtoRouterAdvertisement = 2;  // IFAPROT_KERNEL_RA; since Linux 5.18
constexpr uint8_t kProtoLinkLocal = 3;            // IFAPROT_KERNEL_LL
constexpr uint16_t kIfaProto = 11;                // IFA_PROTO

struct Setting {
  const char* name;
  const char* quiet;
};
constexpr Setting kIpv6Settings[] = {{"accept_ra", "0"}, {"autoconf", "0"}, {"addr_gen_mode", "1"}};
constexpr const char* kDisableIpv6 = "disable_ipv6";

// False: the setting does not exist, or we may not write it.
bool WriteSetting(const std::string& wire, const std::string& name, const std::string& value) {
  std::ofstream file("/proc/sys/net/ipv6/conf/" + wire + "/" + name);
  file << value;
  file.close();
  return file.good();
}

std::string ReadSettingOf(const std::string& wire, const std::string& name) {
  std::ifstream file("/proc/sys/net/ipv6/conf/" + wire + "/" + name);
  std::string value;
  file >> value;
  return value;
}

bool IsLinkLocal(const WireAddress& a) {
  return a.family == AF_INET6 && a.bytes.size() == 16 && a.bytes[0] == 0xfe &&
         (a.bytes[1] & 0xc0) == 0x80;
}

// IFA_LOCAL is the host's own on point-to-point links; IPv6 has only IFA_ADDRESS.
WireAddress ReadAddress(const ifaddrmsg& info, Bytes attributes) {
  WireAddress address{.family = info.ifa_family, .prefix = info.ifa_prefixlen, .bytes = {}};
  uint32_t flags = info.ifa_flags;
  uint8_t proto = 0;
  netlink::AttributeIterator all(attributes);
  while (const auto a = all.Next()) {
    if (a->type == IFA_LOCAL || (a->type == IFA_ADDRESS && address.bytes.empty())) {
      address.bytes.assign(a->payload.begin(), a->payload.end());
    } else if (a->type == IFA_FLAGS && a->payload.size() >= sizeof(flags)) {
      std::memcpy(&flags, a->payload.data(), sizeof(flags));
    } else if (a->type == kIfaProto && !a->payload.empty()) {
      proto = a->payload[0];
    }
  }
  address.by_kernel =
      info.ifa_family == AF_INET6 &&
      (IsLinkLocal(address) || proto == kProtoRouterAdvertisement || proto == kProtoLinkLocal ||
       (flags & (IFA_F_MANAGETEMPADDR | IFA_F_TEMPORARY)) != 0);
  return address;
}

Status SetFlags(KernelNetlink* route, uint32_t ifindex, unsigned flags) {
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(ifindex);
  info.ifi_flags = flags;
  info.ifi_change = IFF_UP;
  return route->Send(Begin(route, RTM_NEWLINK, NLM_F_ACK, info).Finish(), "link");
}

bool BorrowsItsMac(Bytes attributes) {
  constexpr uint16_t kLinkInfo = IFLA_LINKINFO;
  const Bytes kind = FindAttribute(FindAttribute(attributes, kLinkInfo), IFLA_INFO_KIND);
  const std::string name(kind.begin(), kind.end());
  for (const char* borrower :
       {"bridge", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "tun", "macsec"}) {
    if (name.substr(0, name.find('\0')) == borrower) return true;
  }
  return false;
}

}  // namespace

LinkIdentity IdentityOf(const std::string& wire) {
  LinkIdentity identity{.ifindex = if_nametoindex(wire.c_str())};
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, wire.c_str(), IFNAMSIZ - 1);
  if (identity.ifindex == 0 || ioctl(fd.get(), SIOCGIFHWADDR, &request) != 0) return identity;
  constexpr std::size_t kMacSize = 6;
  const auto* bytes = reinterpret_cast<const uint8_t*>(request.ifr_hwaddr.sa_data);
  identity.mac.assign(bytes, bytes + kMacSize);
  if (identity.mac == std::vector<uint8_t>(kMacSize, 0)) identity.mac.clear();
  return identity;
}

std::vector<uint32_t> LinksOfMac(KernelNetlink* route, const std::vector<uint8_t>& mac) {
  constexpr uint16_t kPermanent = 54;  // IFLA_PERM_ADDRESS
  constexpr std::size_t kFixed = netlink::kHeaderSize + sizeof(ifinfomsg);
  std::vector<uint32_t> found;
  if (mac.empty()) return found;
  const auto answers = route->Ask(Begin(route, RTM_GETLINK, NLM_F_DUMP, ifinfomsg{}).Finish());
  if (!answers) return found;
  for (const netlink::Buffer& answer : *answers) {
    nlmsghdr header{};
    ifinfomsg info{};
    if (answer.size() < kFixed) continue;
    std::memcpy(&header, answer.data(), sizeof(header));
    std::memcpy(&info, answer.data() + sizeof(header), sizeof(info));
    const Bytes attributes = Bytes(answer).subspan(kFixed);
    if (header.nlmsg_type != RTM_NEWLINK || BorrowsItsMac(attributes)) continue;
    for (const uint16_t type : {uint16_t{IFLA_ADDRESS}, kPermanent}) {
      const Bytes address = FindAttribute(attributes, type);
      if (!std::equal(address.begin(), address.end(), mac.begin(), mac.end())) continue;
      found.push_back(static_cast<uint32_t>(info.ifi_index));
      break;
    }
  }
  return found;
}

std::vector<WireAddress> AddressesOn(KernelNetlink* route, uint32_t ifindex) {
  std::vector<WireAddress> found;
  const auto answers = route->Ask(Begin(route, RTM_GETADDR, NLM_F_DUMP, ifaddrmsg{}).Finish());
  if (!answers) return found;
  constexpr std::size_t kFixed = netlink::kHeaderSize + sizeof(ifaddrmsg);
  for (const netlink::Buffer& answer : *answers) {
    nlmsghdr header{};
    ifaddrmsg info{};
    if (answer.size() < kFixed) continue;
    std::memcpy(&header, answer.data(), sizeof(header));
    std::memcpy(&info, answer.data() + sizeof(header), sizeof(info));
    if (header.nlmsg_type != RTM_NEWADDR || info.ifa_index != ifindex) continue;
    found.push_back(ReadAddress(info, Bytes(answer).subspan(kFixed)));
  }
  return found;
}

std::string AddressesByPeople(KernelNetlink* route, uint32_t ifindex) {
  std::string list;
  for (const WireAddress& address : AddressesOn(route, ifindex)) {
    char text[INET6_ADDRSTRLEN] = "?";
    if (address.by_kernel) continue;
    inet_ntop(address.family, address.bytes.data(), text, sizeof(text));
    list += (list.empty() ? "" : ", ") + std::string(text);
  }
  return list;
}

void RemoveKernelAddresses(KernelNetlink* route, uint32_t ifindex) {
  for (const WireAddress& address : AddressesOn(route, ifindex)) {
    if (!address.by_kernel) continue;
    ifaddrmsg info{};
    info.ifa_family = address.family;
    info.ifa_prefixlen = address.prefix;
    info.ifa_index = ifindex;
    MessageBuilder builder = Begin(route, RTM_DELADDR, NLM_F_ACK, info);
    builder.AttributeBytes(IFA_ADDRESS, address.bytes);
    builder.AttributeBytes(IFA_LOCAL, address.bytes);
    // Failure is fine: the address is gone.
    (void)route->Send(std::move(builder).Finish(), "address");
  }
}

void QuietIpv6(KernelNetlink* route, const std::string& wire, uint32_t ifindex) {
  ifinfomsg info{};
  info.ifi_index = static_cast<int>(ifindex);
  MessageBuilder builder = Begin(route, RTM_SETLINK, NLM_F_ACK, info);
  const std::size_t spec = builder.BeginNest(IFLA_AF_SPEC);
  const std::size_t v6 = builder.BeginNest(AF_INET6);
  builder.Attribute(IFLA_INET6_ADDR_GEN_MODE, uint8_t{IN6_ADDR_GEN_MODE_NONE});
  builder.EndNest(v6);
  builder.EndNest(spec);
  // Fails on a kernel without IPv6, where nothing needs to be stopped.
  (void)route->Send(std::move(builder).Finish(), "addr_gen_mode");
  for (const Setting& setting : kIpv6Settings) {
    if (ReadSettingOf(wire, setting.name) != setting.quiet) {
      (void)WriteSetting(wire, setting.name, setting.quiet);
    }
  }
  RemoveKernelAddresses(route, ifindex);
  if (AddressesByPeople(route, ifindex).empty() && ReadSettingOf(wire, kDisableIpv6) != "1") {
    (void)WriteSetting(wire, kDisableIpv6, "1");
  }
}

void DefaultIpv6(const std::string& wire) {
  for (const Setting& setting : kIpv6Settings) {
    (void)WriteSetting(wire, setting.name, ReadSettingOf("default", setting.name));
  }
  (void)WriteSetting(wire, kDisableIpv6, ReadSettingOf("default", kDisableIpv6));
}

bool IsUp(const std::string& wire) {
  const UniqueFd fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  ifreq request{};
  std::strncpy(request.ifr_name, wire.c_str(), IFNAMSIZ - 1);
  return ioctl(fd.get(), SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & IFF_UP) != 0;
}

Status BringDown(KernelNetlink* route, uint32_t ifindex) { return SetFlags(route, ifindex, 0); }

Status BringUp(KernelNetlink* route, uint32_t ifindex) { return SetFlags(route, ifindex, IFF_UP); }

}  // namespace cygnet
