#include "chain/chain_record.h"

namespace cygnet {
namespace {

// The text of `before` and a value up to the next quote, taken off `line`.
bool TakeField(std::string_view before, std::string_view* line, std::string_view* value) {
  if (!line->starts_with(before)) return false;
  line->remove_prefix(before.size());
  const std::size_t end = line->find('"');
  if (end == std::string_view::npos) return false;
  *value = line->substr(0, end);
  line->remove_prefix(end);
  return true;
}

}  // namespace

RecordStart ReadRecordStart(std::string_view line) {
  RecordStart start;
  if (!TakeField(R"({"time":")", &line, &start.time) ||
      !TakeField(R"(","host":")", &line, &start.host) ||
      !TakeField(R"(","boot":")", &line, &start.boot) ||
      !TakeField(R"(","event":")", &line, &start.event)) {
    return {};
  }
  return start;
}

}  // namespace cygnet
