#include "device/sim_nic/sim_nic_faults.h"

#include <array>
#include <charconv>
#include <span>
#include <string>
#include <vector>

namespace cygnet {
namespace {

using Kind = Fault::Kind;

enum class Argument : uint8_t {
  kNone,
  kCount,    // [N]
  kErrno,    // ERRNO [N]
  kWay,      // [in|out] [N]
  kMsCount,  // MS [N]
  kLie,      // CAPABILITY
};

struct Form {
  std::string_view word;
  Kind kind;
  Argument argument;
  uint32_t count;  // if none is given
};

constexpr uint32_t kResetMs = 200;
constexpr uint32_t kReordered = 16;
constexpr uint32_t kMaxCount = 1'000'000'000;
constexpr uint32_t kMaxAddMs = 60'000;

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
    {"reorder", Kind::kReorder, Argument::kWay, kReordered},
    {"swallow", Kind::kSwallow, Argument::kWay, 1},
    {"stale-counters", Kind::kStaleCounters, Argument::kCount, Fault::kForever},
    {"slow-add", Kind::kSlowAdd, Argument::kMsCount, 1},
    {"wrong-icv", Kind::kWrongIcv, Argument::kWay, 1},
    {"wrong-inner", Kind::kWrongInner, Argument::kWay, 1},
    {"let-replay", Kind::kLetReplay, Argument::kCount, 1},
    {"no-expiry", Kind::kNoExpiry, Argument::kCount, 1},
    {"lie", Kind::kLie, Argument::kLie, 1},
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

std::string_view NameOf(Errc code) {
  for (const ErrnoName& row : kErrnos) {
    if (row.code == code) return row.name;
  }
  return "?";
}

using Args = std::span<const std::string_view>;

// Takes the first word.
std::string_view Next(Args* args) {
  if (args->empty()) return {};
  const std::string_view word = args->front();
  *args = args->subspan(1);
  return word;
}

Status ParseErrno(std::string_view text, Args* args, Fault* fault) {
  const std::string_view name = Next(args);
  for (const ErrnoName& row : kErrnos) {
    if (row.name != name) continue;
    fault->error = row.code;
    return {};
  }
  return Wrong(text, "needs ENOSPC, EINVAL, EOPNOTSUPP, EBUSY, EIO or ENOMEM");
}

Status ParseMs(std::string_view text, Args* args, Fault* fault) {
  const auto ms = Number(Next(args));
  if (!ms || *ms > kMaxAddMs) return Wrong(text, "needs milliseconds, 0 to 60000");
  fault->ms = *ms;
  return {};
}

Status ParseLie(std::string_view text, Args* args, Fault* fault) {
  fault->word = std::string(Next(args));
  if (fault->word == kNoLie || IsLie(fault->word)) return {};
  return Wrong(text, "needs " + LieForms() + "; or none");
}

void ParseWay(Args* args, Fault* fault) {
  if (args->empty() || (args->front() != "in" && args->front() != "out")) return;
  fault->way = Next(args) == "in" ? FaultWay::kIn : FaultWay::kOut;
}

// What stands in front of the count.
Status ParseFirst(std::string_view text, Argument argument, Args* args, Fault* fault) {
  switch (argument) {
    case Argument::kErrno:
      return ParseErrno(text, args, fault);
    case Argument::kMsCount:
      return ParseMs(text, args, fault);
    case Argument::kLie:
      return ParseLie(text, args, fault);
    case Argument::kWay:
      ParseWay(args, fault);
      return {};
    default:
      return {};
  }
}

}  // namespace

std::string_view FaultForms() {
  return "link-down, link-up, down, up, reset [MS], remove, insert, crash, table-full [N], "
         "table-ok, add-fail ERRNO [N], skip-seal [N], skip-icv [N], fail-seal [N], "
         "policy-miss [N], failover, reorder [in|out] [N], swallow [in|out] [N], "
         "stale-counters [MS], slow-add MS [N], wrong-icv [in|out] [N], wrong-inner [in|out] [N], "
         "let-replay [N], no-expiry [N], lie CAPABILITY, clear";
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
  Args args = std::span(words).subspan(1);
  CYGNET_RETURN_IF_ERROR(ParseFirst(text, form->argument, &args, &fault));
  const bool counted = form->argument != Argument::kNone && form->argument != Argument::kLie;
  if (counted && !args.empty()) {
    const auto number = Number(Next(&args));
    if (!number) return Wrong(text, "needs a number, 0 to 1000000000");
    fault.count = *number;
  }
  if (!args.empty()) return Wrong(text, "too many arguments");
  return fault;
}

uint32_t* PendingFaults::CountOf(Kind kind) {
  switch (kind) {
    case Kind::kTableFull:
      return &table_full_;
    case Kind::kAddFail:
      return &add_fail_;
    case Kind::kSlowAdd:
      return &slow_add_;
    case Kind::kSkipSeal:
      return &skip_seal_;
    case Kind::kSkipIcv:
      return &skip_icv_;
    case Kind::kFailSeal:
      return &fail_seal_;
    case Kind::kPolicyMiss:
      return &policy_miss_;
    case Kind::kLetReplay:
      return &let_replay_;
    case Kind::kNoExpiry:
      return &no_expiry_;
    default:
      return nullptr;
  }
}

PendingFaults::EachWay* PendingFaults::CountsOf(Kind kind) {
  switch (kind) {
    case Kind::kReorder:
      return &reorder_;
    case Kind::kSwallow:
      return &swallow_;
    case Kind::kWrongIcv:
      return &wrong_icv_;
    case Kind::kWrongInner:
      return &wrong_inner_;
    default:
      return nullptr;
  }
}

void PendingFaults::Arm(const Fault& fault) {
  if (uint32_t* count = CountOf(fault.kind)) *count = fault.count;
  if (EachWay* counts = CountsOf(fault.kind)) {
    if (fault.way != FaultWay::kIn) (*counts)[IndexOf(FaultWay::kOut)] = fault.count;
    if (fault.way != FaultWay::kOut) (*counts)[IndexOf(FaultWay::kIn)] = fault.count;
  }
  switch (fault.kind) {
    case Kind::kTableOk:
      table_full_ = 0;
      break;
    case Kind::kAddFail:
      add_error_ = fault.error;
      break;
    case Kind::kSlowAdd:
      add_ms_ = fault.ms;
      break;
    case Kind::kStaleCounters:
      stale_ms_ = fault.count == 0 ? std::nullopt : std::optional(fault.count);
      break;
    case Kind::kLie:
      if (fault.word == kNoLie) lies_.clear();
      if (fault.word != kNoLie) lies_.push_back(fault.word);
      break;
    case Kind::kClear:
      *this = PendingFaults(dice_);
      break;
    default:
      break;
  }
}

PendingFaults PendingFaults::OnlyLies() const {
  PendingFaults lying(dice_);
  lying.lies_ = lies_;
  return lying;
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

uint32_t PendingFaults::NextAddMs() { return Use(&slow_add_) ? add_ms_ : 0; }

bool PendingFaults::NextMissesPolicy() { return Use(&policy_miss_); }

SealFault PendingFaults::NextSeal() {
  if (Use(&fail_seal_)) return SealFault::kFailSeal;
  if (Use(&skip_seal_)) return SealFault::kSkipSeal;
  if (Use(&skip_icv_)) return SealFault::kSkipIcv;
  return SealFault::kNone;
}

// splitmix64
uint64_t PendingFaults::Throw(uint64_t sides) {
  uint64_t z = (dice_ += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (z ^ (z >> 31)) % sides;
}

}  // namespace cygnet
