#include "control/tunnel_requests.h"

#include <linux/rtnetlink.h>
#include <net/if.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "netlink/kernel_netlink.h"
#include "netlink/tunnel_mark.h"

namespace cygnet {
namespace {

constexpr uint32_t kLoopback = 1;  // the ifindex of lo in every network namespace

// Sends RTM_NEWLINK (flags and attributes of any interface) or RTM_DELLINK to the kernel.
Status TellKernel(uint16_t type, const ifinfomsg& link, std::span<const uint8_t> attributes,
                  const std::string& name) {
  auto route = KernelNetlink::Open(NETLINK_ROUTE);
  if (!route) return route.error();
  netlink::MessageBuilder message = Begin(&*route, type, NLM_F_ACK, link);
  message.PutBytes(attributes);
  return route->Send(std::move(message).Finish(), name.c_str());
}

ifinfomsg InterfaceAt(int32_t ifindex) {
  ifinfomsg link{};
  link.ifi_family = AF_UNSPEC;
  link.ifi_index = ifindex;
  return link;
}

Status SetFlags(int32_t ifindex, const LinkRequest& request, const std::string& name) {
  ifinfomsg link = InterfaceAt(ifindex);
  link.ifi_flags = request.flags;
  link.ifi_change = request.flags_change;
  return TellKernel(RTM_NEWLINK, link, request.rest, name);
}

// As dev_valid_name() of the kernel, but only what logs and terminals can show. A pattern for the
// kernel to fill in ("ipsec%d") is not a name.
bool IsName(const std::string& name) {
  const bool shown = std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return c > ' ' && c <= '~' && c != '/' && c != ':' && c != '%';
  });
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." && shown;
}

std::string NameAt(uint32_t ifindex) {
  char name[IF_NAMESIZE];
  return if_indextoname(ifindex, name) != nullptr ? name : std::string{};
}

// A word of the mark.
std::string Word(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c <= ' ' || c > '~' || c == '='; },
      '_');
  return text;
}

// Of those that suspect(spec, ifindex) names, those without an interface.
template <typename Suspect>
void ForgetDeleted(TunnelControl* tunnels, Suspect suspect) {
  for (const std::string& name : tunnels->Deleted(suspect)) {
    const bool configured = tunnels->Named(name)->made_by.empty();
    Log(LogLevel::kWarning, "tunnel " + name +
                                ": its interface was deleted; policies and SAs that need it block" +
                                (configured ? ": start cygnetd again to have it back" : ""));
    (void)tunnels->Remove(name);
  }
}

}  // namespace

// --- Requests ---

const TunnelSpec* TunnelRequests::Find(const LinkRequest& request) const {
  return request.ifindex != 0 ? parts_.tunnels->At(request.ifindex)
                              : parts_.tunnels->Named(request.name);
}

Status TunnelRequests::NewLink(const LinkRequest& request, const std::string& by) {
  if (request.kind != "xfrm") {
    return MakeError(Errc::kNotSupported, "Kind " + Word(request.kind) +
                                              " is not supported here: use kind xfrm, or a "
                                              "[[tunnel]] with a mark in cygnetd.toml");
  }
  // The kernel's event may not be read yet; of another network namespace, none comes.
  ForgetDeleted(parts_.tunnels, [&request](const TunnelSpec& spec, int32_t) {
    return spec.name == request.name || spec.if_id == request.if_id;
  });
  if (const TunnelSpec* spec = Find(request)) {
    if (request.create && request.exclusive) {
      return MakeError(Errc::kExists, spec->name + " exists, with " + IdentityOf(*spec));
    }
    return Change(request, *spec);
  }
  const std::string other = request.ifindex != 0
                                ? NameAt(static_cast<uint32_t>(request.ifindex))
                                : (if_nametoindex(request.name.c_str()) != 0 ? request.name : "");
  if (!other.empty()) {
    return MakeError(request.create && request.exclusive ? Errc::kExists : Errc::kNotSupported,
                     other + " is an interface of another kind");
  }
  if (!request.create) return MakeError(Errc::kNoDevice);
  if (request.ifindex != 0) {
    return MakeError(Errc::kNotSupported, "The index of a tunnel interface cannot be chosen");
  }
  return Create(request, by);
}

Status TunnelRequests::Change(const LinkRequest& request, const TunnelSpec& spec) {
  const bool other_id = request.if_id.has_value() && *request.if_id != spec.if_id;
  bool other_device = false;
  if (request.link != 0) {
    const auto device = DeviceFor(request.link);
    if (!device) return device.error();
    other_device = !device->empty() && *device != spec.device;
  }
  if (other_id || other_device || request.external) {
    return MakeError(Errc::kNotSupported, spec.name +
                                              ": if_id and dev of a tunnel interface cannot "
                                              "be changed: delete it and add it again");
  }
  return SetFlags(IfindexOf(spec.name), request, spec.name);
}

Status TunnelRequests::Create(const LinkRequest& request, const std::string& by) {
  if (request.external) {
    return MakeError(Errc::kNotSupported,
                     "external is not supported: make one interface for each if_id");
  }
  if (request.if_id.value_or(0) == 0) {
    return MakeError(Errc::kInvalid, "if_id must be non zero");  // the kernel's text
  }
  std::size_t made = 0;
  parts_.tunnels->ForEach(
      [&made](const TunnelSpec& spec, int32_t) { made += spec.made_by.empty() ? 0 : 1; });
  if (made >= kMost) {
    return MakeError(Errc::kNoSpace,
                     "Clients have " + std::to_string(kMost) +
                         " tunnel interfaces, which is the most: use [[tunnel]] in cygnetd.toml");
  }
  const auto name = ChooseName(request.name);
  if (!name) return name.error();
  const auto device = DeviceFor(request.link);
  if (!device) return device.error();
  const TunnelSpec spec{.name = *name,
                        .if_id = *request.if_id,
                        .device = *device,
                        .mtu = request.mtu,
                        .persist = true,
                        .made_by = Word(by)};
  CYGNET_RETURN_IF_ERROR(Add(spec));
  if (const Status set = SetFlags(IfindexOf(spec.name), request, spec.name); !set) {
    (void)Delete(spec.name);
    return set;
  }
  Log(LogLevel::kInfo,
      "tunnel " + spec.name + ": made for " + spec.made_by + ", " + IdentityOf(spec));
  return {};
}

Status TunnelRequests::DeleteLink(const LinkRequest& request) {
  const TunnelSpec* spec = Find(request);
  if (spec == nullptr) return MakeError(Errc::kNoDevice);
  if (spec->made_by.empty()) {
    return MakeError(Errc::kNotSupported,
                     spec->name + " is a [[tunnel]] of cygnetd.toml: remove it there");
  }
  return Delete(std::string(spec->name));
}

// --- Interfaces ---

Result<std::string> TunnelRequests::ChooseName(const std::string& wanted) const {
  if (IsName(wanted)) return wanted;
  if (!wanted.empty()) {
    return MakeError(Errc::kInvalid, "\"" + Word(wanted) + "\" is not a name of an interface");
  }
  for (std::size_t i = 0; i <= kMost; ++i) {
    std::string name = "xfrm" + std::to_string(i);
    if (if_nametoindex(name.c_str()) == 0 && parts_.tunnels->Named(name) == nullptr) return name;
  }
  return MakeError(Errc::kExists);
}

// The name of the device, empty for the first one. lo stands for no interface, as in the probe of
// libreswan and in many set-ups.
Result<std::string> TunnelRequests::DeviceFor(uint32_t link) const {
  if (link == 0 || link == kLoopback) return std::string{};
  const auto ifindex = static_cast<int32_t>(link);
  if (const auto number = parts_.own_devices->NumberOf(ifindex)) return parts_.devices[*number];
  const std::string name = NameAt(link);
  if (name.empty()) return MakeError(Errc::kNoDevice, "dev does not exist");
  return MakeError(Errc::kNotSupported,
                   "dev " + name +
                       " is not the host side of a device of Cygnet's (see cygnet "
                       "device): policies and SAs of this program never reach it");
}

Status TunnelRequests::Add(const TunnelSpec& spec) {
  CYGNET_RETURN_IF_ERROR(parts_.tunnels->Add(spec));
  const Status marked = Mark(spec);
  if (!marked) (void)Delete(spec.name);
  return marked;
}

Status TunnelRequests::AddConfigured(const TunnelSpec& spec) {
  CYGNET_RETURN_IF_ERROR(parts_.tunnels->Add(spec));
  return Mark(spec);
}

Status TunnelRequests::Mark(const TunnelSpec& spec) const {
  if (parts_.network == nullptr) return {};
  if (spec.if_id == 0 && !spec.persist) return {};
  std::string mark(1, '\0');  // removes that of an earlier configuration
  if (spec.if_id != 0) {
    const auto device = std::find(parts_.devices.begin(), parts_.devices.end(), spec.device);
    const auto number = device == parts_.devices.end()
                            ? std::size_t{0}
                            : static_cast<std::size_t>(device - parts_.devices.begin());
    mark = std::string(kTunnelMarkWord) + " if_id=" + std::to_string(spec.if_id) +
           " link=" + std::to_string(parts_.own_devices->ifindex(number));
    if (!spec.device.empty()) mark += " dev=" + spec.device;
    if (!spec.made_by.empty()) mark += " by=" + spec.made_by;
  }
  return parts_.network->SetAlias(IfindexOf(spec.name), mark);
}

int32_t TunnelRequests::IfindexOf(const std::string& name) const {
  int32_t found = 0;
  parts_.tunnels->ForEach([&](const TunnelSpec& spec, int32_t ifindex) {
    if (spec.name == name) found = ifindex;
  });
  return found;
}

// The interface last: the host's packets find a policy or nothing, never another way.
Status TunnelRequests::Delete(const std::string& name) {
  const int32_t ifindex = IfindexOf(name);
  CYGNET_RETURN_IF_ERROR(parts_.tunnels->Remove(name));
  Log(LogLevel::kInfo, "tunnel " + name + ": deleted");
  return TellKernel(RTM_DELLINK, InterfaceAt(ifindex), {}, name);
}

// --- Life ---

void TunnelRequests::Adopt() {
  if (parts_.links == nullptr) return;
  std::size_t adopted = 0;
  for (const HostLink& link : parts_.links->Links()) {
    TunnelMark mark;
    if (link.kind != "tun" || !ParseTunnelMark(link.alias, &mark) || mark.by.empty()) continue;
    if (parts_.tunnels->Named(link.name) != nullptr) continue;  // the configuration has it now
    const TunnelSpec spec{.name = link.name,
                          .if_id = mark.if_id,
                          .device = std::string(mark.device),
                          .mtu = link.mtu,
                          .persist = true,
                          .made_by = std::string(mark.by)};
    Status taken = Add(spec);
    if (taken && !link.up) {
      taken = SetFlags(link.ifindex, {.flags_change = IFF_UP}, link.name);
    }
    adopted += taken ? 1 : 0;
    if (!taken) {
      Log(LogLevel::kWarning, "tunnel " + link.name + " of " + spec.made_by + ": " +
                                  taken.error().message + "; to remove it: ip link del " +
                                  link.name);
    }
  }
  if (adopted != 0) {
    Log(LogLevel::kInfo, std::to_string(adopted) + " tunnel interfaces that clients made before");
  }
}

void TunnelRequests::Tick() {
  ForgetDeleted(parts_.tunnels, [](const TunnelSpec&, int32_t) { return false; });
}

void TunnelRequests::OnLinkChanges(const LinkChanges& changes) {
  if (changes.gone.empty() && !changes.lost) return;
  ForgetDeleted(parts_.tunnels, [&changes](const TunnelSpec&, int32_t ifindex) {
    return changes.lost ||
           std::find(changes.gone.begin(), changes.gone.end(), ifindex) != changes.gone.end();
  });
}

}  // namespace cygnet
