#include "base/text_file.h"
#include "daemon/store/restart_log.h"
#include "daemon/store/restart_replay.h"

namespace cygnet {
namespace {

using restart_record::kDamaged;
using restart_record::kFormat;
using restart_record::kFormatName;
using restart_record::kSerial;
using restart_record::kSettled;

}  // namespace

// Executes what the file says, and judges whether all of it is there.
void RestartLog::Read(MissingFile missing, RecordScan* scan) {
  const auto text = ReadOwnFile(path_);
  if (!text) {
    const std::string told = anchor_.Judge(nullptr);
    if (text.error().code != Errc::kNoEntry) {
      damage_ = text.error().message;
    } else if (!told.empty()) {
      damage_ = path_ + ": " + told;
    } else if (missing == MissingFile::kIsDamage) {
      damage_ = path_ + ": it is missing, but interfaces of an earlier daemon exist";
    }
    return;
  }
  interfaces_.SetStayed(missing == MissingFile::kIsDamage);
  RestartReplay replay(control_, &interfaces_);
  std::size_t records = 0;
  std::string refused;
  bool was_damaged = false;
  const auto take = [&](uint32_t type, std::span<const uint8_t> payload) {
    const std::string_view words(reinterpret_cast<const char*>(payload.data()), payload.size());
    Status taken;
    if (records++ == 0) {
      if (type != kFormat || words != kFormatName) taken = MakeError(Errc::kInvalid);
    } else if (type == kDamaged) {
      was_damaged = true;
      damage_ = words;
    } else if (type == kSettled) {
      was_damaged = false;
    } else if (type != kSerial) {
      taken = replay.Take(type, payload);
    }
    if (taken || !refused.empty()) return;
    const std::string& why = taken.error().message;
    refused = "record " + std::to_string(records) + " cannot be understood" +
              (why.empty() ? "" : ": " + why);
  };
  *scan = RecordFile::Scan({reinterpret_cast<const uint8_t*>(text->data()), text->size()}, take);
  if (scan->whole && records == 0) refused = "it is empty";
  if (scan->whole && refused.empty()) refused = anchor_.Judge(scan);
  if (!was_damaged) damage_.clear();
  if (!refused.empty()) scan->whole = false;
  if (!scan->whole) damage_ = path_ + ": " + (refused.empty() ? scan->damage : refused);
  // Not before: a later record may be about a policy whose time is over.
  control_->CheckPolicyTimes();
  lost_ = replay.TakeLost();
  if (replay.has_defaults()) remembered_ = control_->GetDefaults();
  cut_ = !scan->whole;
}

}  // namespace cygnet
