// AddressUpdates: tells the data path the addresses of this host, at a limited rate, so that a
// flood of router advertisements costs little. The workers' flow caches stay valid while the
// addresses are unchanged. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "datapath/data_path.h"
#include "net/address.h"

namespace cygnet {

class AddressUpdates {
 public:
  // `read`: the present ones.
  AddressUpdates(DataPath* path, const Clock* clock,
                 std::function<std::vector<ParsedAddress>()> read)
      : path_(*path), clock_(*clock), read_(std::move(read)) {}

  void OnChange() { changed_ = true; }
  // Reads them if they changed.
  void ReadNow();
  // As ReadNow, but not soon after the last reading.
  void ReadIfDue();

 private:
  DataPath& path_;
  const Clock& clock_;
  const std::function<std::vector<ParsedAddress>()> read_;
  bool changed_ = false;
  uint64_t next_at_ns_ = 0;
};

}  // namespace cygnet
