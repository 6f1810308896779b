// The grammar of the command line, as data: object, command, keywords. Parser (arguments.cc), help
// (help_text.cc), completion (complete.cc), suggestions and the check of the manual page read this
// table; nothing else knows the words.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cygnet {

using Json = nlohmann::ordered_json;

struct Arguments;

// What a command line is about. Some commands of an object have their own.
enum class Object : uint8_t {
  kSa,
  kPolicy,
  kDevice,
  kStat,
  kStatSa,  // "stat sa": the request of kSa, shown as drops
  kEngine,
  kMtu,
  kTunnel,
  kFips,
  kDoctor,      // the exit status is the answer
  kDoctorFips,  // "doctor --fips": the request of kFips; likewise
  kLedger,
  kLedgerFiles,  // "ledger verify", "report", "key"
  kOffload,      // "offload enable", "disable"
  kOffloadList,
  kExplain,  // "offload explain"
  kPlacement,
  kSim,
  kReload,
  kStored,
  kCluster,
  kMetrics,
  kTop,
  kMonitor,
  kWhy,
  kCapture,
  kExtcap,
  kExec,
  kCompanion,  // "web", "conformance": programs of their own
  kComplete,
  kVersion,
  kHelp
};

// The value of a keyword: how it is read (argument_values.cc) and completed (complete.cc).
enum class Kind : uint8_t {
  kFlag,  // none: the keyword is all
  kNumber,
  kSeconds,  // may have a fraction
  kAddress,
  kProtocol,  // a number, or a name of IANA
  kOneOf,     // a word of Keyword::value: "host|wire|guard"
  kSpi,
  kDevice,
  kSwitchable,  // a device or an engine
  kHolder,      // a device or an engine; also one of the past
  kAlgorithm,   // with up to two numbers behind it (Keyword::numbers)
  kGroup,
  kNode,
  kFile,
  kText,
  kTime,       // UTC; what is left out is the beginning
  kTimeEnd,    // UTC; what is left out is the end
  kPublicKey,  // of a ledger
  kChainHead,  // HASH@RECORD
  kWiresharkInterface
};

// Traits of a keyword, as bits.
inline constexpr uint8_t kLocal = 1;      // goes to Arguments::local: not for the daemon
inline constexpr uint8_t kRepeats = 2;    // its values are an array
inline constexpr uint8_t kMandatory = 4;  // the command needs it
inline constexpr uint8_t kBare = 8;     // the value may stand without the keyword, as in ip-link(8)
inline constexpr uint8_t kJoined = 16;  // with kRepeats: one text, with spaces, instead of an array

struct Keyword {
  std::string_view word{};   // "spi", "--key"; empty: the value stands alone
  std::string_view alias{};  // "-a" of "--all"
  Kind kind = Kind::kFlag;
  std::string_view value{};  // how help calls the value: "SPI"; kOneOf: its words
  const char* field = "";    // of the request
  uint8_t traits = 0;
  std::string_view help{};
  uint64_t min = 0;  // of a number
  uint64_t max = ~uint32_t{0};
  Json (*as_json)(std::string_view value) = nullptr;  // if not the value itself
  const char* numbers[2] = {nullptr, nullptr};        // kAlgorithm: fields of the numbers

  constexpr bool Has(uint8_t trait) const { return (traits & trait) != 0; }
  constexpr bool IsOption() const { return word.starts_with('-'); }
};

// Options that a command has a use for, as bits. -h and -V are for all.
inline constexpr uint16_t kUsesJson = 1;  // also -p
inline constexpr uint16_t kUsesBrief = 2;
inline constexpr uint16_t kUsesStatistics = 4;
inline constexpr uint16_t kUsesColor = 8;
inline constexpr uint16_t kUsesWatch = 16;
inline constexpr uint16_t kUsesSum = 32;

struct Command {
  std::string_view word{};   // "list"; empty: the object has no commands
  std::string_view alias{};  // "show"
  bool is_default = false;   // may be left out
  Object object = Object::kHelp;
  const char* request = nullptr;  // field "command" of the request; nullptr: asks nothing
  const char* action = nullptr;   // its field "action"
  std::span<const Keyword> keywords{};
  uint16_t uses = 0;
  std::string_view rest{};  // how help calls words that are not ours: "-- COMMAND [ARGUMENT ...]"
  std::string_view help{};
  // What keywords need of each other. Throws UsageError.
  void (*check)(Arguments* arguments) = nullptr;
};

struct ObjectRow {
  std::string_view word{};
  std::string_view help{};  // in the list of objects
  std::span<const Command> commands{};
  std::span<const std::string_view> examples{};  // whole command lines, without "cygnet"
  bool is_exact = false;                         // cannot be shortened
  bool is_hidden = false;                        // not in help
};

// Options, which may stand anywhere before words that are not ours.
enum class Option : uint8_t {
  kJson,
  kPretty,
  kBrief,
  kStatistics,
  kColor,
  kWatch,
  kSum,
  kHelp,
  kVersion
};

struct OptionRow {
  Option option;
  uint16_t use;            // the bit that a command must have; 0: all have it
  bool value_is_optional;  // it is given as "--color=never"
  Keyword keyword;
};

// A shortened name means the first object of the table that it begins.
std::span<const ObjectRow* const> ObjectRows();
std::span<const OptionRow> OptionRows();
const ObjectRow* FindObject(std::string_view word);  // nullptr: none

// "spi SPI", "[dev] NAME", "FILE ...", with brackets if it may be left out.
std::string FormOf(const Keyword& keyword);
// "offload explain dev NAME …", in words that a line break may separate.
std::vector<std::string> SynopsisOf(const ObjectRow& row, const Command& command);
// "sa", "offload explain": for messages.
std::string TitleOf(const ObjectRow& row, const Command& command);

}  // namespace cygnet
