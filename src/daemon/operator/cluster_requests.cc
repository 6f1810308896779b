// The requests of `cygnet cluster`: who owns what, and the order to move a group.
#include <fmt/format.h>

#include <utility>

#include "daemon/operator/list_reply.h"
#include "daemon/operator/report_json.h"
#include "daemon/operator/report_words.h"

namespace cygnet {
namespace {

Json LastJson(const ClusterTakeOverReport& last) {
  return {{"time", last.time},
          {"reason", last.reason},
          {"silence_us", last.silence_us},
          {"transaction_us", last.transaction_us},
          {"numbers_us", last.numbers_us},
          {"sas", last.sas}};
}

Json GroupJson(const ClusterGroupReport& group) {
  Json json = {{"name", group.name},       {"addresses", group.addresses},
               {"prefer", group.prefer},   {"state", group.state},
               {"owner", group.owner},     {"epoch", group.epoch},
               {"since", group.since},     {"sas", group.sas},
               {"waiting", group.waiting}, {"gained", group.gained},
               {"lost", group.lost}};
  if (group.last.has_value()) json["last"] = LastJson(*group.last);
  return json;
}

}  // namespace

Json ToJson(const ClusterReport& report) {
  Json peers = Json::array();
  for (const ClusterPeerReport& peer : report.peers) {
    peers.push_back({{"name", peer.name},
                     {"address", peer.address},
                     {"heard", peer.heard},
                     {"silent_ms", peer.silent_ms}});
  }
  Json groups = Json::array();
  for (const ClusterGroupReport& group : report.groups) groups.push_back(GroupJson(group));
  return {{"name", report.name},
          {"node", report.node},
          {"share", report.share},
          {"inbound", report.inbound},
          {"store_away", report.store_away},
          {"store_away_since", report.store_away_since},
          {"store_fault", report.store_fault},
          {"lease", report.has_lease},
          {"era", report.era},
          {"went_back", report.went_back},
          {"refused_entries", report.refused_entries},
          {"peers", std::move(peers)},
          {"groups", std::move(groups)}};
}

// No item: this host is in no cluster.
std::unique_ptr<OperatorReply> MakeClusterReply(OperatorControl* control,
                                                const RequestReader& request) {
  request.AllowOnly({"action", "group", "node"});
  const std::string action = request.Text("action").value_or("show");
  const auto group = request.Text("group");
  const auto node = request.Text("node");
  if (action != "show" && action != "move") {
    throw RequestError{"action: must be \"show\" or \"move\""};
  }
  if (action == "move") {
    if (!group) throw RequestError{"group: missing"};
    if (!node) throw RequestError{"node: missing"};
    const Status moved = control->MoveGroup(*group, *node);
    if (!moved) throw RequestError{moved.error().message};
  }
  std::vector<ClusterReport> reports;
  if (auto report = control->ReportCluster()) reports.push_back(*std::move(report));
  return std::make_unique<ListReply<ClusterReport>>(
      std::move(reports), [](const ClusterReport& cluster) { return ToJson(cluster); });
}

}  // namespace cygnet
