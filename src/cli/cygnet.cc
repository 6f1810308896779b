#include "cli/cygnet.h"

#include <fmt/format.h>
#include <unistd.h>

#include <optional>
#include <span>
#include <string>

#include "cli/arguments.h"
#include "cli/capture.h"
#include "cli/exec.h"
#include "cli/operator_client.h"
#include "cli/text.h"

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
      return DeviceText(item);
    case Object::kStatSa:
      return SaDropsText(item);
    case Object::kEngine:
      return EngineText(item);
    case Object::kMtu:
      return MtuText(item);
    case Object::kFips:
      return FipsText(item);
    default:
      return StatText(item, arguments.all ? Counters::kAll : Counters::kNonZero);
  }
}

std::string ToLine(const Json& item) {
  return item.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// One line for each element. After an error the array stays open: nobody takes a part for the
// whole.
Status PrintJson(const Arguments& arguments, OperatorClient* client, FILE* out) {
  // These are one object each.
  const bool array = arguments.object != Object::kStat && arguments.object != Object::kMtu &&
                     arguments.object != Object::kFips;
  const char* before = array ? "[\n" : "";
  CYGNET_RETURN_IF_ERROR(client->ForEachItem(arguments.request, [&](const Json& item) {
    fmt::print(out, "{}{}", before, ToLine(item));
    before = ",\n";
  }));
  const bool empty = array && before[0] == '[';
  fmt::print(out, "{}", empty ? "[]\n" : array ? "\n]\n" : "\n");
  return {};
}

Status PrintText(const Arguments& arguments, OperatorClient* client, FILE* out) {
  return client->ForEachItem(arguments.request, [&](const Json& item) {
    fmt::print(out, "{}", ItemText(arguments, item));
  });
}

Status Report(const Arguments& arguments, std::string_view socket_name, FILE* out) {
  auto client = OperatorClient::Connect(socket_name);
  if (!client) return client.error();
  CYGNET_RETURN_IF_ERROR(arguments.json ? PrintJson(arguments, &*client, out)
                                        : PrintText(arguments, &*client, out));
  if (fflush(out) != 0 || ferror(out) != 0) return MakeError(Errc::kIo, "cannot write the output");
  return {};
}

// The exit status is the answer; what was not asked or not heard is none.
int RunDoctor(const Arguments& arguments, std::string_view socket_name, FILE* out, FILE* err) {
  auto client = OperatorClient::Connect(socket_name);
  if (!client) return Complain(err, kExitFailed, client.error().message);
  std::optional<bool> denies;
  const Status status = client->ForEachItem(arguments.request, [&](const Json& item) {
    denies = FipsDenies(item);
    fmt::print(out, "{}", arguments.json ? ToLine(item) + "\n" : FipsText(item));
  });
  if (fflush(out) != 0 || ferror(out) != 0) {
    return Complain(err, kExitFailed, "cannot write the output");
  }
  if (!status) return Complain(err, kExitFailed, status.error().message);
  if (!denies) return Complain(err, kExitFailed, "the daemon said nothing of FIPS mode");
  return *denies ? kExitFound : 0;
}

int Finish(FILE* out, FILE* err, const Status& status) {
  fflush(out);  // what was shown before an error comes before its message
  return status ? 0 : Complain(err, kExitFailed, status.error().message);
}

int Run(const Arguments& arguments, std::string_view socket_name, FILE* out, FILE* err) {
  switch (arguments.object) {
    case Object::kHelp:
      fmt::print(out, "{}", HelpText());
      return 0;
    case Object::kVersion:
      if (arguments.json) {
        fmt::print(out, "{{\"version\":\"{}\"}}\n", CYGNET_VERSION);
      } else {
        fmt::print(out, "cygnet {}\n", CYGNET_VERSION);
      }
      return 0;
    case Object::kDoctor:
      return RunDoctor(arguments, socket_name, out, err);
    case Object::kCapture:
      if (arguments.write_file == "-" && isatty(STDOUT_FILENO) == 1) {
        return Complain(err, kExitUsage,
                        "capture: will not write pcapng to a terminal; say \"write FILE\" or use a "
                        "pipe");
      }
      return Finish(out, err, RunCapture(arguments, socket_name));
    default:
      return Finish(out, err, Report(arguments, socket_name, out));
  }
}

}  // namespace

int RunCygnet(int argc, char** argv, std::string_view socket_name, FILE* out, FILE* err) {
  const std::span<char* const> words(argv + 1, argc > 0 ? static_cast<std::size_t>(argc - 1) : 0);
  const auto arguments = ParseArguments(words);
  if (!arguments) return Complain(err, kExitUsage, arguments.error().message);
  if (arguments->object == Object::kExec) {
    const int at = static_cast<int>(arguments->command_at) + 1;
    return RunExec(argc - at, argv + at);
  }
  try {
    return Run(*arguments, socket_name, out, err);
  } catch (const std::exception& error) {
    // A field of another type, from a daemon of another version; or an output that cannot be
    // written.
    return Complain(err, kExitFailed, error.what());
  }
}

}  // namespace cygnet
