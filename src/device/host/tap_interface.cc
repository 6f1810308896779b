#include "device/host/tap_interface.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if_arp.h>
#include <sys/stat.h>

#include "base/errno_error.h"
#include "device/host/host_link.h"
#include "device/host/virtio_header.h"

namespace cygnet {
namespace {

bool Exists(const NamedInterface& link) {
  ifreq request = link.Request();
  return link.Call(SIOCGIFINDEX, &request);
}

// "tap", "tun", or empty for other kinds.
std::string KindOf(const NamedInterface& link) {
  ethtool_drvinfo info{};
  info.cmd = ETHTOOL_GDRVINFO;
  if (!link.Ethtool(&info) || std::string(info.driver) != "tun") return {};
  return info.bus_info;
}

// REQUIRES: it is up.
bool HasCarrier(const NamedInterface& link) {
  ethtool_value value{.cmd = ETHTOOL_GLINK, .data = 0};
  return link.Ethtool(&value) && value.data != 0;
}

std::string_view KindOf(const TapParams& params) {
  return params.layer == HostLayer::kIp ? "tun" : "tap";
}

int FlagsOf(const TapParams& params) {
  return (params.layer == HostLayer::kIp ? IFF_TUN : IFF_TAP) | IFF_NO_PI | IFF_VNET_HDR;
}

// Returns why an existing interface cannot be reused.
Status CheckExisting(const NamedInterface& link, const TapParams& params) {
  const std::string name = "interface " + params.name;
  if (KindOf(link) != KindOf(params)) {
    const char* kind = params.layer == HostLayer::kIp ? "TUN" : "TAP";
    return MakeError(Errc::kExists, name + " exists already and is not a " + kind + " interface");
  }
  if (!params.persist) {
    return MakeError(Errc::kExists,
                     name + " exists already: set persist = true to reuse it, or remove it with " +
                         "`ip link del " + params.name + "`");
  }
  if (!link.BringUp()) return ErrnoError("set " + params.name + " up");
  if (HasCarrier(link)) {
    return MakeError(Errc::kBusy, name + ": another program has it open");
  }
  return {};
}

// UDP super-packets: since Linux 6.2; without them the kernel cuts before it hands over.
bool AcceptSuperPackets(int fd) {
  constexpr unsigned kUdp4 = 0x20;  // TUN_F_USO4 and TUN_F_USO6, which Debian 12 does not define
  constexpr unsigned kUdp6 = 0x40;
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  return ioctl(fd, TUNSETOFFLOAD, kTcp | kUdp4 | kUdp6) == 0 || ioctl(fd, TUNSETOFFLOAD, kTcp) == 0;
}

Result<UniqueFd> OpenQueue(const TapParams& params, bool many) {
  UniqueFd fd(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError("open /dev/net/tun");
  ifreq request{};
  std::memcpy(request.ifr_name, params.name.data(), params.name.size());
  request.ifr_flags = static_cast<short>(FlagsOf(params) | (many ? IFF_MULTI_QUEUE : 0));
  if (ioctl(fd.get(), TUNSETIFF, &request) != 0) {
    return ErrnoError("create interface " + params.name);
  }
  const int header = kVirtioHeader;
  if (ioctl(fd.get(), TUNSETVNETHDRSZ, &header) != 0) return ErrnoError("TUNSETVNETHDRSZ");
  if (!AcceptSuperPackets(fd.get())) return ErrnoError("TUNSETOFFLOAD");
  return fd;
}

Result<std::vector<UniqueFd>> OpenQueues(const TapParams& params, bool existing) {
  // A persistent interface must work with any number of workers.
  bool many = params.queues > 1 || params.persist;
  std::vector<UniqueFd> queues;
  while (queues.size() < params.queues) {
    Result<UniqueFd> fd = OpenQueue(params, many);
    if (fd) {
      queues.push_back(*std::move(fd));
    } else if (existing && queues.empty() && many && fd.error().code == Errc::kInvalid) {
      if (params.queues > 1) {
        return MakeError(Errc::kInvalid, "interface " + params.name +
                                             " has one queue, but each worker needs one: " +
                                             "remove it with `ip link del " + params.name + "`");
      }
      many = false;
    } else {
      return fd.error();
    }
  }
  return queues;
}

Status SetMac(const NamedInterface& link, const MacAddress& mac) {
  ifreq request = link.Request();
  if (link.Call(SIOCGIFHWADDR, &request) &&
      std::memcmp(request.ifr_hwaddr.sa_data, mac.data(), mac.size()) == 0) {
    return {};  // keeps the neighbours that the host knows
  }
  request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(request.ifr_hwaddr.sa_data, mac.data(), mac.size());
  if (!link.Call(SIOCSIFHWADDR, &request)) return ErrnoError("set MAC address");
  return {};
}

// Address, MTU, state.
Result<int> Configure(const NamedInterface& link, const TapParams& params) {
  if (params.layer == HostLayer::kEthernet) {
    CYGNET_RETURN_IF_ERROR(SetMac(link, params.mac));
  }
  ifreq request = link.Request();
  request.ifr_mtu = static_cast<int>(params.mtu);
  if (!link.Call(SIOCSIFMTU, &request)) return ErrnoError("set MTU");
  request = link.Request();
  if (!link.Call(SIOCGIFINDEX, &request)) return ErrnoError("interface index");
  const int ifindex = request.ifr_ifindex;
  if (params.state == HostState::kUp && !link.BringUp()) return ErrnoError("set link up");
  return ifindex;
}

std::string NameOf(const TapParams& params, uint32_t queue) {
  return std::string(KindOf(params)) + "-" + params.name + "-" + std::to_string(queue);
}

// It is a queue of this interface, which nobody has removed or renamed.
bool IsQueueOf(const TapParams& params, int fd) {
  ifreq request{};
  if (ioctl(fd, TUNGETIFF, &request) != 0) return false;
  const int flags = FlagsOf(params);
  return (request.ifr_flags & flags) == flags && params.name == request.ifr_name;
}

// The queues that an earlier process left. Empty: there are none, or they do not fit the
// configuration and are closed everywhere.
std::vector<UniqueFd> TakeQueues(const TapParams& params) {
  std::vector<UniqueFd> queues;
  if (params.keeper == nullptr) return queues;
  bool fit = true;
  uint32_t found = 0;
  for (;; ++found) {
    UniqueFd fd = params.keeper->Take(NameOf(params, found));
    if (!fd.valid()) break;
    fit = fit && IsQueueOf(params, fd.get());
    queues.push_back(std::move(fd));
  }
  if (fit && found == params.queues) return queues;
  queues.clear();
  for (uint32_t i = 0; i < found; ++i) params.keeper->Discard(NameOf(params, i));
  return queues;
}

Result<std::vector<UniqueFd>> MakeQueues(const NamedInterface& link, const TapParams& params) {
  const bool existing = Exists(link);
  if (existing) CYGNET_RETURN_IF_ERROR(CheckExisting(link, params));
  auto queues = OpenQueues(params, existing);
  if (!queues || params.keeper == nullptr) return queues;
  for (uint32_t i = 0; i < params.queues; ++i) {
    params.keeper->Keep(NameOf(params, i), (*queues)[i].get());
  }
  return queues;
}

}  // namespace

Result<TapInterface> OpenTapInterface(const TapParams& params) {
  const NamedInterface link(params.name);
  Result<std::vector<UniqueFd>> queues = TakeQueues(params);
  if (queues->empty()) queues = MakeQueues(link, params);
  if (!queues) return queues.error();
  const auto ifindex = Configure(link, params);
  if (!ifindex) return ifindex.error();
  return TapInterface{.queues = *std::move(queues), .ifindex = *ifindex};
}

Status SetMacAddress(const std::string& interface, const MacAddress& mac) {
  return SetMac(NamedInterface(interface), mac);
}

int IfindexHere(int queue) {
  const UniqueFd where(ioctl(queue, TUNGETDEVNETNS));
  const UniqueFd here(open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC));
  struct stat a {};
  struct stat b {};
  if (!where.valid() || fstat(where.get(), &a) != 0 || !here.valid() ||
      fstat(here.get(), &b) != 0 || a.st_dev != b.st_dev || a.st_ino != b.st_ino) {
    return 0;
  }
  ifreq request{};
  if (ioctl(queue, TUNGETIFF, &request) != 0) return 0;
  const NamedInterface link(request.ifr_name);
  request = link.Request();
  return link.Call(SIOCGIFINDEX, &request) ? request.ifr_ifindex : 0;
}

HostPresence PresenceOf(int queue, int ifindex) {
  ifreq request{};
  if (ioctl(queue, TUNGETIFF, &request) != 0) return HostPresence::kRemoved;
  const NamedInterface here(request.ifr_name);
  request = here.Request();
  const bool found = here.Call(SIOCGIFINDEX, &request) && request.ifr_ifindex == ifindex;
  return found ? HostPresence::kPresent : HostPresence::kElsewhere;
}

std::string_view Name(HostPresence presence) {
  switch (presence) {
    case HostPresence::kPresent:
      return "present";
    case HostPresence::kRemoved:
      return "removed";
    case HostPresence::kElsewhere:
      break;
  }
  return "elsewhere";
}

std::string Explain(HostPresence presence, const std::string& name) {
  switch (presence) {
    case HostPresence::kPresent:
      return "interface " + name + " is there";
    case HostPresence::kRemoved:
      return "interface " + name +
             " was removed: no traffic to or from the host until cygnetd is restarted";
    case HostPresence::kElsewhere:
      break;
  }
  return "interface " + name +
         " is in another network namespace, or came back from one: cygnetd does not see its "
         "addresses, routes and neighbours until it is restarted";
}

Status KeepTapInterface(int queue) {
  if (ioctl(queue, TUNSETPERSIST, 1) != 0) return ErrnoError("TUNSETPERSIST");
  return {};
}

}  // namespace cygnet
