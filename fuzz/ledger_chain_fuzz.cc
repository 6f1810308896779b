// A ledger's files: whatever they contain, the check ends, its findings have places, and it does
// not call them whole: nobody has signed a head.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "chain/chain_check.h"

namespace {

constexpr uint8_t kByLinks = 0x01;  // the lines get links, and so become a chain

cygnet::ChainVerdict Check(std::string_view first, std::string_view second) {
  cygnet::ChainCheck check;
  check.Expect({.number = 3, .hash = {}});
  check.Take("ledger.1", first);
  check.Take("ledger", second);
  check.Finish();
  return check.verdict();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const uint8_t kind = data[0];
  std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  if ((kind & kByLinks) != 0) {
    cygnet::ChainHead head;
    text = cygnet::LinkedLines(text, &head);
  }
  const std::size_t cut = static_cast<std::size_t>(kind >> 1) * text.size() / 128;
  const auto verdict =
      Check(std::string_view(text).substr(0, cut), std::string_view(text).substr(cut));
  CYGNET_CHECK(!verdict.problems.empty());  // record 3 has another hash, or does not exist
  CYGNET_CHECK(verdict.problems.size() <= cygnet::ChainCheck::kMaxFindings);
  for (const auto& row : verdict.problems) {
    CYGNET_CHECK(!row.file.empty() && !row.text.empty() && row.line <= text.size());
  }
  return 0;
}
