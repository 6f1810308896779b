#include "cli/sums.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "cli/columns.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

// The other end: where an inbound SA comes from, where any other one goes.
std::string PeerOf(const Json& sa) {
  std::string direction = Text(sa, "direction");
  const Json& halves = Child(sa, "placements");
  if (direction.empty() && halves.size() == 1) direction = Text(halves[0], "direction");
  return Text(sa, direction == "in" ? "src" : "dst");
}

std::string PlaceOf(const Json& half) {
  const std::string effective = Text(half, "effective");
  const bool engine = effective == "software" || effective == "look-aside";
  const std::string where = effective == "blocked" ? "" : Text(half, engine ? "engine" : "device");
  return where.empty() ? effective : where + " " + effective;
}

}  // namespace

void SaSums::Sum::Add(const Sum& other) {
  sas += other.sas;
  packets += other.packets;
  bytes += other.bytes;
  drops += other.drops;
}

Json SaSums::Sum::AsJson() const {
  return {{"sas", sas}, {"packets", packets}, {"bytes", bytes}, {"drops", drops}};
}

// An SA is in one group, also if its halves differ: the groups add up to the total.
std::string SaSums::GroupOf(const Json& sa) const {
  if (by_ == "peer") return PeerOf(sa);
  std::vector<std::string> names;
  for (const Json& half : Child(sa, "placements")) {
    std::string name = by_ == "device" ? PlaceOf(half) : Text(half, "reason");
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  std::string group;
  for (const std::string& name : names) group += (group.empty() ? "" : ", ") + name;
  return group.empty() ? "-" : group;
}

void SaSums::Add(const Json& sa) {
  const Json& usage = Child(sa, "usage");
  Sum sum{
      .sas = 1, .packets = Number(usage, "packets"), .bytes = Number(usage, "bytes"), .drops = 0};
  for (const auto& [reason, count] : Child(sa, "drops").items()) sum.drops += count.get<uint64_t>();
  groups_[GroupOf(sa)].Add(sum);
  total_.Add(sum);
}

std::vector<SaSums::Entry> SaSums::Sorted() const {
  std::vector<Entry> sorted(groups_.begin(), groups_.end());
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Entry& a, const Entry& b) { return a.second.sas > b.second.sas; });
  return sorted;
}

Json SaSums::AsJson() const {
  Json groups = Json::array();
  for (const auto& [name, sum] : Sorted()) {
    Json row = {{"name", name}};
    row.update(sum.AsJson());
    groups.push_back(std::move(row));
  }
  return {{"by", by_}, {"groups", groups}, {"total", total_.AsJson()}};
}

std::string SaSums::AsText() const {
  const auto right = [](std::string text) {
    return Cell{std::move(text), Tone::kPlain, Align::kRight};
  };
  const auto row = [&right](const std::string& name, const Sum& sum) {
    return std::vector<Cell>{{name},
                             right(std::to_string(sum.sas)),
                             right(std::to_string(sum.packets)),
                             right(std::to_string(sum.bytes)),
                             right(std::to_string(sum.drops))};
  };
  std::vector<std::vector<Cell>> rows = {
      {{by_}, right("SAs"), right("packets"), right("bytes"), right("drops")}};
  for (const auto& [name, sum] : Sorted()) rows.push_back(row(name, sum));
  rows.push_back(row("total", total_));
  return InColumns(rows, Ink());
}

}  // namespace cygnet
