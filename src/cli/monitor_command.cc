#include "cli/monitor_command.h"

#include <fmt/format.h>
#include <poll.h>

#include <cerrno>
#include <chrono>

#include "cli/cygnet.h"
#include "cli/json_text.h"
#include "cli/printable.h"
#include "cli/text.h"
#include "client/json_fields.h"

namespace cygnet {
namespace {

constexpr int kRetryMs = 1000;

uint64_t NowMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// Where events go. false: nobody reads them, or they cannot be written.
class Output {
 public:
  Output(FILE* out, const Arguments& arguments) : out_(out), arguments_(arguments) {}

  bool Write(const Json& event) {
    const std::string line =
        arguments_.json ? JsonText(event, arguments_.pretty) : EventText(event);
    if (std::fputs((line + "\n").c_str(), out_) >= 0 && std::fflush(out_) == 0) return true;
    error_ = errno;
    return false;
  }

  bool Daemon(const char* state, bool warning, const std::string& text) {
    return Write({{"event", "daemon"},
                  {"time_ms", NowMs()},
                  {"state", state},
                  {"warning", warning},
                  {"text", text}});
  }

  // Waits for `fd` (-1: for the time only). False: nobody reads the output any more.
  bool Wait(int fd, int timeout_ms) const {
    pollfd fds[] = {{fd, POLLIN, 0}, {fileno(out_), 0, 0}};
    (void)poll(fds, 2, timeout_ms);
    return (fds[1].revents & (POLLERR | POLLNVAL)) == 0;
  }

  int error() const { return error_; }

 private:
  FILE* const out_;
  const Arguments& arguments_;
  int error_ = 0;
};

// Writes events until the daemon is gone. False: the output is.
bool Follow(OperatorClient* client, Output* output, std::string* why) {
  for (;;) {
    if (!output->Wait(client->fd(), -1)) return false;
    const Result<std::string> text = client->Receive();
    if (!text || text->empty()) {
      *why = text ? "it closed the connection" : text.error().message;
      return true;
    }
    const Json event = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (event.is_object() && !output->Write(event)) return false;
  }
}

// A stream of events, after the daemon was gone. nullopt: the output is.
std::optional<OperatorClient> ConnectAgain(const Arguments& arguments,
                                           const OperatorConnector& connect, const Output& output) {
  for (;;) {
    if (!output.Wait(-1, kRetryMs)) return std::nullopt;
    auto client = connect();
    if (client && client->StartStream(arguments.request)) return *std::move(client);
  }
}

}  // namespace

std::string EventText(const Json& event) {
  const uint64_t ms = Number(event, "time_ms");
  return fmt::format("{}.{:03} {:<10} {}{}", TimeText(ms / 1000), ms % 1000,
                     Printable(Text(event, "event")), event.value("warning", false) ? "! " : "",
                     Printable(Text(event, "text")));
}

int RunMonitor(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err) {
  Output output(out, arguments);
  auto connected = connect();
  Status started = connected ? connected->StartStream(arguments.request) : connected.error();
  if (!started) {
    fmt::print(err, "cygnet: {}\n", PrintableLines(started.error().message));
    return kExitFailed;
  }
  std::optional<OperatorClient> client = *std::move(connected);
  std::string why;
  while (client && Follow(&*client, &output, &why)) {
    client.reset();
    if (!output.Daemon("gone", true, "cygnetd is gone (" + why + "); waiting for it")) break;
    client = ConnectAgain(arguments, connect, output);
    if (client && !output.Daemon("back", false,
                                 "cygnetd is back; \"cygnet ledger\" has what happened between")) {
      break;
    }
  }
  if (output.error() == 0 || output.error() == EPIPE) return 0;
  fmt::print(err, "cygnet: cannot write the output\n");
  return kExitFailed;
}

}  // namespace cygnet
