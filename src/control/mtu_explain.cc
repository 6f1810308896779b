#include "control/mtu_explain.h"

#include <algorithm>
#include <utility>

#include "control/open_fields.h"
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
  MtuExplain::SetInnerMtu(report.wire_mtu, &report);
  return report;
}

}  // namespace

Result<MtuReport> MtuExplain::Explain(const MtuQuery& query) const {
  auto way = FindWay(query);
  if (!way) return way.error();
  if (way->device == nullptr) return std::move(way->report);
  return ExplainOn(query, *way->device, std::move(way->report));
}

Result<MtuExplain::Way> MtuExplain::FindWay(const MtuQuery& query) const {
  Way way;
  MtuReport& report = way.report;
  report.flow.family = query.dst.family;
  report.flow.daddr = query.dst.address;
  report.flow.proto = query.proto.value_or(0);
  report.flow.sport = query.sport.value_or(0);
  report.flow.dport = query.dport.value_or(0);
  if (query.src.has_value()) {
    if (query.src->family != query.dst.family) {
      return MakeError(Errc::kInvalid, "src: must be of the same family as dst");
    }
    report.flow.saddr = query.src->address;
  }
  way.ifindex = query.ifindex;
  if (from_.host.route) {
    auto host = AskHost(query);
    if (!host) return host.error();
    way.host = *std::move(host);
    if (!query.any_source || !query.src) report.flow.saddr = way.host.source;
    way.ifindex = way.host.ifindex;
    report.host_mtu = way.host.mtu;
    report.host_mtu_of = way.host.mtu_of;
    if (way.host.outcome != HostWay::Outcome::kSends) {
      Stop(&way);
      return way;
    }
  }
  if (!way.host.encapsulation.empty()) {
    report.verdict = MtuVerdict::kNotOurs;
    report.explanation = "its route has an encapsulation (" + way.host.encapsulation +
                         "), and policies see only what that makes of it";
    return way;
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
  const InsideInterface* behind =
      from_.path.inside.WhereFrom({report.flow.saddr, report.flow.family});
  const std::string& came = way.host.came_name;
  if (behind != nullptr && (came.empty() || came == behind->name)) report.inside = behind->name;
  report.wire_mtu = std::min(way.device->wire_port->mtu(), way.device->host_port->mtu());
  return way;
}

// By the interface that the query names if the packet can leave there.
Result<HostWay> MtuExplain::AskHost(const MtuQuery& query) const {
  if (query.any_source) {
    MtuQuery of_host = query;
    of_host.src.reset();
    return FindHostWay(from_.host, of_host);
  }
  if (query.ifindex == 0 || NeedsInterface(query.dst)) return FindHostWay(from_.host, query);
  MtuQuery free = query;
  free.ifindex = 0;
  auto way = FindHostWay(from_.host, free);
  if (!way || way->outcome == HostWay::Outcome::kKeeps) return way;
  const bool sends = way->outcome == HostWay::Outcome::kSends;
  if (sends && LeadToOne(way->ifindex, query.ifindex)) return way;
  if (way->came_by == 0) return FindHostWay(from_.host, query);  // of a socket bound to it
  if (!sends) return way;
  return MakeError(Errc::kInvalid,
                   "dev: the host forwards such a packet by another interface, as its routes say");
}

bool MtuExplain::LeadToOne(int32_t ifindex, int32_t other) const {
  if (ifindex == other) return true;
  const auto device = from_.own_devices.NumberOf(ifindex);
  return device.has_value() && device == from_.own_devices.NumberOf(other);
}

// The host does not send it.
void MtuExplain::Stop(Way* way) const {
  MtuReport& report = way->report;
  report.explanation = way->host.text;
  switch (way->host.outcome) {
    case HostWay::Outcome::kKeeps:
      report.verdict = MtuVerdict::kNotOurs;
      break;
    case HostWay::Outcome::kDepends:
      report.verdict = MtuVerdict::kDepends;
      report.open = way->host.open;
      break;
    default:
      report.verdict = MtuVerdict::kBlocked;
      break;
  }
  const auto device = from_.own_devices.NumberOf(way->ifindex);
  if (!device.has_value()) return;
  const ControlDevice& below = from_.devices.all()[*device];
  const LinkStatus link = below.wire_port->link();
  if (link != LinkStatus::kUp) report.explanation += " (" + ExplainLink(below) + ")";
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

MtuReport MtuExplain::ExplainOn(const MtuQuery& query, const ControlDevice& device,
                                MtuReport report) const {
  const OpenFields::Found open = OpenOutbound(from_.path, query, report.flow, device.ifindex);
  if (open.depends()) {
    report.open = open.fields;
    return Stopped(std::move(report), MtuVerdict::kDepends, open.text);
  }
  const FlowKey& flow = open.example;
  const PolicyMatch match = from_.path.spd.Lookup(PolicyDirection::kOut, flow, device.ifindex);
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
  return ExplainTemplates(match, flow, device.ifindex, std::move(report));
}

MtuReport MtuExplain::ExplainTemplates(const PolicyMatch& match, const FlowKey& flow,
                                       int32_t ifindex, MtuReport report) const {
  std::vector<const OutboundSa*> chain;  // innermost first
  std::vector<Sad::OutboundQuery> queries = QueriesFor(match.first->spec, flow, ifindex);
  if (match.second != nullptr) {
    const auto outer = QueriesFor(match.second->spec, flow, ifindex);
    queries.insert(queries.end(), outer.begin(), outer.end());
  }
  for (std::size_t i = 0; i < queries.size(); ++i) {
    const OutboundSa* sa = from_.path.sad.ResolveOutbound(queries[i], flow);
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
  for (const auto& inside : from_.path.inside.interfaces()) {
    if (inside->name != report->inside) continue;  // what it takes passes the host's stack by
    report->host_mtu = inside->mtu.load(std::memory_order_relaxed);
    report->host_mtu_of = "the inside interface " + inside->name;
  }
  uint32_t mtu = report->wire_mtu;
  for (std::size_t i = chain.size(); i-- > 0;) {
    const IpFamily inner = i == 0 ? report->flow.family : chain[i - 1]->family;
    report->sas.push_back(ExplainSa(*chain[i], inner, mtu, from_.clock.WallSeconds()));
    mtu = report->sas.back().inner_mtu;
  }
  SetInnerMtu(mtu, report);
}

void MtuExplain::SetInnerMtu(uint32_t mtu, MtuReport* report) {
  // No IPv6 link may be smaller (RFC 8200 section 5): larger packets are fragmented on the outside.
  if (mtu != 0 && report->flow.family == IpFamily::kV6) mtu = std::max(mtu, kMinIpv6Mtu);
  if (report->tunnel_mtu != 0) mtu = std::min(mtu, report->tunnel_mtu);
  if (report->host_mtu != 0) mtu = std::min(mtu, report->host_mtu);
  const uint32_t headers = HeaderBytes(report->flow.family) + kTcpHeader;
  report->inner_mtu = mtu;
  report->tcp_mss = mtu > headers ? mtu - headers : 0;
}

}  // namespace cygnet
