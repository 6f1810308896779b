// Flows: the halves of SAs with their rates, computed from two successive readings.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "client/readings.h"

namespace cygnet {

// What one SA had counted, to get rates.
struct Counted {
  uint64_t packets = 0;
  uint64_t bytes = 0;
  uint64_t drops = 0;
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

inline double Rate(uint64_t rise, double seconds) {
  return seconds > 0 ? static_cast<double>(rise) / seconds : 0.0;
}

// The identity of an SA in Counts.
std::string SaKey(const Json& sa);

// "out" or "in": the half of an SA that is in use.
std::string UsedDirection(const Json& sa);

// Two successive readings. All must outlive what is made of them.
struct Interval {
  const Readings* readings;  // the later one
  const Counts* before;      // nullptr: no rates yet
  const Counts* now;
  double seconds;  // between them
};

struct Flow {
  const Json* sa;
  const Json* half;
  double packets;  // per second
  double bits;     // per second
  double drops;    // per second
  // The SA is used the other way: a client that names no direction gets both halves.
  bool unused;
};

// In the order of the reading. SAs without a placement (larval) have no flow.
std::vector<Flow> FlowsOf(const Interval& interval);

}  // namespace cygnet
