#include "control/route_check.h"

#include <linux/lwtunnel.h>

#include <algorithm>
#include <string>

#include "sa/sa_spec.h"

namespace cygnet {
namespace {

// Bounds the time in which the control thread answers no other client.
constexpr std::size_t kMostNets = 500;
constexpr std::size_t kMostRoutes = 5000;
constexpr std::size_t kMostRows = 20;

// What an outbound policy protects.
struct Net {
  AddressPrefix to;
  AddressPrefix from;
  bool tunnel = false;
  bool operator==(const Net&) const = default;
};

bool Covers(const AddressPrefix& outer, const AddressPrefix& inner) {
  return inner.bits >= outer.bits && outer.Contains(inner.address, inner.family);
}

std::vector<Net> ProtectedNets(const std::vector<PolicySpec>& policies) {
  std::vector<Net> nets;
  for (const PolicySpec& policy : policies) {
    if (policy.direction != PolicyDirection::kOut || policy.templates.empty() ||
        policy.action != PolicyAction::kAllow || nets.size() >= kMostNets) {
      continue;
    }
    const Selector& s = policy.selector;
    Net net{.to = {s.daddr, s.family, s.prefixlen_d},
            .from = {s.saddr, s.family, s.prefixlen_s},
            .tunnel = policy.templates[0].mode == static_cast<uint8_t>(SaMode::kTunnel)};
    if (std::find(nets.begin(), nets.end(), net) == nets.end()) nets.push_back(net);
  }
  return nets;
}

class Checker {
 public:
  explicit Checker(const RoutePicture& picture) : picture_(picture) {
    for (const int32_t own : picture.own) stack_.merge(StackOver(picture.links, own));
  }

  std::vector<DoctorRow> Run() {
    const std::vector<Net> nets = ProtectedNets(picture_.policies);
    for (const Net& net : nets) CheckNet(net);
    if (!nets.empty()) CheckUnpacking();
    if (more_ != 0) {
      rows_.push_back({.check = "routes",
                       .ok = false,
                       .text = std::to_string(more_) + " more of this kind",
                       .advice = {}});
    }
    if (rows_.empty()) {
      rows_.push_back({.check = "routes",
                       .ok = true,
                       .text = nets.empty()
                                   ? "no policy protects anything yet"
                                   : "traffic that policies protect leaves by Cygnet's interfaces",
                       .advice = {}});
    }
    return std::move(rows_);
  }

 private:
  std::size_t RoutesLookedAt() const { return std::min(picture_.routes.size(), kMostRoutes); }

  // Checks the best route to the whole net and the routes to parts of it.
  void CheckNet(const Net& net) {
    int best = -1;
    for (std::size_t i = 0; i < RoutesLookedAt(); ++i) {
      const HostRoute& route = picture_.routes[i];
      if (Covers(route.to, net.to)) best = std::max(best, int{route.to.bits});
    }
    for (std::size_t i = 0; i < RoutesLookedAt(); ++i) {
      const HostRoute& route = picture_.routes[i];
      const bool whole = route.to.bits == best && Covers(route.to, net.to);
      const bool part = Covers(net.to, route.to);
      // A route back to the net that the traffic comes from does not lead to the far end.
      const bool back = Covers(net.from, route.to) && net.from.bits != 0;
      if ((whole || part) && !back) CheckRoute(net, route);
    }
  }

  void CheckRoute(const Net& net, const HostRoute& route) {
    const auto found =
        std::find_if(picture_.links.begin(), picture_.links.end(),
                     [&route](const HostLink& link) { return link.ifindex == route.ifindex; });
    if (found == picture_.links.end()) return;
    const std::string what = "route " + ToString(route.to) + " dev " + found->name;
    const std::string net_text = ToString(net.to);
    const std::string encapsulation = Encapsulation(route.encapsulation);
    if (!encapsulation.empty() && route.encapsulation != LWTUNNEL_ENCAP_SEG6_LOCAL) {
      Add(what + " has an encapsulation (" + encapsulation + "): traffic that the policy for " +
              net_text + " protects leaves enclosed or changed, and the policy does not match it",
          "take the encapsulation from the route, or protect the outer packets with a policy of "
          "their own");
    } else if (stack_.count(route.ifindex) == 0) {
      if (IsTunnel(*found)) {
        Add(what + ": traffic that the policy for " + net_text + " protects leaves inside a " +
                found->kind + " interface, whose outer header the policy does not match",
            "route it through an interface of Cygnet's, or protect the outer packets with a policy "
            "of "
            "their own (addresses of the " +
                found->kind + " interface)");
      } else {
        Add(what + ": traffic that the policy for " + net_text +
                " protects leaves in clear by an interface that is not Cygnet's",
            "route it through an interface of Cygnet's: ip route replace " + net_text +
                " via PEER dev NIC");
      }
    } else if (net.tunnel && !route.has_gateway && !route.connected) {
      Add(what + " has no next hop: the host sends ARP or neighbour discovery in clear for " +
              "each host behind the tunnel to " + net_text + ", and gets no answer",
          "set the peer or a router as next hop: ip route replace " + ToString(route.to) +
              " via PEER dev " + found->name);
    }
  }

  // The host's own stack unpacks what arrives by such a route, after inbound policies have seen it.
  void CheckUnpacking() {
    for (std::size_t i = 0; i < RoutesLookedAt(); ++i) {
      const HostRoute& route = picture_.routes[i];
      if (route.encapsulation != LWTUNNEL_ENCAP_SEG6_LOCAL) continue;
      Add("route " + ToString(route.to) +
              " has the encapsulation seg6local: the host unpacks or redirects what comes to it, "
              "and inbound policies see the outer header only",
          "remove the route, or protect the outer packets with a policy of their own");
    }
  }

  void Add(std::string text, std::string advice) {
    const auto same = [&text](const DoctorRow& row) { return row.text == text; };
    if (std::any_of(rows_.begin(), rows_.end(), same)) return;
    if (rows_.size() >= kMostRows) {
      ++more_;
      return;
    }
    rows_.push_back(
        {.check = "routes", .ok = false, .text = std::move(text), .advice = std::move(advice)});
  }

  const RoutePicture& picture_;
  std::set<int32_t> stack_;
  std::vector<DoctorRow> rows_;
  std::size_t more_ = 0;
};

}  // namespace

std::vector<DoctorRow> CheckRoutes(const RoutePicture& picture) { return Checker(picture).Run(); }

}  // namespace cygnet
