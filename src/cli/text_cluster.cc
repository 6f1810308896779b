// What this node knows of its cluster.
#include <fmt/format.h>

#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

std::string Ms(uint64_t us) { return fmt::format("{}.{} ms", us / 1000, us % 1000 / 100); }

std::string PeerText(const Json& peer) {
  const uint64_t silent = Number(peer, "silent_ms");
  return fmt::format("node {} at {}: {}\n", Text(peer, "name"), Text(peer, "address"),
                     peer.value("heard", false) ? fmt::format("heard {} ms ago", silent)
                                                : fmt::format("SILENT for {} ms", silent));
}

std::string LastText(const Json& last) {
  return fmt::format(
      "\tlast got by this node {}: {}\n\t\tsilence {}, transaction {}, numbers of {} SAs {}\n",
      TimeText(Number(last, "time")), Text(last, "reason"), Ms(Number(last, "silence_us")),
      Ms(Number(last, "transaction_us")), Number(last, "sas"), Ms(Number(last, "numbers_us")));
}

std::string GroupText(const Json& group) {
  const std::string owner = Text(group, "owner");
  std::string text = fmt::format("group {}: {}", Text(group, "name"), Text(group, "state"));
  if (!owner.empty()) {
    text += fmt::format(", owner {} since {}, epoch {}", owner, TimeText(Number(group, "since")),
                        Number(group, "epoch"));
  }
  text += "\n\taddresses";
  for (const Json& address : Child(group, "addresses")) {
    text += fmt::format(" {}", address.get<std::string>());
  }
  if (const std::string prefer = Text(group, "prefer"); !prefer.empty()) {
    text += fmt::format("; prefers {}", prefer);
  }
  text += fmt::format("\n\t{} SAs, {} wait for numbers; got {} times, lost {} times\n",
                      Number(group, "sas"), Number(group, "waiting"), Number(group, "gained"),
                      Number(group, "lost"));
  const Json& last = Child(group, "last");
  return last.empty() ? text : text + LastText(last);
}

}  // namespace

std::string ClusterText(const Json& cluster) {
  std::string text =
      fmt::format("cluster {}, node {}: share {}, inbound {}\n", Text(cluster, "name"),
                  Text(cluster, "node"), Text(cluster, "share"), Text(cluster, "inbound"));
  const std::string fault = Text(cluster, "store_fault");
  if (cluster.value("store_away", false) || !fault.empty()) {
    text += fmt::format("store GIVES NOTHING: {}\n", fault);
  } else {
    text += fmt::format("store answers, era {}\n", Number(cluster, "era"));
  }
  text += cluster.value("lease", false) ? "lease held\n" : "lease NONE: this node owns no group\n";
  if (const std::string why = Text(cluster, "went_back"); !why.empty()) {
    text += fmt::format(
        "store LOST what it had confirmed: {}; replace keys that were set up by "
        "hand\n",
        why);
  }
  if (const uint64_t refused = Number(cluster, "refused_entries"); refused != 0) {
    text += fmt::format("{} entries of the store REFUSED: the log says why\n", refused);
  }
  for (const Json& peer : Child(cluster, "peers")) text += PeerText(peer);
  for (const Json& group : Child(cluster, "groups")) text += GroupText(group);
  return text;
}

bool ClusterIsWell(const Json& cluster) {
  return !cluster.value("store_away", false) && Text(cluster, "store_fault").empty() &&
         cluster.value("lease", false) && Text(cluster, "went_back").empty();
}

}  // namespace cygnet
