// What `cygnet top` shows: rows made of two successive readings. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/top/limits.h"
#include "client/flows.h"

namespace cygnet::top {

// A half of an SA that is in use; a larval SA has a row, too.
struct SaRow {
  std::string key;  // identity and direction
  std::string direction;
  std::string src;
  std::string dst;
  std::string spi;
  std::string state;
  std::string effective;  // "crypto", "software" …
  std::string place;      // with its device or engine: "crypto nic0"
  std::string reason;
  uint64_t since = 0;  // it runs there; wall-clock seconds
  uint64_t added = 0;
  uint64_t packets = 0;
  uint64_t bytes = 0;
  double packets_per_second = 0;
  double bits_per_second = 0;
  uint64_t drops = 0;
  double drops_per_second = 0;
  std::string drop_reason;       // with the most packets
  uint64_t late = 0;             // by so many numbers at most; 0: no packet was late
  uint64_t window = 0;           // replay window
  bool window_short = false;     // packets were later than it
  std::optional<Limit> ends_by;  // the limit that it reaches first
};

struct DeviceRow {
  std::string name;
  std::string wire;
  std::string state;  // of its offload unit; of the link, if it does not offload
  bool offloads = false;
  uint64_t slots_used = 0;
  uint64_t slots_limit = 0;
  double sealed_per_second = 0;
  double opened_per_second = 0;
  uint64_t guard_hits = 0;
  std::vector<std::string> faults;
};

struct WorkerRow {
  std::size_t number = 0;
  double busy = 0;  // 0 … 1
  double packets_per_second = 0;
};

struct DropRow {
  std::string reason;
  uint64_t count = 0;
  double per_second = 0;
};

struct Traffic {
  double packets_per_second = 0;
  double bits_per_second = 0;
};

struct View {
  int64_t time_ms = 0;
  double seconds = 0;     // that rates are of; 0: no rates yet
  double read_every = 0;  // seconds, if longer than asked for: a reading takes long
  std::string error;      // why the daemon cannot be read; the rest is empty then
  uint64_t uptime_seconds = 0;
  std::size_t all_sas = 0;
  std::map<std::string, std::size_t> places;  // halves in use, by `effective`
  Traffic out;
  Traffic in;
  std::vector<SaRow> sas;
  std::vector<DeviceRow> devices;
  std::vector<WorkerRow> workers;
  std::vector<DropRow> drops;  // not zero; those that rise the most first
};

// Of one reading, so that the next one has rates.
struct Taken {
  Counts counts;
  std::vector<std::pair<uint64_t, uint64_t>> loads;  // of workers: busy_us, packets
  uint64_t uptime_seconds = 0;

  static Taken Of(const Readings& readings);
};

// `before` nullptr: there was none. `seconds`: between the two.
View MakeView(const Readings& readings, const Taken* before, const Taken& now, double seconds,
              int64_t time_ms);

// For `cygnet -j top --once`.
Json ToJson(const View& view);

}  // namespace cygnet::top
