// The view as JSON. doc/man/cygnet-json.7.scd lists the fields.
#include "cli/top/model.h"

namespace cygnet::top {
namespace {

Json RowJson(const SaRow& row) {
  Json json = {{"direction", row.direction},
               {"src", row.src},
               {"dst", row.dst},
               {"spi", row.spi},
               {"state", row.state},
               {"effective", row.effective},
               {"place", row.place},
               {"reason", row.reason},
               {"since", row.since},
               {"added", row.added},
               {"packets", row.packets},
               {"bytes", row.bytes},
               {"packets_per_second", row.packets_per_second},
               {"bits_per_second", row.bits_per_second},
               {"drops", row.drops},
               {"drops_per_second", row.drops_per_second},
               {"drop_reason", row.drop_reason},
               {"late", row.late},
               {"window", row.window},
               {"window_short", row.window_short}};
  if (row.ends_by) {
    json["ends_by"] = row.ends_by->name;
    json["ends_in_seconds"] = row.ends_by->seconds_left;
  }
  return json;
}

Json RowJson(const DeviceRow& row) {
  return {{"name", row.name},
          {"wire", row.wire},
          {"state", row.state},
          {"offloads", row.offloads},
          {"slots_used", row.slots_used},
          {"slots_limit", row.slots_limit},
          {"sealed_per_second", row.sealed_per_second},
          {"opened_per_second", row.opened_per_second},
          {"guard_hits", row.guard_hits},
          {"faults", row.faults}};
}

Json RowJson(const WorkerRow& row) {
  return {
      {"number", row.number}, {"busy", row.busy}, {"packets_per_second", row.packets_per_second}};
}

Json RowJson(const DropRow& row) {
  return {{"reason", row.reason}, {"count", row.count}, {"per_second", row.per_second}};
}

template <typename Row>
Json RowsJson(const std::vector<Row>& rows) {
  Json json = Json::array();
  for (const Row& row : rows) json.push_back(RowJson(row));
  return json;
}

}  // namespace

Json ToJson(const View& view) {
  return {{"time_ms", view.time_ms},
          {"seconds", view.seconds},
          {"uptime_seconds", view.uptime_seconds},
          {"all_sas", view.all_sas},
          {"sas", RowsJson(view.sas)},
          {"devices", RowsJson(view.devices)},
          {"workers", RowsJson(view.workers)},
          {"drops", RowsJson(view.drops)}};
}

}  // namespace cygnet::top
