#include "device/sim_nic/sim_nic_script.h"

#include <algorithm>
#include <charconv>

#include "settings/fields.h"

namespace cygnet {
namespace {

constexpr std::size_t kMaxRows = 1000;
constexpr std::size_t kMaxDue = 64;
constexpr uint64_t kMaxMs = 86'400'000;  // a day
constexpr uint32_t kMaxPackets = 1'000'000'000;

struct Pause {
  uint64_t shortest = 0;  // milliseconds
  uint64_t longest = 0;
};

// The keys of a [[fault]] table.
struct FaultTable {
  std::optional<uint64_t> at;  // milliseconds
  std::optional<uint32_t> after_packets;
  std::optional<Pause> every;
  std::vector<std::string> actions;
};

// The keys before the first [[fault]].
struct ScriptHead {
  std::optional<uint64_t> until;  // milliseconds
};

Error Invalid(std::string text) { return MakeError(Errc::kInvalid, std::move(text)); }

// "500ms" or "2s", in milliseconds.
std::optional<uint64_t> ParseTime(const TomlValue& value) {
  const auto* text = value.As<std::string>();
  if (text == nullptr) return std::nullopt;
  uint64_t n = 0;
  const char* const end = text->data() + text->size();
  const auto [unit, error] = std::from_chars(text->data(), end, n);
  const std::string_view word(unit, static_cast<std::size_t>(end - unit));
  if (error != std::errc{} || n > kMaxMs || (word != "ms" && word != "s")) return std::nullopt;
  const uint64_t ms = word == "s" ? n * 1000 : n;
  return ms <= kMaxMs ? std::optional(ms) : std::nullopt;
}

// Scripts are only read, so nothing formats these values.
template <typename M>
Codec<M> ReadOnly(std::string values, Status (*read)(const TomlValue&, M*)) {
  return {std::move(values), read, [](const M&) { return std::nullopt; }};
}

Status ReadTime(const TomlValue& value, uint64_t* out) {
  const auto ms = ParseTime(value);
  if (!ms) return Invalid("must be a time such as \"500ms\" or \"2s\", at most a day");
  *out = *ms;
  return {};
}

// One pause, or the shortest and the longest.
Status ReadPause(const TomlValue& value, Pause* out) {
  const auto* pair = value.As<TomlValue::Array>();
  const bool two = pair != nullptr && pair->size() == 2;
  const auto from = ParseTime(two ? (*pair)[0] : value);
  const auto to = two ? ParseTime((*pair)[1]) : from;
  if (!from || !to || *from == 0 || *to < *from) {
    return Invalid(
        "must be a pause such as \"500ms\" or [\"200ms\", \"900ms\"], more than 0 and at most a "
        "day");
  }
  *out = {*from, *to};
  return {};
}

// One fault, or several of which one is drawn each time.
Status ReadActions(const TomlValue& value, std::vector<std::string>* out) {
  const auto* array = value.As<TomlValue::Array>();
  const TomlValue::Array actions = array != nullptr ? *array : TomlValue::Array{value};
  if (actions.empty()) return Invalid("must name a fault");
  for (const TomlValue& action : actions) {
    const auto* text = action.As<std::string>();
    if (text == nullptr) return WrongType("a string or an array of strings", action);
    const auto fault = ParseFault(*text);
    if (!fault) return fault.error();
    out->push_back(*text);
  }
  return {};
}

const std::vector<Field<ScriptHead>>& HeadFields() {
  static const std::vector<Field<ScriptHead>> kFields = {
      {"until", &ScriptHead::until, Optional(ReadOnly("time", ReadTime)), "when the faults end"},
  };
  return kFields;
}

const std::vector<Field<FaultTable>>& FaultFields() {
  static const std::vector<Field<FaultTable>> kFields = {
      {"at", &FaultTable::at, Optional(ReadOnly("time", ReadTime)),
       "once, this long after the start"},
      {"after_packets", &FaultTable::after_packets, Optional(Number(0, kMaxPackets)),
       "once, after this many packets"},
      {"every", &FaultTable::every, Optional(ReadOnly("pause", ReadPause)),
       "repeatedly, with this pause"},
      {"do", &FaultTable::actions, ReadOnly("fault, or array of faults", ReadActions),
       "what happens", KeyKind::kNeeded},
  };
  return kFields;
}

}  // namespace

Result<FaultScript> FaultScript::Parse(std::string_view text, const std::string& source,
                                       uint64_t seed) {
  const auto root = ParseToml(text, source);
  if (!root) return root.error();
  std::vector<FieldInfo> known = InfoOf(HeadFields());
  known.push_back({"fault", "", ""});
  CYGNET_RETURN_IF_ERROR(CheckKeys(*root, known));
  ScriptHead head;
  CYGNET_RETURN_IF_ERROR(ReadFields(*root, HeadFields(), &head));
  FaultScript script;
  script.until_ms_ = head.until.value_or(kNever);
  const TomlEntry* faults = root->Find("fault");
  if (faults == nullptr) return script;
  const auto* tables = faults->value.As<TomlValue::Tables>();
  if (tables == nullptr) {
    return root->Wrong("fault", "must be an array of tables: [[fault]], is " +
                                    std::string(faults->value.TypeName()));
  }
  if (tables->size() > kMaxRows) return root->Wrong("fault", "must not have more than 1000 tables");
  for (const TomlTable& table : *tables) {
    auto row = ParseRow(table);
    if (!row) return row.error();
    row->dice = seed ^ (uint64_t{script.rows_.size() + 1} << 32);
    row->due = row->first;
    if (row->trigger == Trigger::kEvery) row->due += Throw(&*row, row->last - row->first + 1);
    script.rows_.push_back(*std::move(row));
  }
  return script;
}

Result<FaultScript::Row> FaultScript::ParseRow(const TomlTable& table) {
  CYGNET_RETURN_IF_ERROR(CheckKeys(table, InfoOf(FaultFields())));
  FaultTable fault;
  CYGNET_RETURN_IF_ERROR(ReadFields(table, FaultFields(), &fault));
  Row row{.line = table.line};
  if (fault.at.has_value() + fault.after_packets.has_value() + fault.every.has_value() != 1) {
    return table.Wrong("do", "needs one of the keys at, after_packets and every in the same table");
  }
  if (fault.at) {
    row.first = *fault.at;
  } else if (fault.after_packets) {
    row.trigger = Trigger::kAfterPackets;
    row.first = *fault.after_packets;
  } else {
    row.trigger = Trigger::kEvery;
    row.first = fault.every->shortest;
    row.last = fault.every->longest;
  }
  for (const std::string& action : fault.actions)
    row.choices.push_back({*ParseFault(action), action});
  return row;
}

// splitmix64: the standard distributions differ between libraries.
uint64_t FaultScript::Throw(Row* row, uint64_t sides) {
  uint64_t z = (row->dice += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (z ^ (z >> 31)) % sides;
}

// The row that has been due longest; rows of packets have no time.
FaultScript::Row* FaultScript::NextRow(uint64_t ms, uint64_t packets) {
  Row* next = nullptr;
  for (Row& row : rows_) {
    if (row.due == kNever) continue;
    if (row.trigger == Trigger::kAfterPackets) {
      if (packets >= row.due) return &row;
    } else if (row.due <= ms && (next == nullptr || row.due < next->due)) {
      next = &row;
    }
  }
  return next;
}

std::vector<FaultScript::Due> FaultScript::Take(uint64_t ms, uint64_t packets) {
  std::vector<Due> out;
  while (out.size() < kMaxDue) {
    Row* row = NextRow(ms, packets);
    if (row == nullptr) break;
    const uint64_t at = row->trigger == Trigger::kAfterPackets ? ms : row->due;
    if (at > until_ms_) {
      row->due = kNever;
      continue;
    }
    const Choice& choice = row->choices[Throw(row, row->choices.size())];
    out.push_back({choice.fault, choice.text, row->line, at});
    row->due = row->trigger != Trigger::kEvery
                   ? kNever
                   : row->due + row->first + Throw(row, row->last - row->first + 1);
  }
  return out;
}

uint64_t FaultScript::NextMs() const {
  uint64_t next = kNever;
  for (const Row& row : rows_) {
    if (row.trigger != Trigger::kAfterPackets) next = std::min(next, row.due);
  }
  return next <= until_ms_ ? next : kNever;
}

uint64_t FaultScript::NextPackets() const {
  uint64_t next = kNever;
  for (const Row& row : rows_) {
    if (row.trigger == Trigger::kAfterPackets) next = std::min(next, row.due);
  }
  return next;
}

}  // namespace cygnet
