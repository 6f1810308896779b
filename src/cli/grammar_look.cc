// Rows of what only looks.
#include "cli/argument_values.h"
#include "cli/arguments.h"
#include "cli/grammar_rows.h"

namespace cygnet {
namespace {

constexpr uint16_t kUsesList = kUsesJson | kUsesWatch;

constexpr Keyword kSaKeywords[] = {
    kSpiWord,
    kDstWord,
    kSrcWord,
    kReqidWord,
    {.word = "--show-keys", .field = "show_keys", .help = "also the keys; the audit notes it"},
};

void CheckKeys(Arguments* arguments) {
  if (!arguments->request.contains("show_keys")) return;
  if (!arguments->brief && arguments->sum.empty()) return;
  throw UsageError{"--show-keys: brief lists and sums have no keys"};
}

constexpr Command kSaCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kSa,
     .request = "sa",
     .keywords = kSaKeywords,
     .uses = kUsesList | kUsesBrief | kUsesStatistics | kUsesColor | kUsesSum,
     .help = "SAs: where each half runs, since when and why, its counters and its history",
     .check = CheckKeys},
};

constexpr std::string_view kSaExamples[] = {
    "sa -br", "sa dst 192.0.2.2 -s", "sa spi 0x1000 --watch 1", "sa --sum peer", "-j sa reqid 7",
};

constexpr Command kPolicyCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kPolicy,
     .request = "policy",
     .uses = kUsesList | kUsesBrief | kUsesColor,
     .help = "policies, with their templates and use"},
};

constexpr std::string_view kPolicyExamples[] = {"policy -br"};

constexpr Keyword kDeviceKeywords[] = {
    {.word = "dev",
     .kind = Kind::kDevice,
     .value = "NAME",
     .field = "name",
     .traits = kBare,
     .help = "this device alone"},
};

constexpr Command kDeviceCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kDevice,
     .request = "dev",
     .keywords = kDeviceKeywords,
     .uses = kUsesList | kUsesBrief | kUsesStatistics | kUsesColor,
     .help = "devices: identity, state, capabilities, held keys and traffic; -s: also the "
             "statistics of the driver and the device's own key log"},
};

constexpr std::string_view kDeviceExamples[] = {"dev nic0 -s", "dev -br"};

constexpr Keyword kStatKeywords[] = {
    {.word = "--all", .alias = "-a", .field = "all", .traits = kLocal, .help = "also zeros"},
};

constexpr Keyword kStatSaKeywords[] = {kSpiWord, kDstWord, kSrcWord, kReqidWord};

constexpr Command kStatCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kStat,
     .request = "stat",
     .keywords = kStatKeywords,
     .uses = kUsesList | kUsesBrief,
     .help = "drop counters: the kernel's XfrmIn... and XfrmOut..., and Cygnet's own"},
    {.word = "sa",
     .object = Object::kStatSa,
     .request = "sa",
     .keywords = kStatSaKeywords,
     .uses = kUsesList | kUsesBrief,
     .help = "drop counters of each SA"},
};

constexpr std::string_view kStatExamples[] = {"stat -a", "stat sa dst 192.0.2.2",
                                              "stat -br --watch 5"};

constexpr Command kEngineCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kEngine,
     .request = "engine",
     .uses = kUsesList | kUsesBrief | kUsesColor,
     .help = "crypto engines: capabilities, order of use and counters"},
};

constexpr Command kTunnelCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kTunnel,
     .request = "tunnel",
     .uses = kUsesList | kUsesBrief,
     .help = "tunnel interfaces: if_id or mark, their policies, SAs and counters"},
};

constexpr Keyword kSport = {.word = "sport",
                            .kind = Kind::kNumber,
                            .value = "PORT",
                            .field = "sport",
                            .help = "source port",
                            .max = 65'535};
constexpr Keyword kKey = {.word = "key",
                          .kind = Kind::kNumber,
                          .value = "KEY",
                          .field = "key",
                          .help = "of a GRE packet; only with proto gre"};
constexpr Keyword kIif = {.word = "iif",
                          .kind = Kind::kText,
                          .value = "NAME",
                          .field = "iif",
                          .help =
                              "the interface that another host's packet comes in by; default: "
                              "where the host's route back leads"};
constexpr Keyword kMark = {.word = "mark",
                           .kind = Kind::kNumber,
                           .value = "MARK",
                           .field = "mark",
                           .help = "that the host's firewall gives it; default: 0"};

constexpr Keyword kMtuKeywords[] = {
    {.kind = Kind::kAddress,
     .value = "ADDRESS",
     .field = "dst",
     .traits = kMandatory,
     .help = "where packets go"},
    {.word = "src",
     .kind = Kind::kAddress,
     .value = "ADDRESS",
     .field = "src",
     .help = "where they come from"},
    {.word = "proto",
     .kind = Kind::kProtocol,
     .value = "NAME|NUMBER",
     .field = "proto",
     .help = "tcp, udp, icmp, icmpv6, gre, sctp or 0 to 255"},
    {.word = "dport",
     .kind = Kind::kNumber,
     .value = "PORT",
     .field = "dport",
     .help = "destination port",
     .max = 65'535},
    kSport,
    kKey,
    kIif,
    kMark,
};

constexpr Command kMtuCommands[] = {
    {.word = "explain",
     .object = Object::kMtu,
     .request = "mtu",
     .keywords = kMtuKeywords,
     .uses = kUsesJson,
     .help = "the largest packet that fits, and the share of the policy and of the SAs in the "
             "wire's MTU"},
};

constexpr std::string_view kMtuExamples[] = {"mtu explain 10.2.0.1 proto tcp dport 443"};

constexpr Keyword kWhyKeywords[] = {
    kMtuKeywords[0],
    kMtuKeywords[1],
    kMtuKeywords[2],
    kSport,
    kMtuKeywords[3],
    kKey,
    {.word = "dev",
     .kind = Kind::kDevice,
     .value = "NAME",
     .field = "dev",
     .help = "the device or tunnel that it leaves by, or the inside interface that it comes from"},
    kIif,
    kMark,
};

constexpr Command kWhyCommands[] = {
    {.object = Object::kWhy,
     .request = "why",
     .keywords = kWhyKeywords,
     .uses = kUsesJson,
     .help =
         "what would happen to a packet and its answers; changes nothing; exit status 3: one of "
         "both would not pass"},
};

constexpr std::string_view kWhyExamples[] = {"why 10.2.0.1 src 10.1.0.1 proto tcp dport 443"};

constexpr Keyword kDoctorKeywords[] = {
    {.word = "--fips",
     .field = "fips",
     .traits = kLocal,
     .help = "only FIPS mode, like fips show; status 3: it denies a device or engine"},
};

constexpr Command kDoctorCommands[] = {
    {.object = Object::kDoctor,
     .request = "doctor",
     .keywords = kDoctorKeywords,
     .uses = kUsesJson,
     .help = "looks at everything, and says what to do; exit status 3: a warning, a fault, or a "
             "check that could not look",
     .check =
         [](Arguments* arguments) {
           if (!arguments->local.contains("fips")) return;
           arguments->object = Object::kDoctorFips;
           arguments->request = {{"command", "fips"}};
         }},
};

constexpr std::string_view kDoctorExamples[] = {"doctor", "doctor --fips"};

constexpr Command kMetricsCommands[] = {
    {.object = Object::kMetrics, .help = "metrics in the text format of Prometheus"},
};

void CheckTop(Arguments* arguments) {
  if (arguments->json && !arguments->local.contains("once")) {
    throw UsageError{"top: JSON is for one view: add --once"};
  }
  const double delay = arguments->local.value("delay", 1.0);
  if (delay < 0.5 || delay > 3600) {
    throw UsageError{"top: the delay must be 0.5 to 3600 seconds"};
  }
}

constexpr Keyword kTopKeywords[] = {
    {.word = "--delay",
     .alias = "-d",
     .kind = Kind::kSeconds,
     .value = "SECONDS",
     .field = "delay",
     .traits = kLocal,
     .help = "time between two readings"},
    {.word = "--once", .field = "once", .traits = kLocal, .help = "one view as text, then ends"},
    {.word = "sort",
     .kind = Kind::kOneOf,
     .value = "rate|packets|drops|late|age|left|spi|dst|where",
     .field = "sort",
     .traits = kLocal,
     .help = "the column that sorts"},
    kSpiWord,
    kDstWord,
    kSrcWord,
    kReqidWord,
};

constexpr Command kTopCommands[] = {
    {.object = Object::kTop,
     .request = "sa",
     .keywords = kTopKeywords,
     .uses = kUsesJson,
     .help = "SAs, devices and workers with their rates, live",
     .check = CheckTop},
};

constexpr std::string_view kTopExamples[] = {"top", "top -d 5 dst 192.0.2.2", "top --once"};

constexpr Keyword kMonitorKeywords[] = {
    {.kind = Kind::kOneOf,
     .value =
         "sa|policy|placement|key|device|guard|order|fips|protection|keys-shown|cluster|ledger",
     .field = "events",
     .traits = kRepeats,
     .help = "events of these kinds alone; none: all"},
};

constexpr Command kMonitorCommands[] = {
    {.object = Object::kMonitor,
     .request = "monitor",
     .keywords = kMonitorKeywords,
     .uses = kUsesJson,
     .help = "events as they happen, one line each"},
};

constexpr std::string_view kMonitorExamples[] = {"monitor", "monitor placement device"};

constexpr Command kVersionCommands[] = {
    {.object = Object::kVersion, .uses = kUsesJson, .help = "the version of this command"},
};

constexpr Keyword kHelpKeywords[] = {
    {.kind = Kind::kText,
     .value = "OBJECT",
     .field = "object",
     .traits = kLocal,
     .help = "this object alone"},
};

constexpr Command kHelpCommands[] = {
    {.object = Object::kHelp,
     .keywords = kHelpKeywords,
     .help = "all objects, or one of them",
     .check =
         [](Arguments* arguments) {
           const auto word = arguments->local.find("object");
           if (word == arguments->local.end()) return;
           arguments->help_for = FindObject(word->get_ref<const std::string&>());
           if (arguments->help_for == nullptr) FailUnknownObject(word->get<std::string>());
         }},
};

}  // namespace

constexpr ObjectRow kSaRow = {.word = "sa",
                              .help = "SAs: where each half runs and why, counters, history",
                              .commands = kSaCommands,
                              .examples = kSaExamples};
constexpr ObjectRow kPolicyRow = {
    .word = "policy", .help = "policies", .commands = kPolicyCommands, .examples = kPolicyExamples};
constexpr ObjectRow kDeviceRow = {.word = "dev",
                                  .help = "devices: identity, state, capabilities, keys, traffic",
                                  .commands = kDeviceCommands,
                                  .examples = kDeviceExamples};
constexpr ObjectRow kStatRow = {.word = "stat",
                                .help = "drop counters, also of each SA",
                                .commands = kStatCommands,
                                .examples = kStatExamples};
constexpr ObjectRow kEngineRow = {
    .word = "engine", .help = "crypto engines", .commands = kEngineCommands};
constexpr ObjectRow kTunnelRow = {
    .word = "tunnel", .help = "tunnel interfaces", .commands = kTunnelCommands};
constexpr ObjectRow kMtuRow = {.word = "mtu",
                               .help = "the largest packet that fits to an address, and why",
                               .commands = kMtuCommands,
                               .examples = kMtuExamples};
constexpr ObjectRow kWhyRow = {.word = "why",
                               .help = "what would happen to a packet",
                               .commands = kWhyCommands,
                               .examples = kWhyExamples};
constexpr ObjectRow kDoctorRow = {.word = "doctor",
                                  .help = "what is wrong, and what to do about it",
                                  .commands = kDoctorCommands,
                                  .examples = kDoctorExamples};
constexpr ObjectRow kMetricsRow = {
    .word = "metrics", .help = "metrics for Prometheus", .commands = kMetricsCommands};
constexpr ObjectRow kTopRow = {.word = "top",
                               .help = "SAs, devices and workers with their rates, live",
                               .commands = kTopCommands,
                               .examples = kTopExamples};
constexpr ObjectRow kMonitorRow = {.word = "monitor",
                                   .help = "events as they happen",
                                   .commands = kMonitorCommands,
                                   .examples = kMonitorExamples};
constexpr ObjectRow kVersionRow = {
    .word = "version", .help = "the version", .commands = kVersionCommands};
constexpr ObjectRow kHelpRow = {
    .word = "help", .help = "help for all objects or one", .commands = kHelpCommands};

}  // namespace cygnet
