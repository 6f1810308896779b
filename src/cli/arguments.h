// The command line: cygnet [-j] OBJECT [COMMAND] [KEYWORD VALUE ...], as iproute2 has it.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

enum class Object : uint8_t {
  kSa,
  kPolicy,
  kDevice,
  kStat,
  kStatSa,  // "stat sa": asks as kSa does, shows what went wrong
  kEngine,
  kMtu,
  kFips,
  kDoctor,      // its exit status is the answer
  kDoctorFips,  // "doctor --fips": asks as kFips does, likewise
  kLedger,
  kOffload,  // "offload enable" …: what moved
  kExplain,  // "offload explain"
  kPlacement,
  kSim,
  kReload,
  kStored,
  kMetrics,
  kCapture,
  kExec,
  kVersion,
  kHelp
};

struct Arguments {
  Object object = Object::kHelp;
  bool json = false;
  Json request;                   // what the daemon is asked; null for exec, metrics, version, help
  bool all = false;               // stat: zeros too; dev: the key log too
  std::string write_file = "-";   // capture: "-" = standard output
  std::optional<uint64_t> count;  // capture: end after so many packets
  std::size_t command_at = 0;     // exec: index of the command
  std::string_view help_for;      // help: of this object; empty: of all
};

// `words`: as main has them, without the program's name. Messages are for people.
Result<Arguments> ParseArguments(std::span<const char* const> words);

// `object`: of it alone; empty: of all. help_text.cc
std::string HelpText(std::string_view object = {});

}  // namespace cygnet
