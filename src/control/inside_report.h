// What operators see of an inside interface.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace cygnet {

// The interface that the daemon made for the host, as it is now.
struct HostSideReport {
  std::string state = "present";  // "removed", "elsewhere" (HostPresence)
  std::string explanation{};
};

struct InsideReport {
  std::string name;
  std::string device;
  std::string state;        // "native", "generic", "down", "gone" …
  std::string explanation;  // why packets go by the host; empty: they need not
  uint64_t in_packets = 0;  // taken from it
  uint64_t in_bytes = 0;
  uint64_t out_packets = 0;  // sent by it
  uint64_t out_bytes = 0;
  uint64_t dropped = 0;          // before a worker had them
  uint64_t misses = 0;           // of the device: went by the host although the interface exists
  std::size_t hosts = 0;         // behind it
  std::size_t prefixes = 0;      // taken, of all classes of sources
  std::size_t left_to_host = 0;  // protected, but not taken
};

}  // namespace cygnet
