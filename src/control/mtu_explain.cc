#include "control/mtu_explain.h"

#include <algorithm>
#include <utility>

#include "control/template_query.h"
#include "datapath/path_mtu.h"
#include "esp/overhead.h"
#include "esp/size.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr uint32_t kTcpHeader = 20;

uint32_t HeaderBytes(IpFamily family) { return family == IpFamily::kV4 ? 20 : 40; }

MtuSaReport ExplainSa(const OutboundSa& sa, IpFamily inner, uint32_t outer_mtu, uint64_t now) {
  const SaSpec& spec = sa.sa->spec();
  MtuSaReport report{.saddr = spec.saddr,
                     .daddr = spec.daddr,
                     .family = spec.family,
                     .spi = spec.spi,
                     .mode = spec.mode,
                     .reqid = spec.reqid,
                     .path_mtu = LearntPathMtu(sa, now),
                     .outer_mtu = outer_mtu,
                     .overhead = {},
                     .inner_mtu = 0};
  if (report.path_mtu != 0) report.outer_mtu = std::min(outer_mtu, report.path_mtu);
  report.inner_mtu = esp::InnerMtu(sa, report.outer_mtu, HeaderBytes(inner));
  for (const auto& part : esp::ExplainOverhead(sa, report.outer_mtu, HeaderBytes(inner))) {
    report.overhead.push_back({std::string(part.name), part.bytes});
  }
  return report;
}

void SetInnerMtu(uint32_t mtu, MtuReport* report) {
  // No IPv6 link may be smaller (RFC 8200 section 5): larger packets are fragmented on the outside.
  if (mtu != 0 && report->flow.family == IpFamily::kV6) mtu = std::max(mtu, kMinIpv6Mtu);
  if (report->tunnel_mtu != 0) mtu = std::min(mtu, report->tunnel_mtu);
  const uint32_t headers = HeaderBytes(report->flow.family) + kTcpHeader;
  report->inner_mtu = mtu;
  report->tcp_mss = mtu > headers ? mtu - headers : 0;
}

MtuReport Stopped(MtuReport report, MtuVerdict verdict, std::string explanation) {
  report.verdict = verdict;
  report.explanation = std::move(explanation);
  return report;
}

// Nothing leaves a tunnel interface in clear.
MtuReport Clear(MtuReport report, std::string explanation) {
  if (report.flow.of_tunnel()) {
    const std::string text = "nothing leaves tunnel " + report.tunnel + " in clear, and ";
    return Stopped(std::move(report), MtuVerdict::kBlocked, text + explanation);
  }
  report.verdict = MtuVerdict::kClear;
  report.explanation = std::move(explanation);
  SetInnerMtu(report.wire_mtu, &report);
  return report;
}

std::string WhyNoWay(const std::vector<ParsedAddress>& own, const ParsedAddress& to) {
  const bool is_own = std::any_of(own.begin(), own.end(), [&](const ParsedAddress& address) {
    return address.family == to.family && address.address == to.address;
  });
  return is_own ? "it is an address of this host" : "the host has no route there";
}

}  // namespace

Result<MtuReport> MtuExplain::Explain(const MtuQuery& query) const {
  auto way = FindWay(query);
  if (!way) return way.error();
  if (way->device == nullptr) return std::move(way->report);
  return ExplainOn(*way->device, std::move(way->report));
}

Result<MtuExplain::Way> MtuExplain::FindWay(const MtuQuery& query) const {
  Way way;
  MtuReport& report = way.report;
  report.flow.family = query.dst.family;
  report.flow.daddr = query.dst.address;
  report.flow.proto = query.proto;
  report.flow.sport = query.sport;
  report.flow.dport = query.dport;
  if (query.src.has_value()) {
    if (query.src->family != query.dst.family) {
      return MakeError(Errc::kInvalid, "src: must be of the same family as dst");
    }
    report.flow.saddr = query.src->address;
  }
  way.ifindex = query.ifindex;
  if (from_.route) {
    const auto route = from_.route(query.dst.address, query.dst.family);
    if (!route.has_value() && query.ifindex == 0) {
      report.verdict = MtuVerdict::kNotOurs;
      report.explanation = WhyNoWay(from_.local_addresses(), query.dst);
      return way;
    }
    if (route.has_value() && !query.src.has_value()) report.flow.saddr = route->source;
    if (way.ifindex == 0) way.ifindex = route->ifindex;
  }
  way.device = DeviceAt(way.ifindex, &report);
  if (way.device == nullptr) {
    report.verdict = MtuVerdict::kNotOurs;
    report.explanation = "it leaves by an interface that cygnetd does not own";
    return way;
  }
  if (report.flow.saddr.IsAny()) {
    return MakeError(Errc::kInvalid, "src: no source address for this route; pass \"src ADDRESS\"");
  }
  report.device = way.device->name;
  report.wire_mtu = std::min(way.device->wire_port->mtu(), way.device->host_port->mtu());
  return way;
}

// The device that the host sends by if it uses this interface; 0: the first one. nullptr: none.
const ControlDevice* MtuExplain::DeviceAt(int32_t ifindex, MtuReport* report) const {
  const std::vector<ControlDevice>& devices = from_.devices.all();
  if (ifindex == 0) return devices.empty() ? nullptr : &devices.front();
  const auto number = from_.own_devices.NumberOf(ifindex);
  return number.has_value() ? &devices[*number] : EnterTunnel(ifindex, report);
}

// The device of the tunnel whose interface this is; nullptr: of none.
const ControlDevice* MtuExplain::EnterTunnel(int32_t ifindex, MtuReport* report) const {
  const TunnelSpec* spec = from_.tunnels.At(ifindex);
  if (spec == nullptr) return nullptr;
  for (const TunnelReport& tunnel : from_.tunnels.Report()) {
    if (tunnel.ifindex == ifindex) report->tunnel_mtu = tunnel.mtu;
  }
  report->tunnel = spec->name;
  report->flow.SetTunnel(spec->if_id, spec->mark);
  const std::vector<ControlDevice>& devices = from_.devices.all();
  for (const ControlDevice& device : devices) {
    if (device.name == spec->device) return &device;
  }
  return &devices.front();
}

MtuReport MtuExplain::ExplainOn(const ControlDevice& device, MtuReport report) const {
  const PolicyMatch match =
      from_.path.spd.Lookup(PolicyDirection::kOut, report.flow, device.ifindex);
  if (!match.any()) {
    return from_.path.spd.DefaultAction(PolicyDirection::kOut) == PolicyAction::kAllow
               ? Clear(std::move(report), "no policy covers it: it passes in clear")
               : Stopped(std::move(report), MtuVerdict::kBlocked,
                         "no policy covers it, and the default is to block");
  }
  report.policy = match.first->spec;
  if (match.blocks()) {
    return Stopped(std::move(report), MtuVerdict::kBlocked, "the policy blocks it");
  }
  if (match.templates() == 0) {
    return Clear(std::move(report), "the policy lets it pass in clear");
  }
  return ExplainTemplates(match, device.ifindex, std::move(report));
}

MtuReport MtuExplain::ExplainTemplates(const PolicyMatch& match, int32_t ifindex,
                                       MtuReport report) const {
  std::vector<const OutboundSa*> chain;  // innermost first
  std::vector<Sad::OutboundQuery> queries = QueriesFor(match.first->spec, report.flow, ifindex);
  if (match.second != nullptr) {
    const auto outer = QueriesFor(match.second->spec, report.flow, ifindex);
    queries.insert(queries.end(), outer.begin(), outer.end());
  }
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const OutboundSa* sa = from_.path.sad.ResolveOutbound(queries[i], report.flow);
    if (sa != nullptr) {
      chain.push_back(sa);
    } else if (!match.at(i).optional) {
      const bool asked = from_.announcer.WantsAcquire();
      return Stopped(std::move(report), MtuVerdict::kNoSa,
                     asked ? "no SA: an ACQUIRE would be sent"
                           : "no SA, and no client listens for an ACQUIRE");
    }
  }
  if (chain.empty()) {
    return Clear(std::move(report), "the policy's SA is optional and missing: it passes in clear");
  }
  report.verdict = MtuVerdict::kProtected;
  report.explanation = "protected";
  AddSizes(chain, &report);
  return report;
}

void MtuExplain::AddSizes(std::span<const OutboundSa* const> chain, MtuReport* report) const {
  uint32_t mtu = report->wire_mtu;
  for (std::size_t i = chain.size(); i-- > 0;) {
    const IpFamily inner = i == 0 ? report->flow.family : chain[i - 1]->family;
    report->sas.push_back(ExplainSa(*chain[i], inner, mtu, from_.clock.WallSeconds()));
    mtu = report->sas.back().inner_mtu;
  }
  SetInnerMtu(mtu, report);
}

}  // namespace cygnet
