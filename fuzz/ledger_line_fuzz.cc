// A line of the ledger file: whatever it contains, the parsed entry is written and read back
// unchanged.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "daemon/store/ledger_line.h"

namespace {
const cygnet::LedgerStamp kStamp{"host", "boot"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  const std::string_view line(reinterpret_cast<const char*>(data), size);
  const auto parsed = cygnet::ParseLedgerLine(line);
  if (!parsed.has_value()) return 0;
  const std::string again = cygnet::LedgerLineText(*parsed, kStamp);
  const auto reread = cygnet::ParseLedgerLine(again);
  CYGNET_CHECK(again.size() > cygnet::kMaxLedgerLine || reread.has_value());
  if (reread.has_value()) CYGNET_CHECK(cygnet::LedgerLineText(*reread, kStamp) == again);
  return 0;
}
