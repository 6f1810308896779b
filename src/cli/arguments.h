// The command line: cygnet [-j] OBJECT [COMMAND] [KEYWORD VALUE ...], in the style of iproute2.
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
  kStatSa,  // "stat sa": the request of kSa, shown as drops
  kEngine,
  kMtu,
  kTunnel,
  kFips,
  kDoctor,      // the exit status is the answer
  kDoctorFips,  // "doctor --fips": the request of kFips; likewise
  kLedger,
  kOffload,  // "offload enable|disable"
  kExplain,  // "offload explain"
  kPlacement,
  kSim,
  kReload,
  kStored,
  kCluster,
  kMetrics,
  kCapture,
  kExtcap,
  kExec,
  kVersion,
  kHelp
};

// What Wireshark asks of an extcap program.
enum class ExtcapAction : uint8_t { kInterfaces, kDlts, kConfig, kCapture };

struct Arguments {
  Object object = Object::kHelp;
  bool json = false;
  Json request;                   // to the daemon; null for exec, metrics, version, help
  bool all = false;               // stat: also zeros; dev: also the key log
  std::string write_file = "-";   // capture, extcap: "-" = standard output
  std::optional<uint64_t> count;  // capture: number of packets to write
  ExtcapAction extcap = ExtcapAction::kInterfaces;
  std::size_t command_at = 0;  // exec: index of the command
  std::string_view help_for;   // help: the object; empty: all of them
};

// `words`: the arguments of main without the program name. Error messages are for the operator.
Result<Arguments> ParseArguments(std::span<const char* const> words);

// The help of one object, or of all of them if `object` is empty. In help_text.cc.
std::string HelpText(std::string_view object = {});

}  // namespace cygnet
