#include "device/sim_nic/sim_nic_faults.h"

#include <array>
#include <charconv>
#include <string>
#include <vector>

namespace cygnet {
namespace {

using Kind = Fault::Kind;

enum class Argument : uint8_t { kNone, kCount, kErrno };

struct Form {
  std::string_view word;
  Kind kind;
  Argument argument;
  uint32_t count;  // if none is given
};

constexpr uint32_t kResetMs = 200;
constexpr uint32_t kMaxCount = 1'000'000'000;

constexpr Form kForms[] = {
    {"link-down", Kind::kLinkDown, Argument::kNone, 1},
    {"link-up", Kind::kLinkUp, Argument::kNone, 1},
    {"down", Kind::kDown, Argument::kNone, 1},
    {"up", Kind::kUp, Argument::kNone, 1},
    {"reset", Kind::kReset, Argument::kCount, kResetMs},
    {"remove", Kind::kRemove, Argument::kNone, 1},
    {"insert", Kind::kInsert, Argument::kNone, 1},
    {"crash", Kind::kCrash, Argument::kNone, 1},
    {"table-full", Kind::kTableFull, Argument::kCount, Fault::kForever},
    {"table-ok", Kind::kTableOk, Argument::kNone, 1},
    {"add-fail", Kind::kAddFail, Argument::kErrno, 1},
    {"skip-seal", Kind::kSkipSeal, Argument::kCount, 1},
    {"skip-icv", Kind::kSkipIcv, Argument::kCount, 1},
    {"fail-seal", Kind::kFailSeal, Argument::kCount, 1},
    {"failover", Kind::kFailOver, Argument::kNone, 1},
    {"policy-miss", Kind::kPolicyMiss, Argument::kCount, 1},
    {"clear", Kind::kClear, Argument::kNone, 1},
};

struct ErrnoName {
  std::string_view name;
  Errc code;
};
constexpr ErrnoName kErrnos[] = {
    {"ENOSPC", Errc::kNoSpace}, {"EINVAL", Errc::kInvalid}, {"EOPNOTSUPP", Errc::kNotSupported},
    {"EBUSY", Errc::kBusy},     {"EIO", Errc::kIo},         {"ENOMEM", Errc::kNoMemory},
};

std::vector<std::string_view> Words(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  std::vector<std::string_view> words;
  for (auto at = text.find_first_not_of(kBlank); at != std::string_view::npos;) {
    const auto end = std::min(text.find_first_of(kBlank, at), text.size());
    words.push_back(text.substr(at, end - at));
    at = text.find_first_not_of(kBlank, end);
  }
  return words;
}

std::optional<uint32_t> Number(std::string_view word) {
  uint32_t n = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), n);
  if (error != std::errc{} || end != word.data() + word.size() || n > kMaxCount) {
    return std::nullopt;
  }
  return n;
}

Error Wrong(std::string_view text, const std::string& why) {
  return MakeError(Errc::kInvalid, "fault \"" + std::string(text) + "\": " + why + "; faults are " +
                                       std::string(FaultForms()));
}

// Uses up one of several that are due; false if none is.
bool Use(uint32_t* count) {
  if (*count == 0) return false;
  if (*count != Fault::kForever) --*count;
  return true;
}

std::string_view NameOf(Errc code) {
  for (const ErrnoName& row : kErrnos) {
    if (row.code == code) return row.name;
  }
  return "?";
}

}  // namespace

std::string_view FaultForms() {
  return "link-down, link-up, down, up, reset [MS], remove, insert, crash, table-full [N], "
         "table-ok, add-fail ERRNO [N], skip-seal [N], skip-icv [N], fail-seal [N], "
         "policy-miss [N], failover, clear";
}

Result<Fault> ParseFault(std::string_view text) {
  const std::vector<std::string_view> words = Words(text);
  if (words.empty()) return Wrong(text, "empty");
  const Form* form = nullptr;
  for (const Form& candidate : kForms) {
    if (candidate.word == words[0]) form = &candidate;
  }
  if (form == nullptr) return Wrong(text, "unknown fault");
  Fault fault{.kind = form->kind, .count = form->count};
  std::size_t next = 1;
  if (form->argument == Argument::kErrno) {
    const std::string_view name = next < words.size() ? words[next++] : std::string_view{};
    const ErrnoName* found = nullptr;
    for (const ErrnoName& row : kErrnos) {
      if (row.name == name) found = &row;
    }
    if (found == nullptr) {
      return Wrong(text, "needs ENOSPC, EINVAL, EOPNOTSUPP, EBUSY, EIO or ENOMEM");
    }
    fault.error = found->code;
  }
  if (form->argument != Argument::kNone && next < words.size()) {
    const auto number = Number(words[next++]);
    if (!number) return Wrong(text, "needs a number, 0 to 1000000000");
    fault.count = *number;
  }
  if (next < words.size()) return Wrong(text, "too many arguments");
  return fault;
}

void PendingFaults::Arm(const Fault& fault) {
  switch (fault.kind) {
    case Kind::kTableFull:
      table_full_ = fault.count;
      break;
    case Kind::kTableOk:
      table_full_ = 0;
      break;
    case Kind::kAddFail:
      add_fail_ = fault.count;
      add_error_ = fault.error;
      break;
    case Kind::kSkipSeal:
      skip_seal_ = fault.count;
      break;
    case Kind::kSkipIcv:
      skip_icv_ = fault.count;
      break;
    case Kind::kFailSeal:
      fail_seal_ = fault.count;
      break;
    case Kind::kPolicyMiss:
      policy_miss_ = fault.count;
      break;
    case Kind::kClear:
      *this = {};
      break;
    default:
      break;
  }
}

std::optional<DeviceRefusal> PendingFaults::NextAdd() {
  if (Use(&table_full_)) {
    return DeviceRefusal{InstallError::kTableFull, Errc::kNotSupported, "no SA slot free (fault)"};
  }
  if (Use(&add_fail_)) {
    return DeviceRefusal{InstallError::kRefused, add_error_,
                         "device refused with " + std::string(NameOf(add_error_)) + " (fault)"};
  }
  return std::nullopt;
}

bool PendingFaults::NextMissesPolicy() { return Use(&policy_miss_); }

SealFault PendingFaults::NextSeal() {
  if (Use(&fail_seal_)) return SealFault::kFailSeal;
  if (Use(&skip_seal_)) return SealFault::kSkipSeal;
  if (Use(&skip_icv_)) return SealFault::kSkipIcv;
  return SealFault::kNone;
}

}  // namespace cygnet
