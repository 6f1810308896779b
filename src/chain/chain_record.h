// The fields that each line of the ledger begins with, read without a JSON parser: a chain has many
// lines. Used by the check alone.
#pragma once

#include <string_view>

namespace cygnet {

struct RecordStart {
  std::string_view time{};
  std::string_view host{};
  std::string_view boot{};
  std::string_view event{};
};

// Empty fields: the line does not begin like a record of cygnetd.
RecordStart ReadRecordStart(std::string_view line);

}  // namespace cygnet
