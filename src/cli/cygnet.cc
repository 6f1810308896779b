#include "cli/cygnet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <span>
#include <string>

#include "cli/arguments.h"
#include "cli/capture.h"
#include "cli/companion.h"
#include "cli/complete.h"
#include "cli/doctor.h"
#include "cli/exec.h"
#include "cli/extcap.h"
#include "cli/json_text.h"
#include "cli/ledger_command.h"
#include "cli/monitor_command.h"
#include "cli/printable.h"
#include "cli/report.h"
#include "cli/top/command.h"
#include "cli/watch.h"
#include "client/operator_client.h"

namespace cygnet {
namespace {

// `text` quotes words of the command line, or what a daemon or file says, which must not move the
// cursor.
int Complain(FILE* err, int status, const std::string& text) {
  fmt::print(err, "cygnet: {}\n", PrintableLines(text));
  return status;
}

int Finish(FILE* out, FILE* err, const Status& status, int exit_status = 0) {
  const bool written = fflush(out) == 0 && ferror(out) == 0;  // before the error message
  if (!status) return Complain(err, kExitFailed, status.error().message);
  return written ? exit_status : Complain(err, kExitFailed, "cannot write the output");
}

void ShowVersion(const Arguments& arguments, FILE* out) {
  if (arguments.json) {
    fmt::print(out, "{}\n",
               JsonText({{"version", CYGNET_VERSION}, {"json", kJsonVersion}}, arguments.pretty));
  } else {
    fmt::print(out, "cygnet {}\n", CYGNET_VERSION);
  }
}

int Capture(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err) {
  if (arguments.WriteFile() == "-" && isatty(STDOUT_FILENO) == 1) {
    return Complain(err, kExitUsage,
                    "capture: will not write pcapng to a terminal; use \"write FILE\" or a pipe");
  }
  return Finish(out, err, RunCapture(arguments, connect));
}

int Ask(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err) {
  // Without an answer from the daemon the doctor must not report success.
  int exit_status = arguments.object == Object::kDoctorFips ? kExitFailed : 0;
  const Status status =
      Report(arguments, connect, {.out = out, .err = err, .terminal = out}, &exit_status);
  return Finish(out, err, status, exit_status);
}

// `words`: for the title of a screen.
int Run(const Arguments& arguments, std::span<char* const> words, const OperatorConnector& connect,
        FILE* out, FILE* err) {
  switch (arguments.object) {
    case Object::kHelp:
      fmt::print(out, "{}", HelpText(arguments.help_for));
      return Finish(out, err, {});
    case Object::kVersion:
      ShowVersion(arguments, out);
      return Finish(out, err, {});
    case Object::kComplete:
      PrintCompletions(words.subspan(arguments.rest_at), connect, out);
      return 0;
    case Object::kCapture:
      return Capture(arguments, connect, out, err);
    case Object::kExtcap:
      return Finish(out, err,
                    arguments.HasLocal("capture") ? RunCapture(arguments, connect)
                                                  : RunExtcap(arguments, connect, out));
    case Object::kLedgerFiles: {
      const auto status = RunLedgerFiles(arguments, connect, out);
      return status ? Finish(out, err, {}, *status) : Finish(out, err, status.error());
    }
    case Object::kDoctor: {
      int exit_status = kExitFailed;
      const Status status = RunDoctor(arguments, connect, out, &exit_status);
      return Finish(out, err, status, exit_status);
    }
    case Object::kTop:
      return RunTop(arguments, connect, out, err);
    case Object::kMonitor:
      return RunMonitor(arguments, connect, out, err);
    default:
      break;
  }
  if (!arguments.watch) return Ask(arguments, connect, out, err);
  std::string title = "cygnet";
  for (const char* word : words) title += fmt::format(" {}", word);
  return Finish(out, err, Watch(arguments, connect, title, out, err));
}

}  // namespace

int RunCygnet(int argc, char** argv, const OperatorConnector& connect, FILE* out, FILE* err) {
  const std::span<char* const> words(argv + 1, argc > 0 ? static_cast<std::size_t>(argc - 1) : 0);
  // Their words are their own.
  if (!words.empty() && IsCompanion(words[0])) return RunCompanion(argv + 1);
  const auto arguments = ParseArguments(words);
  if (!arguments) return Complain(err, kExitUsage, arguments.error().message);
  const int rest = static_cast<int>(arguments->rest_at) + 1;
  if (arguments->object == Object::kExec) return RunExec(argc - rest, argv + rest);
  if (arguments->object == Object::kCompanion) return RunCompanion(argv + rest - 1);
  try {
    return Run(*arguments, words, connect, out, err);
  } catch (const std::exception& error) {
    // A field has another type in another version of the daemon, or the output cannot be written.
    return Complain(err, kExitFailed, error.what());
  }
}

}  // namespace cygnet
