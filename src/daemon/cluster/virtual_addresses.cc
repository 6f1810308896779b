#include "daemon/cluster/virtual_addresses.h"

#include <linux/if_packet.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/errno_error.h"
#include "daemon/cluster/announcement.h"
#include "netlink/builder.h"

namespace cygnet {
namespace {

constexpr uint64_t kMs = 1'000'000;
// A frame may get lost, and a switch may still learn the port: three times in a second.
constexpr uint64_t kAnnounceAfterNs[] = {100 * kMs, 900 * kMs};
constexpr uint64_t kCheckEachNs = 1000 * kMs;
// While an interface is not there, or down.
constexpr uint64_t kWaitNs = 100 * kMs;

std::span<const uint8_t> BytesOf(const VirtualAddress& address) {
  return {address.address.bytes.data(), AddressBits(address.family) / 8};
}

Error NoDevice(const VirtualAddress& address) {
  return MakeError(Errc::kNoDevice, ToString(address) + ": there is no such interface");
}

// nullopt: not an Ethernet interface.
std::optional<MacAddress> MacOf(int fd, const std::string& device) {
  ifreq request{};
  std::memcpy(request.ifr_name, device.data(), std::min<std::size_t>(device.size(), IFNAMSIZ - 1));
  if (ioctl(fd, SIOCGIFHWADDR, &request) != 0) return std::nullopt;
  constexpr unsigned short kEthernet = 1;  // ARPHRD_ETHER
  if (request.ifr_hwaddr.sa_family != kEthernet) return std::nullopt;
  MacAddress mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return mac;
}

bool IsUp(int fd, const std::string& device) {
  ifreq request{};
  std::memcpy(request.ifr_name, device.data(), std::min<std::size_t>(device.size(), IFNAMSIZ - 1));
  constexpr int kUp = IFF_UP | IFF_RUNNING;
  return ioctl(fd, SIOCGIFFLAGS, &request) == 0 && (request.ifr_flags & kUp) == kUp;
}

void SendFrame(int fd, int ifindex, std::span<const uint8_t> frame) {
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = ifindex;
  to.sll_halen = 6;
  std::memcpy(to.sll_addr, frame.data(), 6);
  // What is lost here, the next announcement repeats.
  (void)sendto(fd, frame.data(), frame.size(), MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&to),
               sizeof(to));
}

netlink::MessageBuilder About(KernelNetlink* route, uint16_t type, uint16_t flags,
                              const VirtualAddress& address, unsigned ifindex) {
  ifaddrmsg fixed{};
  fixed.ifa_family = static_cast<uint8_t>(address.family);
  fixed.ifa_prefixlen = address.bits;
  fixed.ifa_index = ifindex;
  netlink::MessageBuilder builder =
      Begin(route, type, static_cast<uint16_t>(NLM_F_ACK | flags), fixed);
  builder.AttributeBytes(IFA_LOCAL, BytesOf(address));
  builder.AttributeBytes(IFA_ADDRESS, BytesOf(address));
  return builder;
}

}  // namespace

Result<VirtualAddresses> VirtualAddresses::Open(const std::vector<ClusterGroupConfig>& groups) {
  auto route = KernelNetlink::Open(NETLINK_ROUTE);
  if (!route) return route.error();
  // Protocol 0: it sends, and receives nothing.
  UniqueFd packets(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!packets.valid()) return ErrnoError("open a socket to announce virtual addresses");
  VirtualAddresses opened(*std::move(route), std::move(packets));
  for (const ClusterGroupConfig& config : groups) {
    Group group;
    for (const std::string& text : config.addresses) {
      auto address = ParseVirtualAddress(text);
      if (!address) return address.error();
      group.addresses.push_back(*std::move(address));
    }
    opened.groups_.push_back(std::move(group));
  }
  return opened;
}

Status VirtualAddresses::Up(GroupId id, uint64_t now_ns) {
  Group& group = groups_[id - 1];
  group.is_up = true;
  group.announced = 0;
  const Status status = AddAll(&group, now_ns);
  Announce(&group, now_ns);
  return status;
}

Status VirtualAddresses::UpFirst(GroupId id,
                                 const std::function<bool(const std::string& device)>& is_first) {
  Status status;
  for (const VirtualAddress& address : groups_[id - 1].addresses) {
    if (!is_first(address.device)) continue;
    const auto added = Add(address);
    if (!added) status = added.error();
    AnnounceOne(address);
  }
  return status;
}

Status VirtualAddresses::Down(GroupId id) {
  Group& group = groups_[id - 1];
  group.is_up = group.is_ready = false;
  Status status;
  for (const VirtualAddress& address : group.addresses) {
    const Status removed = Remove(address);
    if (!removed && status.has_value()) status = removed;
  }
  return status;
}

Status VirtualAddresses::Tick(uint64_t now_ns) {
  Status status;
  for (Group& group : groups_) {
    if (!group.is_up) continue;
    if (now_ns >= group.check_ns) {
      const Status checked = AddAll(&group, now_ns);
      if (!checked) status = checked;
    }
    if (group.announced <= std::size(kAnnounceAfterNs) && now_ns >= group.next_ns) {
      Announce(&group, now_ns);
    }
  }
  return status;
}

Status VirtualAddresses::AddAll(Group* group, uint64_t now_ns) {
  group->check_ns = now_ns + kCheckEachNs;
  Status status;
  bool is_ready = true;
  for (const VirtualAddress& address : group->addresses) {
    const auto added = Add(address);
    if (!added) status = added.error();
    is_ready = is_ready && added && IsUp(packets_.get(), address.device);
    if (added && *added) AnnounceAnew(group, now_ns);
  }
  if (!is_ready) group->check_ns = now_ns + kWaitNs;
  // The neighbours of an interface that comes up have heard nothing.
  if (is_ready && !std::exchange(group->is_ready, is_ready)) AnnounceAnew(group, now_ns);
  group->is_ready = is_ready;
  return status;
}

void VirtualAddresses::AnnounceAnew(Group* group, uint64_t now_ns) {
  group->announced = 0;
  group->next_ns = now_ns;
}

// False: it was there.
Result<bool> VirtualAddresses::Add(const VirtualAddress& address) {
  const unsigned ifindex = if_nametoindex(address.device.c_str());
  if (ifindex == 0) return NoDevice(address);
  auto builder = About(&route_, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, address, ifindex);
  if (address.family == IpFamily::kV6) {
    // The owner before may still answer for it: detection of duplicates would block it here.
    builder.Attribute(IFA_FLAGS, uint32_t{IFA_F_NODAD});
  }
  const Status status =
      route_.Send(std::move(builder).Finish(), ("add " + ToString(address)).c_str());
  if (status) return true;
  if (status.error().code == Errc::kExists) return false;
  return status.error();
}

Status VirtualAddresses::Remove(const VirtualAddress& address) {
  const unsigned ifindex = if_nametoindex(address.device.c_str());
  if (ifindex == 0) return {};
  const auto builder_done = About(&route_, RTM_DELADDR, 0, address, ifindex).Finish();
  const Status status = route_.Send(builder_done, ("remove " + ToString(address)).c_str());
  if (!status && static_cast<int>(status.error().code) == EADDRNOTAVAIL) return {};
  return status;
}

void VirtualAddresses::AnnounceOne(const VirtualAddress& address) {
  const auto mac = MacOf(packets_.get(), address.device);
  if (!mac.has_value()) return;
  const auto ifindex = static_cast<int>(if_nametoindex(address.device.c_str()));
  for (const std::vector<uint8_t>& frame : AnnouncementsOf(address, *mac)) {
    SendFrame(packets_.get(), ifindex, frame);
  }
}

void VirtualAddresses::Announce(Group* group, uint64_t now_ns) {
  for (const VirtualAddress& address : group->addresses) AnnounceOne(address);
  if (group->announced < std::size(kAnnounceAfterNs)) {
    group->next_ns = now_ns + kAnnounceAfterNs[group->announced];
  }
  ++group->announced;
}

}  // namespace cygnet
