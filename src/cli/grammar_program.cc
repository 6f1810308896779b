// Rows of what runs by itself: reads files, captures, runs another program.
#include "cli/argument_values.h"
#include "cli/arguments.h"
#include "cli/grammar_rows.h"

namespace cygnet {
namespace {

constexpr Keyword kHolderWord = {.word = "holder",
                                 .kind = Kind::kHolder,
                                 .value = "NAME",
                                 .field = "holder",
                                 .help = "the same"};
constexpr Keyword kDevWord = {.word = "dev",
                              .kind = Kind::kHolder,
                              .value = "NAME",
                              .field = "holder",
                              .help = "keys that this device or engine held"};

constexpr Keyword Local(Keyword keyword) {
  keyword.traits |= kLocal;
  return keyword;
}

constexpr Keyword kLedgerKeywords[] = {
    kDevWord,
    kHolderWord,
    kSpiWord,
    kDstWord,
    {.word = "current", .field = "current", .help = "only keys that are held now"},
};

constexpr Keyword kFileWord = {.kind = Kind::kFile,
                               .value = "FILE",
                               .field = "files",
                               .traits = kLocal | kRepeats,
                               .help = "of a ledger; none: those of the daemon"};
constexpr Keyword kKeyWord = {.word = "--key",
                              .kind = Kind::kPublicKey,
                              .value = "KEY",
                              .field = "keys",
                              .traits = kLocal | kRepeats,
                              .help = "the public key that must have signed"};
constexpr Keyword kHeadWord = {.word = "--head",
                               .kind = Kind::kChainHead,
                               .value = "HASH@RECORD",
                               .field = "heads",
                               .traits = kLocal | kRepeats,
                               .help = "a head that the audit trail has"};

constexpr Keyword kVerifyKeywords[] = {kFileWord, kKeyWord, kHeadWord};

constexpr Keyword kReportKeywords[] = {
    kFileWord,
    {.word = "--from",
     .kind = Kind::kTime,
     .value = "TIME",
     .field = "from",
     .traits = kLocal,
     .help = "UTC: 2026-11-28 or 2026-11-28T17:58:14"},
    {.word = "--to", .kind = Kind::kTimeEnd, .value = "TIME", .field = "to", .traits = kLocal},
    Local(kDevWord),
    Local(kHolderWord),
    Local(kSpiWord),
    Local(kDstWord),
    kKeyWord,
    kHeadWord,
};

constexpr Command kLedgerCommands[] = {
    {.word = "list",
     .alias = "show",
     .is_default = true,
     .object = Object::kLedger,
     .request = "ledger",
     .keywords = kLedgerKeywords,
     .uses = kUsesJson | kUsesWatch,
     .help = "placements of each SA over time, and when each device or engine held each key"},
    {.word = "verify",
     .object = Object::kLedgerFiles,
     .keywords = kVerifyKeywords,
     .uses = kUsesJson,
     .help = "checks the chain of a ledger's files, also of a copy elsewhere without cygnetd; "
             "exit status 3: the ledger is not what cygnetd wrote"},
    {.word = "report",
     .object = Object::kLedgerFiles,
     .keywords = kReportKeywords,
     .uses = kUsesJson,
     .help = "who held which key in a time, how each was erased, and what is not known, from the "
             "ledgers of one or more hosts; exit status 3: as of verify",
     .check =
         [](Arguments* arguments) {
           const Json& local = arguments->local;
           if (local.contains("from") && local.contains("to") && local["from"] > local["to"]) {
             throw UsageError{"--from: is later than --to"};
           }
         }},
    {.word = "key",
     .object = Object::kLedgerFiles,
     .uses = kUsesJson,
     .help = "the public key that signs the heads of this host's ledger"},
};

constexpr std::string_view kLedgerExamples[] = {
    "ledger dev nic0 current",
    "ledger verify /var/log/cygnet/ledger.jsonl",
    "ledger report --from 2026-11-01 --to 2026-11-30 dev nic0",
};

constexpr uint32_t kMaxSnapLength = 262'144;  // the daemon's limit

constexpr Keyword kCaptureKeywords[] = {
    {.word = "dev",
     .kind = Kind::kDevice,
     .value = "NAME",
     .field = "device",
     .traits = kMandatory,
     .help = "of this device"},
    {.word = "side",
     .kind = Kind::kOneOf,
     .value = "host|wire|guard",
     .field = "side",
     .help = "one side only; guard: frames that the seal guard stopped"},
    {.word = "write",
     .kind = Kind::kFile,
     .value = "FILE|-",
     .field = "write",
     .traits = kLocal,
     .help = "default: standard output; an existing FILE is overwritten"},
    {.word = "snaplen",
     .kind = Kind::kNumber,
     .value = "BYTES",
     .field = "snaplen",
     .help = "of each packet at most",
     .min = 1,
     .max = kMaxSnapLength},
    {.word = "count",
     .kind = Kind::kNumber,
     .value = "PACKETS",
     .field = "count",
     .traits = kLocal,
     .help = "ends after so many",
     .min = 1,
     .max = ~uint64_t{0}},
    {.word = "--with-keys",
     .field = "with_keys",
     .help = "also the keys of the SAs seen, into the folder FILE.keys, for Wireshark"},
};

constexpr Command kCaptureCommands[] = {
    {.object = Object::kCapture,
     .request = "capture",
     .keywords = kCaptureKeywords,
     .help = "frames of a device as pcapng: packets in clear at the host-side interface and frames "
             "on the wire, linked by packet ids, and what was dropped",
     .check =
         [](Arguments* arguments) {
           if (!arguments->request.contains("with_keys") || arguments->WriteFile() != "-") return;
           throw UsageError{"capture: --with-keys needs \"write FILE\": the keys go to FILE.keys"};
         }},
};

constexpr std::string_view kCaptureExamples[] = {
    "capture dev nic0 write /tmp/nic0.pcapng count 100",
    "capture dev nic0 side guard",
};

// Wireshark's options (extcap(4)).
constexpr Keyword kExtcapKeywords[] = {
    {.word = "--extcap-interfaces", .field = "interfaces", .traits = kLocal},
    {.word = "--extcap-dlts", .field = "dlts", .traits = kLocal},
    {.word = "--extcap-config", .field = "config", .traits = kLocal},
    {.word = "--capture", .field = "capture", .traits = kLocal},
    {.word = "--extcap-interface",
     .kind = Kind::kWiresharkInterface,
     .value = "NAME",
     .field = "device"},
    {.word = "--fifo", .kind = Kind::kFile, .value = "FILE", .field = "write", .traits = kLocal},
    {.word = "--side", .kind = Kind::kOneOf, .value = "both|host|wire|guard", .field = "side"},
    {.word = "--snaplen",
     .kind = Kind::kNumber,
     .value = "BYTES",
     .field = "snaplen",
     .min = 1,
     .max = kMaxSnapLength},
    // Wireshark gives these to every program; they change nothing here.
    {.word = "--extcap-version",
     .kind = Kind::kText,
     .value = "N",
     .field = "version",
     .traits = kLocal},
    {.word = "--extcap-capture-filter",
     .kind = Kind::kText,
     .value = "TEXT",
     .field = "filter",
     .traits = kLocal},
    {.word = "--extcap-reload-option",
     .kind = Kind::kText,
     .value = "NAME",
     .field = "reload",
     .traits = kLocal},
};

void CheckExtcap(Arguments* arguments) {
  const Json& local = arguments->local;
  Json& request = arguments->request;
  if (request.value("side", std::string()) == "both") request.erase("side");
  if (local.contains("interfaces")) {
    request = {{"command", "dev"}};
  } else if (!request.contains("device")) {
    throw UsageError{"extcap: --extcap-interface is missing"};
  }
  if (local.contains("capture") && arguments->WriteFile() == "-") {
    throw UsageError{"extcap: --capture needs --fifo"};
  }
}

constexpr Command kExtcapCommands[] = {
    {.object = Object::kExtcap,
     .request = "capture",
     .keywords = kExtcapKeywords,
     .help = "answers Wireshark, which runs this through its extcap folder and then has the "
             "devices as interfaces",
     .check = CheckExtcap},
};

constexpr Command kExecCommands[] = {
    {.object = Object::kExec,
     .rest = "-- COMMAND [ARGUMENT ...]",
     .help = "runs an XFRM client so that it talks to cygnetd instead of the kernel"},
};

constexpr std::string_view kExecExamples[] = {"exec -- ip xfrm state"};

constexpr Command kWebCommands[] = {
    {.object = Object::kCompanion,
     .rest = "[OPTION ...]",
     .help = "serves a page to look at, and the metrics: http://127.0.0.1:9470/; "
             "\"cygnet web --help\" tells more"},
};

constexpr Command kConformanceCommands[] = {
    {.object = Object::kCompanion,
     .rest = "--driver FILE | --engine FILE [OPTION ...]",
     .help = "tests a driver or engine by others against its contract; \"cygnet conformance "
             "--help\" tells more"},
};

constexpr Command kCompleteCommands[] = {
    {.object = Object::kComplete,
     .rest = "-- WORD ...",
     .help = "what the last word may become, for shells"},
};

}  // namespace

constexpr ObjectRow kLedgerRow = {.word = "ledger",
                                  .help = "placements and holders of keys over time",
                                  .commands = kLedgerCommands,
                                  .examples = kLedgerExamples};
constexpr ObjectRow kCaptureRow = {.word = "capture",
                                   .help = "frames of a device, as pcapng",
                                   .commands = kCaptureCommands,
                                   .examples = kCaptureExamples};
constexpr ObjectRow kExtcapRow = {.word = "extcap",
                                  .help = "the devices as interfaces of Wireshark",
                                  .commands = kExtcapCommands};
constexpr ObjectRow kExecRow = {.word = "exec",
                                .help = "runs an XFRM client against cygnetd",
                                .commands = kExecCommands,
                                .examples = kExecExamples};
constexpr ObjectRow kWebRow = {
    .word = "web", .help = "serves a page to look at", .commands = kWebCommands, .is_exact = true};
constexpr ObjectRow kConformanceRow = {.word = "conformance",
                                       .help = "tests a driver or engine by others",
                                       .commands = kConformanceCommands,
                                       .is_exact = true};
constexpr ObjectRow kCompleteRow = {
    .word = "complete", .commands = kCompleteCommands, .is_exact = true, .is_hidden = true};

}  // namespace cygnet
