// Tunnel interfaces.
#include "daemon/operator/report_words.h"

namespace cygnet {

Json ToJson(const TunnelReport& report) {
  const TunnelSpec& spec = report.spec;
  Json json = {{"name", spec.name}};
  if (spec.if_id != 0) json["if_id"] = spec.if_id;
  if (spec.mark != 0) json["mark"] = Hex32(spec.mark);
  if (spec.inbound_mark() != spec.mark) json["mark_in"] = Hex32(spec.inbound_mark());
  json["device"] = spec.device;
  if (!spec.made_by.empty()) json["made_by"] = spec.made_by;
  json["ifindex"] = report.ifindex;
  json["mtu"] = report.mtu;
  json["carrier"] = spec.carrier == TunnelCarrier::kAlways ? "always" : "sa";
  json["sas"] = report.sas;
  json["policies"] = report.policies;
  json["unprotected"] = report.unprotected;
  json["rx_packets"] = report.host.rx_packets;
  json["rx_bytes"] = report.host.rx_bytes;
  json["tx_packets"] = report.host.tx_packets;
  json["tx_bytes"] = report.host.tx_bytes;
  return json;
}

}  // namespace cygnet
