#include "cli/cygnet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <span>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/capture.h"
#include "cli/companion.h"
#include "cli/doctor.h"
#include "cli/exec.h"
#include "cli/extcap.h"
#include "cli/ledger_command.h"
#include "cli/text.h"
#include "client/json_fields.h"
#include "client/metrics.h"
#include "client/operator_client.h"

namespace cygnet {
namespace {

int Complain(FILE* err, int status, const std::string& text) {
  fmt::print(err, "cygnet: {}\n", text);
  return status;
}

std::string ItemText(const Arguments& arguments, const Json& item) {
  switch (arguments.object) {
    case Object::kSa:
      return SaText(item);
    case Object::kPolicy:
      return PolicyText(item);
    case Object::kDevice:
      return DeviceText(item) + (arguments.all ? StatisticsText(item) + KeyLogText(item) : "");
    case Object::kStatSa:
      return SaDropsText(item);
    case Object::kEngine:
      return EngineText(item);
    case Object::kTunnel:
      return TunnelText(item);
    case Object::kMtu:
      return MtuText(item);
    case Object::kFips:
    case Object::kDoctorFips:
      return FipsText(item);
    case Object::kReload:
      return ReloadText(item);
    case Object::kExplain:
      return ExplainText(item);
    case Object::kOffload:
    case Object::kPlacement:
      return MoveText(item);
    case Object::kStored:
      return StoredText(item);
    case Object::kCluster:
      return ClusterText(item);
    default:
      return StatText(item, arguments.all ? Counters::kAll : Counters::kNonZero);
  }
}

std::string ToLine(const Json& item) {
  return item.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The exit status for an item.
int ItemStatus(const Arguments& arguments, const Json& item) {
  if (arguments.object == Object::kDoctorFips) return FipsDenies(item) ? kExitNo : 0;
  if (arguments.object == Object::kStored) return StoredIsWell(item) ? 0 : kExitNo;
  if (arguments.object == Object::kCluster) return ClusterIsWell(item) ? 0 : kExitNo;
  if (arguments.object != Object::kExplain) return 0;
  const Json& verdicts = Child(item, "verdicts");
  const bool offloaded = !verdicts.empty() &&
                         std::all_of(verdicts.begin(), verdicts.end(),
                                     [](const Json& row) { return row.value("offloaded", false); });
  return offloaded ? 0 : kExitNo;
}

bool IsOneObject(Object object) {
  return object == Object::kStat || object == Object::kMtu || object == Object::kExplain ||
         object == Object::kOffload || object == Object::kPlacement || object == Object::kSim ||
         object == Object::kFips || object == Object::kDoctorFips || object == Object::kReload ||
         object == Object::kStored || object == Object::kCluster;
}

// One line for each element. After an error the array stays open, so that a reader cannot mistake
// a part for the whole.
Status PrintJson(const Arguments& arguments, OperatorClient* client, FILE* out, int* status) {
  const bool array = !IsOneObject(arguments.object);
  const char* before = array ? "[\n" : "";
  CYGNET_RETURN_IF_ERROR(client->ForEachItem(arguments.request, [&](const Json& item) {
    *status = ItemStatus(arguments, item);
    fmt::print(out, "{}{}", before, ToLine(item));
    before = ",\n";
  }));
  const bool empty = array && before[0] == '[';
  if (arguments.object == Object::kSim) fmt::print(out, "{}", R"({"done":true})");
  fmt::print(out, "{}", empty ? "[]\n" : array ? "\n]\n" : "\n");
  return {};
}

// The message for an empty list; empty for objects whose list is never empty.
std::string_view NothingOf(const Arguments& arguments) {
  const bool all = arguments.request.size() == 1;  // no filter beside the command
  switch (arguments.object) {
    case Object::kSa:
    case Object::kStatSa:
      return all ? "no SAs" : "no matching SA";
    case Object::kPolicy:
      return all ? "no policies" : "no matching policy";
    case Object::kCluster:
      return "this host is in no cluster";
    default:
      return {};
  }
}

// The message for an empty list goes to `err`: programs that read `out` find results only.
Status PrintText(const Arguments& arguments, OperatorClient* client, FILE* out, FILE* err,
                 int* status) {
  if (arguments.object == Object::kMetrics) return PrintMetrics(client, out);
  if (arguments.object == Object::kLedger) {
    // Entries of one SA and of one holder are shown together.
    std::vector<Json> items;
    CYGNET_RETURN_IF_ERROR(client->ForEachItem(
        arguments.request, [&items](const Json& item) { items.push_back(item); }));
    fmt::print(out, "{}", LedgerText(items));
    return {};
  }
  bool empty = true;
  CYGNET_RETURN_IF_ERROR(client->ForEachItem(arguments.request, [&](const Json& item) {
    empty = false;
    *status = ItemStatus(arguments, item);
    fmt::print(out, "{}", ItemText(arguments, item));
  }));
  const std::string_view nothing = empty ? NothingOf(arguments) : std::string_view();
  if (!nothing.empty()) fmt::print(err, "cygnet: {}\n", nothing);
  return {};
}

// `status`: the exit status if no error is returned.
Status Report(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err,
              int* status) {
  auto client = connect();
  if (!client) return client.error();
  CYGNET_RETURN_IF_ERROR(arguments.json ? PrintJson(arguments, &*client, out, status)
                                        : PrintText(arguments, &*client, out, err, status));
  if (fflush(out) != 0 || ferror(out) != 0) return MakeError(Errc::kIo, "cannot write the output");
  return {};
}

int Finish(FILE* out, FILE* err, const Status& status, int exit_status = 0) {
  fflush(out);  // keeps results ahead of the error message
  return status ? exit_status : Complain(err, kExitFailed, status.error().message);
}

int Run(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err) {
  switch (arguments.object) {
    case Object::kHelp:
      fmt::print(out, "{}", HelpText(arguments.help_for));
      return 0;
    case Object::kVersion:
      if (arguments.json) {
        fmt::print(out, "{{\"version\":\"{}\"}}\n", CYGNET_VERSION);
      } else {
        fmt::print(out, "cygnet {}\n", CYGNET_VERSION);
      }
      return 0;
    case Object::kCapture:
      if (arguments.write_file == "-" && isatty(STDOUT_FILENO) == 1) {
        return Complain(
            err, kExitUsage,
            "capture: will not write pcapng to a terminal; use \"write FILE\" or a pipe");
      }
      return Finish(out, err, RunCapture(arguments, connect));
    case Object::kExtcap:
      return Finish(out, err,
                    arguments.extcap == ExtcapAction::kCapture
                        ? RunCapture(arguments, connect)
                        : RunExtcap(arguments, connect, out));
    case Object::kDoctor: {
      int exit_status = kExitFailed;
      const Status status = RunDoctor(arguments, connect, out, &exit_status);
      return Finish(out, err, status, exit_status);
    }
    default: {
      // Without an answer from the daemon the doctor must not report success.
      int exit_status = arguments.object == Object::kDoctorFips ? kExitFailed : 0;
      const Status status = Report(arguments, connect, out, err, &exit_status);
      return Finish(out, err, status, exit_status);
    }
  }
}

}  // namespace

int RunCygnet(int argc, char** argv, const OperatorConnector& connect, FILE* out, FILE* err) {
  const std::span<char* const> words(argv + 1, argc > 0 ? static_cast<std::size_t>(argc - 1) : 0);
  // Their words are their own.
  if (!words.empty() && IsCompanion(words[0])) return RunCompanion(argv + 1);
  if (const auto status = RunLedgerCommand(words, connect, out, err)) return *status;
  const auto arguments = ParseArguments(words);
  if (!arguments) return Complain(err, kExitUsage, arguments.error().message);
  if (arguments->object == Object::kExec) {
    const int at = static_cast<int>(arguments->command_at) + 1;
    return RunExec(argc - at, argv + at);
  }
  try {
    return Run(*arguments, connect, out, err);
  } catch (const std::exception& error) {
    // A field has another type in another version of the daemon, or the output cannot be written.
    return Complain(err, kExitFailed, error.what());
  }
}

}  // namespace cygnet
