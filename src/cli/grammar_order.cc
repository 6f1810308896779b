// Rows of what changes something.
#include "cli/argument_values.h"
#include "cli/arguments.h"
#include "cli/grammar_rows.h"

namespace cygnet {
namespace {

constexpr std::string_view kModes = "no|crypto|packet|auto|required";

constexpr Keyword kModeKeywords[] = {
    {.kind = Kind::kOneOf, .value = "auto|on|off", .field = "mode", .traits = kMandatory},
};

constexpr Command kFipsCommands[] = {
    {.word = "show",
     .alias = "list",
     .is_default = true,
     .object = Object::kFips,
     .request = "fips",
     .uses = kUsesJson | kUsesWatch,
     .help = "FIPS mode and each of its decisions: devices, engines, algorithms"},
    {.word = "mode",
     .object = Object::kFips,
     .request = "fips",
     .action = "mode",
     .keywords = kModeKeywords,
     .uses = kUsesJson,
     .help = "changes the mode until the daemon ends; SAs move immediately"},
    {.word = "reload",
     .object = Object::kFips,
     .request = "fips",
     .action = "reload",
     .uses = kUsesJson,
     .help = "reads the boundary list again; SAs move immediately"},
};

constexpr std::string_view kFipsExamples[] = {"fips", "fips mode on"};

constexpr Command kStoredCommands[] = {
    {.word = "show",
     .alias = "list",
     .is_default = true,
     .object = Object::kStored,
     .request = "stored",
     .uses = kUsesJson | kUsesWatch,
     .help = "files of the daemon: whether they are complete and can be written, and how many "
             "audit records wait or were lost; exit status 3: a problem exists"},
    {.word = "accept",
     .object = Object::kStored,
     .request = "stored",
     .action = "accept",
     .uses = kUsesJson,
     .help = "accepts an incomplete restart file as complete: its defaults apply again, and "
             "packets that no policy selects may pass"},
};

constexpr Keyword kMoveKeywords[] = {
    {.word = "group",
     .kind = Kind::kGroup,
     .value = "NAME",
     .field = "group",
     .traits = kMandatory,
     .help = "a group that this node owns"},
    {.word = "to",
     .kind = Kind::kNode,
     .value = "NODE",
     .field = "node",
     .traits = kMandatory,
     .help = "the node that gets it"},
};

constexpr Command kClusterCommands[] = {
    {.word = "show",
     .alias = "list",
     .is_default = true,
     .object = Object::kCluster,
     .request = "cluster",
     .uses = kUsesJson | kUsesWatch,
     .help = "groups that several nodes hold: who owns each, since when, the last take-over, the "
             "store and the other nodes; exit status 3: the store gives nothing"},
    {.word = "move",
     .object = Object::kCluster,
     .request = "cluster",
     .action = "move",
     .keywords = kMoveKeywords,
     .uses = kUsesJson,
     .help = "gives a group of this node to another one, whose SAs go on with the next numbers"},
};

constexpr std::string_view kClusterExamples[] = {"cluster move group vpn to gw2"};

constexpr Keyword kExplainKeywords[] = {
    {.word = "dev",
     .kind = Kind::kDevice,
     .value = "NAME",
     .field = "device",
     .traits = kMandatory,
     .help = "the device that is asked"},
    {.word = "aead",
     .kind = Kind::kAlgorithm,
     .value = "NAME [KEYBITS [ICVBITS]]",
     .field = "aead",
     .help = "as in ip-xfrm(8); KEYBITS without the salt; or enc and auth",
     .numbers = {"key_bits", "icv_bits"}},
    {.word = "enc",
     .kind = Kind::kAlgorithm,
     .value = "NAME [KEYBITS]",
     .field = "cipher",
     .help = "cipher",
     .numbers = {"key_bits", nullptr}},
    {.word = "auth",
     .kind = Kind::kAlgorithm,
     .value = "NAME [ICVBITS]",
     .field = "auth",
     .help = "authenticator",
     .numbers = {"icv_bits", nullptr}},
    {.word = "mode",
     .kind = Kind::kOneOf,
     .value = "transport|tunnel|beet",
     .field = "mode",
     .help = "default: tunnel"},
    {.word = "encap",
     .kind = Kind::kOneOf,
     .value = "espinudp",
     .field = "encap",
     .help = "ESP in UDP",
     .as_json = [](std::string_view) -> Json { return true; }},
    {.word = "replay-window",
     .kind = Kind::kNumber,
     .value = "N",
     .field = "replay_window",
     .help = "default: 32"},
    {.word = "esn", .field = "esn", .help = "extended sequence numbers"},
    {.word = "flag",
     .kind = Kind::kOneOf,
     .value = "esn",
     .field = "esn",
     .help = "the same, as ip-xfrm(8) says it",
     .as_json = [](std::string_view) -> Json { return true; }},
    {.word = "tfc", .field = "tfc", .help = "padding against traffic analysis"},
    {.word = "family",
     .kind = Kind::kOneOf,
     .value = "inet|inet6",
     .field = "ipv6",
     .help = "of the outer addresses; default: inet",
     .as_json = [](std::string_view value) -> Json { return value == "inet6"; }},
    {.word = "dir",
     .kind = Kind::kOneOf,
     .value = "in|out",
     .field = "direction",
     .help = "default: both"},
    {.word = "offload",
     .kind = Kind::kOneOf,
     .value = kModes,
     .field = "offload",
     .help = "the mode that is requested; default: crypto"},
};

void CheckExplain(Arguments* arguments) {
  const Json& request = arguments->request;
  const bool pair = request.contains("cipher") || request.contains("auth");
  if (request.contains("aead") != pair) return;
  throw UsageError{"offload explain: give either \"aead NAME\", or \"enc NAME auth NAME\""};
}

constexpr Keyword kSwitchKeywords[] = {
    {.word = "dev",
     .kind = Kind::kSwitchable,
     .value = "NAME",
     .field = "device",
     .traits = kBare | kMandatory,
     .help = "a device or an engine"},
};

constexpr Command kOffloadCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kOffloadList,
     .request = "offload",
     .uses = kUsesJson | kUsesWatch,
     .help = "what operators ordered and what is still in force: devices and engines that are "
             "disabled, placements that are set; by whom, since when and until when"},
    // "e" means "explain", not "enable".
    {.word = "explain",
     .object = Object::kExplain,
     .request = "explain",
     .keywords = kExplainKeywords,
     .uses = kUsesJson | kUsesColor,
     .help = "whether the device would accept such an SA now, by requirement; exit status 3: no",
     .check = CheckExplain},
    {.word = "enable",
     .object = Object::kOffload,
     .request = "offload",
     .action = "enable",
     .keywords = kSwitchKeywords,
     .uses = kUsesJson,
     .help = "tests the device again and moves its SAs back"},
    {.word = "disable",
     .object = Object::kOffload,
     .request = "offload",
     .action = "disable",
     .keywords = kSwitchKeywords,
     .uses = kUsesJson,
     .help = "moves all SAs away from the device immediately, until enable or the daemon's end"},
};

constexpr std::string_view kOffloadExamples[] = {
    "offload list",
    "offload explain dev nic0 aead 'rfc4106(gcm(aes))' 256 128 esn",
    "offload disable dev nic0",
};

constexpr Keyword kSetKeywords[] = {
    kSpiWord,
    kDstWord,
    kReqidWord,
    {.word = "mode",
     .kind = Kind::kOneOf,
     .value = kModes,
     .field = "mode",
     .traits = kMandatory,
     .help = "where they run"},
    {.word = "dev",
     .kind = Kind::kDevice,
     .value = "NAME",
     .field = "device",
     .help = "on this device"},
    {.word = "pin", .field = "pin", .help = "the scheduler does not move them"},
};

constexpr Keyword kUnsetKeywords[] = {kSpiWord, kDstWord, kReqidWord};

void CheckSelects(Arguments* arguments) {
  const Json& request = arguments->request;
  if (request.contains("spi") || request.contains("dst") || request.contains("reqid")) return;
  throw UsageError{"placement " + request["action"].get<std::string>() +
                   ": select SAs with \"spi\", \"dst\" or \"reqid\""};
}

constexpr Command kPlacementCommands[] = {
    {.word = "set",
     .object = Object::kPlacement,
     .request = "placement",
     .action = "set",
     .keywords = kSetKeywords,
     .uses = kUsesJson,
     .help = "overrides where matching SAs run; takes precedence over rules and clients",
     .check = CheckSelects},
    {.word = "unset",
     .object = Object::kPlacement,
     .request = "placement",
     .action = "unset",
     .keywords = kUnsetKeywords,
     .uses = kUsesJson,
     .help = "removes the override that was set with the same values",
     .check = CheckSelects},
};

constexpr std::string_view kPlacementExamples[] = {
    "placement set spi 0x1000 mode crypto dev nic0 pin",
    "placement unset spi 0x1000",
};

constexpr Keyword kSimKeywords[] = {
    {.word = "dev",
     .kind = Kind::kDevice,
     .value = "NAME",
     .field = "device",
     .traits = kBare | kMandatory,
     .help = "a software NIC"},
    {.kind = Kind::kText,
     .value = "FAULT",
     .field = "fault",
     .traits = kMandatory | kRepeats | kJoined,
     .help = "as in cygnet-sim(7)"},
};

constexpr Command kSimCommands[] = {
    {.object = Object::kSim,
     .request = "fault",
     .keywords = kSimKeywords,
     .uses = kUsesJson,
     .help = "makes a software NIC fail"},
};

constexpr std::string_view kSimExamples[] = {"sim dev nic0 link-down", "sim dev nic0 reset 500"};

constexpr Command kReloadCommands[] = {
    {.object = Object::kReload,
     .request = "reload",
     .uses = kUsesJson,
     .help = "reads the configuration again, like SIGHUP; names the changes that need a restart"},
};

}  // namespace

constexpr ObjectRow kFipsRow = {.word = "fips",
                                .help = "FIPS mode and its decisions",
                                .commands = kFipsCommands,
                                .examples = kFipsExamples};
constexpr ObjectRow kStoredRow = {
    .word = "stored", .help = "files of the daemon and their state", .commands = kStoredCommands};
constexpr ObjectRow kClusterRow = {.word = "cluster",
                                   .help = "groups that several nodes hold",
                                   .commands = kClusterCommands,
                                   .examples = kClusterExamples};
constexpr ObjectRow kOffloadRow = {.word = "offload",
                                   .help = "operators' orders in force; would a device accept?",
                                   .commands = kOffloadCommands,
                                   .examples = kOffloadExamples};
constexpr ObjectRow kPlacementRow = {.word = "placement",
                                     .help = "sets where SAs run",
                                     .commands = kPlacementCommands,
                                     .examples = kPlacementExamples};
constexpr ObjectRow kSimRow = {.word = "sim",
                               .help = "faults of a software NIC",
                               .commands = kSimCommands,
                               .examples = kSimExamples};
constexpr ObjectRow kReloadRow = {
    .word = "reload", .help = "reads the configuration again", .commands = kReloadCommands};

}  // namespace cygnet
