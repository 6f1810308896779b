#include "cli/top/model.h"

#include <algorithm>

#include "client/device_faults.h"
#include "client/json_fields.h"

namespace cygnet::top {
namespace {

std::string PlaceOf(const Json& half) {
  const std::string effective = Text(half, "effective");
  const std::string device = Text(half, "device");
  if (effective == "blocked") return effective;
  return effective + " " + (device.empty() ? Text(half, "engine") : device);
}

// Drops of one SA, by reason.
void AddDrops(const Json& sa, SaRow* row) {
  uint64_t most = 0;
  for (const auto& [reason, value] : Child(sa, "drops").items()) {
    const auto count = value.get<uint64_t>();
    row->drops += count;
    if (count > most) row->drop_reason = reason;
    most = std::max(most, count);
  }
}

// By how many numbers the packets of the bucket were late at most.
uint64_t LatestOf(const Json& bucket) {
  const uint64_t from = Number(bucket, "from");
  return from == 0 ? 0 : 2 * from - 1;
}

void AddLateness(const Json& sa, SaRow* row) {
  row->window = Number(sa, "replay_window");
  for (const Json& bucket : Child(sa, "lateness")) {
    row->late = std::max(row->late, LatestOf(bucket));
  }
  row->window_short = row->window != 0 && Number(sa, "window_for_all") > row->window;
}

SaRow RowOf(const Json& sa, const std::string& direction) {
  const Json& usage = Child(sa, "usage");
  SaRow row;
  row.key = SaKey(sa) + " " + direction;
  row.direction = direction;
  row.src = Text(sa, "src");
  row.dst = Text(sa, "dst");
  row.spi = Text(sa, "spi");
  row.state = Text(sa, "state");
  row.added = Number(usage, "add_time");
  return row;
}

SaRow RowOf(const Flow& flow, uint64_t now) {
  const Json& sa = *flow.sa;
  const Json& half = *flow.half;
  SaRow row = RowOf(sa, Text(half, "direction"));
  row.effective = Text(half, "effective");
  row.place = PlaceOf(half);
  row.reason = Text(half, "reason");
  row.since = Number(half, "since");
  row.packets_per_second = flow.packets;
  row.bits_per_second = flow.bits;
  row.drops_per_second = flow.drops;
  if (row.direction != UsedDirection(sa)) return row;  // the counters are the other half's
  row.packets = Number(Child(sa, "usage"), "packets");
  row.bytes = Number(Child(sa, "usage"), "bytes");
  AddDrops(sa, &row);
  if (row.direction == "in") AddLateness(sa, &row);
  const auto limits =
      LimitsOf(sa, {.packets_per_second = flow.packets, .bits_per_second = flow.bits, .now = now});
  if (const Limit* first = FirstReached(limits)) row.ends_by = *first;
  return row;
}

void AddSas(const Interval& interval, View* view) {
  const auto now = static_cast<uint64_t>(view->time_ms / 1000);
  const std::vector<Json>& sas = interval.readings->of(Reading::kSas);
  view->all_sas = sas.size();
  view->sas.reserve(sas.size());
  for (const Flow& flow : FlowsOf(interval)) {
    if (flow.unused) continue;
    ++view->places[Text(*flow.half, "effective")];
    view->sas.push_back(RowOf(flow, now));
    Traffic& sum = view->sas.back().direction == "in" ? view->in : view->out;
    sum.packets_per_second += flow.packets;
    sum.bits_per_second += flow.bits;
  }
  for (const Json& sa : sas) {
    if (!Child(sa, "placements").empty()) continue;
    view->sas.push_back(RowOf(sa, "-"));
    view->sas.back().place = "-";
  }
}

DeviceRow RowOf(const Json& device) {
  const Json& offload = Child(device, "offload");
  DeviceRow row;
  row.name = Text(device, "name");
  row.wire = Text(device, "wire");
  row.offloads = offload.value("capable", false);
  row.state = row.offloads ? Text(device, "state") : Text(Child(device, "link"), "state");
  if (device.value("disabled", false)) row.state = "disabled";
  row.slots_used = Number(offload, "slots_used");
  row.slots_limit = Number(offload, "slots_limit");
  row.guard_hits = GuardHits(device);
  for (auto& [kind, text] : FaultsOf(device)) row.faults.push_back(text);
  return row;
}

void AddDevices(const Interval& interval, View* view) {
  for (const Json& device : interval.readings->of(Reading::kDevices)) {
    DeviceRow row = RowOf(device);
    const auto now = interval.now->sealed_opened.find(row.name);
    if (interval.before != nullptr && now != interval.now->sealed_opened.end()) {
      const auto was = interval.before->sealed_opened.find(row.name);
      if (was != interval.before->sealed_opened.end()) {
        const auto& [sealed, opened] = now->second;
        row.sealed_per_second = Rate(Rise(was->second.first, sealed), interval.seconds);
        row.opened_per_second = Rate(Rise(was->second.second, opened), interval.seconds);
      }
    }
    view->devices.push_back(std::move(row));
  }
}

void AddDropReasons(const Interval& interval, View* view) {
  for (const auto& [reason, count] : interval.now->drops) {
    if (count == 0) continue;
    DropRow row{.reason = reason, .count = count};
    if (interval.before != nullptr) {
      const auto was = interval.before->drops.find(reason);
      const uint64_t before = was == interval.before->drops.end() ? 0 : was->second;
      row.per_second = Rate(Rise(before, count), interval.seconds);
    }
    view->drops.push_back(std::move(row));
  }
  std::stable_sort(view->drops.begin(), view->drops.end(), [](const DropRow& a, const DropRow& b) {
    return a.per_second != b.per_second ? a.per_second > b.per_second : a.count > b.count;
  });
}

void AddWorkers(const Taken* before, const Taken& now, View* view) {
  for (std::size_t i = 0; i < now.loads.size(); ++i) {
    WorkerRow row{.number = i};
    if (before != nullptr && i < before->loads.size()) {
      const auto& was = before->loads[i];
      const double busy_us = Rate(Rise(was.first, now.loads[i].first), view->seconds);
      row.busy = std::min(1.0, busy_us / 1e6);
      row.packets_per_second = Rate(Rise(was.second, now.loads[i].second), view->seconds);
    }
    view->workers.push_back(row);
  }
}

}  // namespace

Taken Taken::Of(const Readings& readings) {
  Taken taken{.counts = Counts::Of(readings), .loads = {}, .uptime_seconds = 0};
  const Json& stat = readings.one(Reading::kStat);
  for (const Json& load : Child(stat, "worker_loads")) {
    taken.loads.emplace_back(Number(load, "busy_us"), Number(load, "packets"));
  }
  taken.uptime_seconds = Number(stat, "uptime_seconds");
  return taken;
}

View MakeView(const Readings& readings, const Taken* before, const Taken& now, double seconds,
              int64_t time_ms) {
  // Counters of another daemon.
  if (before != nullptr && before->uptime_seconds > now.uptime_seconds) before = nullptr;
  View view;
  view.time_ms = time_ms;
  view.seconds = before == nullptr ? 0 : seconds;
  view.uptime_seconds = now.uptime_seconds;
  const Interval interval{.readings = &readings,
                          .before = before == nullptr ? nullptr : &before->counts,
                          .now = &now.counts,
                          .seconds = view.seconds};
  AddSas(interval, &view);
  AddDevices(interval, &view);
  AddDropReasons(interval, &view);
  AddWorkers(before, now, &view);
  return view;
}

}  // namespace cygnet::top
