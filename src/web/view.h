// The view: what the page shows, computed from two successive readings. Texts come from the daemon
// as they are (names of interfaces, of devices …); the page treats them as text.
#pragma once

#include <map>
#include <string>

#include "client/readings.h"

namespace cygnet::web {

// What one SA had counted, to get rates.
struct Counted {
  uint64_t packets = 0;
  uint64_t bytes = 0;
};

// The numbers of a reading that rates and history are differences of.
struct Counts {
  std::map<std::string, Counted> sas;                                  // by identity
  std::map<std::string, uint64_t> drops;                               // by reason
  std::map<std::string, std::pair<uint64_t, uint64_t>> sealed_opened;  // by device

  static Counts Of(const Readings& readings);
};

// How much `now` is above `before`; 0 after a restart of the daemon.
inline uint64_t Rise(uint64_t before, uint64_t now) { return now > before ? now - before : 0; }

// The identity of an SA in Counts.
std::string SaKey(const Json& sa);

// "out" or "in": the half of an SA that is in use.
std::string UsedDirection(const Json& sa);

struct ViewInput {
  const Readings* readings;
  const Counts* before;  // nullptr: no rates yet
  const Counts* now;
  double seconds;  // between them
  int64_t time_ms;
};

// The most flows, keys and moves in a view; it says how many are left out.
inline constexpr std::size_t kMostFlows = 60;
inline constexpr std::size_t kMostLedgerRows = 250;

Json MakeView(const ViewInput& input);

}  // namespace cygnet::web
