#include "cli/top/limits.h"

#include <algorithm>
#include <cmath>

#include "client/json_fields.h"

namespace cygnet::top {
namespace {

double Left(double limit, double used, double per_second) {
  if (used >= limit) return 0;
  return per_second > 0 ? (limit - used) / per_second : Limit::kNever;
}

double Since(uint64_t then, uint64_t now) { return static_cast<double>(now - std::min(then, now)); }

Limit LimitOf(const std::string& name, double limit, const Json& sa, const LimitInput& input) {
  const Json& usage = Child(sa, "usage");
  Limit row{.name = name, .limit = limit, .soft = name.starts_with("soft")};
  double rate = 1;  // of seconds
  if (name.ends_with("_bytes")) {
    row.used = static_cast<double>(Number(usage, "bytes"));
    rate = input.bits_per_second / 8;
  } else if (name.ends_with("_packets")) {
    row.used = static_cast<double>(Number(usage, "packets"));
    rate = input.packets_per_second;
  } else if (name.ends_with("_add_seconds")) {
    row.used = Since(Number(usage, "add_time"), input.now);
  } else if (const uint64_t first = Number(usage, "use_time"); first != 0) {
    row.used = Since(first, input.now);
  } else {
    rate = 0;  // it begins with the first packet
  }
  row.seconds_left = Left(row.limit, row.used, rate);
  return row;
}

}  // namespace

std::vector<Limit> LimitsOf(const Json& sa, const LimitInput& input) {
  std::vector<Limit> rows;
  for (const auto& [name, value] : Child(sa, "limits").items()) {
    rows.push_back(LimitOf(name, value.get<double>(), sa, input));
  }
  const Json& replay = Child(sa, "replay");
  Limit numbers{
      .name = "sequence numbers",
      .limit = std::ldexp(1.0, sa.value("esn", false) ? 64 : 32),
      .used = static_cast<double>(std::max(Number(replay, "oseq"), Number(replay, "seq")))};
  numbers.seconds_left = Left(numbers.limit, numbers.used, input.packets_per_second);
  rows.push_back(std::move(numbers));
  return rows;
}

const Limit* FirstReached(const std::vector<Limit>& limits) {
  const Limit* first = nullptr;
  for (const Limit& row : limits) {
    if (row.soft || row.seconds_left > Limit::kFar) continue;
    if (first == nullptr || row.seconds_left < first->seconds_left) first = &row;
  }
  return first;
}

}  // namespace cygnet::top
