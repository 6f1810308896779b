#include "control/host_way.h"

#include <algorithm>
#include <utility>

#include "control/host_rules.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

bool IsLoopback(const ParsedAddress& a) {
  if (a.family == IpFamily::kV4) return a.address.bytes[0] == 127;
  IpAddress one;
  one.bytes[15] = 1;
  return a.address == one;
}

bool IsLinkLocal(const ParsedAddress& a) {
  return a.family == IpFamily::kV6 && a.address.bytes[0] == 0xfe &&
         (a.address.bytes[1] & 0xc0) == 0x80;
}

class Finder {
 public:
  Finder(const HostQuestions& host, const MtuQuery& query)
      : host_(host), query_(query), own_(host.own_addresses()), links_(host.links()) {}

  Result<HostWay> Find();

 private:
  bool IsOwn(const ParsedAddress& address) const {
    return std::any_of(own_.begin(), own_.end(), [&](const ParsedAddress& own) {
      return own.family == address.family && own.address == address.address;
    });
  }
  const HostLink* LinkAt(int32_t ifindex) const {
    const auto found = std::find_if(links_.begin(), links_.end(),
                                    [&](const HostLink& link) { return link.ifindex == ifindex; });
    return found == links_.end() ? nullptr : &*found;
  }
  std::string NameOf(int32_t ifindex) const {
    const HostLink* link = LinkAt(ifindex);
    return link == nullptr ? "interface " + std::to_string(ifindex) : link->name;
  }
  Status CheckQuery() const;
  Status FindEntry();
  bool Drops(std::string text) {
    way_.outcome = HostWay::Outcome::kDrops;
    way_.text = std::move(text);
    return true;
  }
  bool Keeps(std::string text) {
    way_.outcome = HostWay::Outcome::kKeeps;
    way_.text = std::move(text);
    return true;
  }
  bool StopsAtAddresses();
  bool StopsAtKind(const RouteAnswer& answer);
  bool StopsAtForwarding(const RouteAnswer& answer);
  std::string WhyInvalid() const;
  bool StopsAtLink(const RouteAnswer& answer);
  void SetMtu(const RouteAnswer& answer);
  void LookAtRules(const RouteAnswer& answer);

  const HostQuestions& host_;
  const MtuQuery& query_;
  const std::vector<ParsedAddress> own_;
  const std::vector<HostLink> links_;
  RouteQuestion question_{};
  HostWay way_{};
};

Status Finder::CheckQuery() const {
  if (NeedsInterface(query_.dst) && query_.ifindex == 0 && query_.iif.empty() &&
      !IsOwn(query_.dst)) {
    return MakeError(Errc::kInvalid,
                     "dev: " + ToString(query_.dst.address, query_.dst.family) +
                         " is there on every link; pass \"dev NAME\" of the one it leaves by");
  }
  if (!query_.src.has_value()) {
    if (query_.iif.empty()) return {};
    return MakeError(Errc::kInvalid, "src: must name the host whose packet comes in by the iif");
  }
  if (!IsOneHost(query_.src->address, query_.src->family) && !IsLoopback(*query_.src)) {
    return MakeError(Errc::kInvalid, "src: must be the address of one host");
  }
  if (!query_.iif.empty() && (IsOwn(*query_.src) || IsLoopback(*query_.src))) {
    return MakeError(Errc::kInvalid, "iif: src is an address of this host, which sends it itself");
  }
  return {};
}

// Where another host's packet comes in: as given, or where the host's route back leads.
Status Finder::FindEntry() {
  if (!query_.iif.empty()) {
    const auto found = std::find_if(links_.begin(), links_.end(),
                                    [&](const HostLink& link) { return link.name == query_.iif; });
    if (found == links_.end()) {
      return MakeError(Errc::kNoDevice, "iif: this host has no interface \"" + query_.iif + "\"");
    }
    way_.came_by = found->ifindex;
  } else {
    const RouteAnswer back =
        host_.route({.daddr = query_.src->address, .family = query_.src->family});
    if (back.kind != RouteKind::kUnicast) {
      return MakeError(Errc::kInvalid,
                       "iif: src is not an address of this host, and the host has no route back to "
                       "it, which would tell where it comes in; pass \"iif NAME\"");
    }
    way_.came_by = back.ifindex;
  }
  way_.came_name = NameOf(way_.came_by);
  return {};
}

// What addresses alone decide.
bool Finder::StopsAtAddresses() {
  const ParsedAddress& to = query_.dst;
  if (IsLoopback(to)) {
    if (way_.came_by != 0) return Drops("no packet to a loopback address comes by a wire");
    return Keeps("it is a loopback address, which stays in this host");
  }
  if (IsOwn(to)) return Keeps("it is an address of this host");
  if (query_.src.has_value() && IsLoopback(*query_.src)) {
    return Drops("a packet from a loopback address does not leave this host");
  }
  if (way_.came_by == 0) return false;
  if (IsLinkLocal(to) || IsLinkLocal(*query_.src)) {
    return Drops("link-local addresses are not forwarded");
  }
  return false;
}

// The host's answer to an address that may not be there, or to a route of type blackhole.
std::string Finder::WhyInvalid() const {
  if (way_.came_by != 0 && query_.dst.family == IpFamily::kV4) {
    const int filter = host_.forwarding(IpFamily::kV4, way_.came_by).reverse_path;
    const RouteAnswer back = host_.route({.daddr = query_.src->address, .family = IpFamily::kV4});
    const bool routed = back.kind == RouteKind::kUnicast;
    if (filter != 0 && !routed) {
      return "the reverse path filter (rp_filter) of " + way_.came_name +
             " drops it: the host has no route back to its source";
    }
    if (filter == 1 && back.ifindex != way_.came_by) {
      return "the strict reverse path filter (rp_filter 1) of " + way_.came_name +
             " drops it: the route back to its source leads to " + NameOf(back.ifindex);
    }
  }
  return "a route of type blackhole applies, or the host does not accept its addresses";
}

// True: it does not go on.
bool Finder::StopsAtKind(const RouteAnswer& answer) {
  switch (answer.kind) {
    case RouteKind::kUnicast:
      return false;
    case RouteKind::kLocalAddress:
      return Keeps("it is an address of this host");
    case RouteKind::kBroadcast:
    case RouteKind::kMulticast:
      return false;
    case RouteKind::kNoRoute:
      return Drops("the host has no route there");
    case RouteKind::kUnreachable:
      return Drops("a route of type unreachable applies");
    case RouteKind::kProhibited:
      return Drops("a route of type prohibit applies");
    case RouteKind::kInvalid:
      return Drops(WhyInvalid());
    case RouteKind::kNoAnswer:
      break;
  }
  return Drops("the kernel does not tell its route");
}

bool Finder::StopsAtForwarding(const RouteAnswer& answer) {
  if (way_.came_by == 0 || answer.kind == RouteKind::kLocalAddress) return false;
  const bool v4 = query_.dst.family == IpFamily::kV4;
  const ForwardingSettings settings = host_.forwarding(query_.dst.family, way_.came_by);
  if (IsMulticastOrBroadcast(query_.dst.address, query_.dst.family) ||
      answer.kind == RouteKind::kBroadcast) {
    if (settings.multicast) return Drops("a multicast routing daemon decides, which is not asked");
    return Keeps("the host does not forward multicast or broadcast, and takes what it listens to");
  }
  if (!settings.forwards.has_value()) {
    return Drops("the kernel does not tell whether the host forwards");
  }
  if (*settings.forwards) return false;
  return Drops(v4 ? "this host does not forward (net.ipv4.conf." + way_.came_name +
                        ".forwarding is 0; see net.ipv4.ip_forward)"
                  : "this host does not forward (net.ipv6.conf.all.forwarding is 0)");
}

bool Finder::StopsAtLink(const RouteAnswer& answer) {
  const HostLink* link = LinkAt(answer.ifindex);
  if (link == nullptr) return Drops("its interface is gone");
  if (!link->up) return Drops("the interface " + link->name + " is set down");
  if (!link->running) return Drops("the interface " + link->name + " has no carrier");
  return false;
}

void Finder::SetMtu(const RouteAnswer& answer) {
  const HostLink* link = LinkAt(answer.ifindex);
  way_.mtu = link->mtu;
  way_.mtu_of = "the interface " + link->name;
  const auto lower = [this](uint32_t mtu, std::string what) {
    if (mtu == 0 || mtu >= way_.mtu) return;
    way_.mtu = mtu;
    way_.mtu_of = std::move(what);
  };
  // A path MTU limits what the host sends itself (ip_forward_use_pmtu is off, as by default).
  if (answer.learnt && way_.came_by == 0) {
    lower(answer.mtu, "a path MTU that the host has learnt");
  }
  lower(answer.learnt ? answer.own_mtu : answer.mtu, "the host's route");
}

// Other values of what the question leaves open may have another way.
void Finder::LookAtRules(const RouteAnswer& answer) {
  const RuleFindings found = CompareRules({.host = host_,
                                           .query = query_,
                                           .question = question_,
                                           .answer = answer,
                                           .came_name = way_.came_name,
                                           .own = own_,
                                           .name_of = [this](int32_t i) { return NameOf(i); }});
  way_.notes.insert(way_.notes.end(), found.notes.begin(), found.notes.end());
  if (found.open.empty()) return;
  way_.outcome = HostWay::Outcome::kDepends;
  way_.open = found.open;
  way_.text = found.text;
}

Result<HostWay> Finder::Find() {
  CYGNET_RETURN_IF_ERROR(CheckQuery());
  const bool foreign = query_.src.has_value() && !IsOwn(*query_.src) && !IsLoopback(*query_.src);
  if (foreign) CYGNET_RETURN_IF_ERROR(FindEntry());
  if (query_.src.has_value()) way_.source = query_.src->address;
  if (StopsAtAddresses()) return std::move(way_);
  question_ = {.daddr = query_.dst.address,
               .saddr = way_.source,
               .family = query_.dst.family,
               .iif = way_.came_by,
               .oif = foreign ? 0 : query_.ifindex,
               .mark = query_.mark,
               .proto = query_.proto.value_or(0),
               .sport = query_.sport.value_or(0),
               .dport = query_.dport.value_or(0)};
  const RouteAnswer answer = host_.route(question_);
  way_.group = answer.kind == RouteKind::kBroadcast || answer.kind == RouteKind::kMulticast ||
               IsMulticastOrBroadcast(query_.dst.address, query_.dst.family);
  LookAtRules(answer);
  if (way_.outcome == HostWay::Outcome::kDepends) return std::move(way_);
  if (StopsAtForwarding(answer) || StopsAtKind(answer)) return std::move(way_);
  way_.ifindex = answer.ifindex;
  if (!query_.src.has_value()) way_.source = answer.source;
  way_.encapsulation = Encapsulation(answer.encapsulation);
  if (StopsAtLink(answer)) return std::move(way_);
  SetMtu(answer);
  if (answer.several) {
    way_.notes.push_back("Its route has several next hops, over which the host spreads flows; " +
                         NameOf(answer.ifindex) + " is the one that it names for these fields." +
                         (answer.some_enclose ? " Some have an encapsulation." : ""));
  }
  return std::move(way_);
}

}  // namespace

bool NeedsInterface(const ParsedAddress& to) {
  return to.family == IpFamily::kV6 &&
         (IsLinkLocal(to) || IsMulticastOrBroadcast(to.address, to.family));
}

Result<HostWay> FindHostWay(const HostQuestions& host, const MtuQuery& query) {
  return Finder(host, query).Find();
}

}  // namespace cygnet
