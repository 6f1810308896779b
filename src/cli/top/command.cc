#include "cli/top/command.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <charconv>
#include <csignal>
#include <cstdlib>
#include <sstream>
#include <thread>

#include "cli/cygnet.h"
#include "cli/json_text.h"
#include "cli/printable.h"
#include "cli/top/reader.h"
#include "cli/top/screen.h"

namespace cygnet {
namespace {

using namespace top;  // NOLINT(google-build-using-namespace): this is its command

std::size_t ColumnsOf(FILE* out) {
  constexpr std::size_t kDefault = 80;
  constexpr std::size_t kMost = 1000;
  if (const char* text = std::getenv("COLUMNS"); text != nullptr) {
    const std::string_view digits(text);
    std::size_t columns = 0;
    const auto [stop, error] = std::from_chars(digits.begin(), digits.end(), columns);
    if (error == std::errc() && stop == digits.end() && columns >= 1 && columns <= kMost) {
      return columns;
    }
  }
  winsize size{};
  const int fd = fileno(out);
  if (fd >= 0 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col != 0) return size.ws_col;
  return kDefault;
}

State FirstState(const Arguments& arguments) {
  State state;
  state.delay = arguments.local.value("delay", state.delay);
  const auto sort = ParseSortKey(arguments.local.value("sort", std::string(Name(state.sort))));
  if (sort) state.sort = *sort;
  return state;
}

Source SourceOf(const Arguments& arguments, const OperatorConnector& connect) {
  Json request = arguments.request;
  request["brief"] = true;
  return {connect, std::move(request)};
}

int RunOnce(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err) {
  Source source = SourceOf(arguments, connect);
  View view = source.Read(std::nullopt, nullptr);
  if (view.error.empty()) {
    std::this_thread::sleep_for(std::chrono::duration<double>(arguments.local.value("delay", 1.0)));
    view = source.Read(std::nullopt, nullptr);
  }
  if (!view.error.empty()) {
    fmt::print(err, "cygnet: {}\n", PrintableLines(view.error));
    return kExitFailed;
  }
  if (arguments.json) {
    fmt::print(out, "{}\n", JsonText(ToJson(view), arguments.pretty));
  } else {
    for (const Line& line : Whole(view, FirstState(arguments), ColumnsOf(out))) {
      std::string text = TextOf(line);
      text.erase(text.find_last_not_of(' ') + 1);
      fmt::print(out, "{}\n", text);
    }
  }
  if (std::fflush(out) == 0 && std::ferror(out) == 0) return 0;
  fmt::print(err, "cygnet: cannot write the output\n");
  return kExitFailed;
}

// The end, and new sizes of the terminal, as a descriptor: no handler runs between two steps.
UniqueFd TakeSignals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH}) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  return UniqueFd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
}

class Session {
 public:
  Session(Terminal* terminal, const Arguments& arguments, const OperatorConnector& connect,
          int signals)
      : terminal_(*terminal),
        signals_(signals),
        state_(FirstState(arguments)),
        reader_(SourceOf(arguments, connect)) {}

  void Run() {
    for (;;) {
      Show();
      reader_.Want({.delay = state_.delay, .paused = state_.paused, .about = About()});
      pollfd fds[] = {
          {STDIN_FILENO, POLLIN, 0}, {reader_.event_fd(), POLLIN, 0}, {signals_, POLLIN, 0}};
      (void)poll(fds, std::size(fds), -1);
      if ((fds[2].revents & POLLIN) != 0 && !OnSignals()) return;
      if ((fds[1].revents & POLLIN) != 0) TakeLook();
      if ((fds[0].revents & POLLIN) != 0 && !OnKeys()) return;
      if ((fds[0].revents & (POLLHUP | POLLERR | POLLNVAL)) != 0) return;
    }
  }

 private:
  std::size_t Page() const { return PageOf(*view_, state_, terminal_.size()); }

  void Show() {
    rows_ = Arrange(*view_, state_);
    Follow(rows_, Page(), &state_);
    terminal_.Draw(
        Screen(*view_, state_, rows_, about_ == About() ? detail_ : Detail{}, terminal_.size()));
  }

  // The SA of the drill-down: SaRow::key is "src dst proto spi direction".
  std::optional<SaName> About() const {
    if (!state_.detail || state_.selected.empty()) return std::nullopt;
    std::istringstream words(state_.selected);
    std::string src;
    std::string proto;
    SaName name;
    words >> src >> name.dst >> proto >> name.spi;
    return name;
  }

  void TakeLook() {
    auto look = reader_.Take();
    if (!look) return;
    rows_.clear();  // they point into the old view
    view_ = std::move(look->view);
    detail_ = std::move(look->detail);
    about_ = std::move(look->about);
  }

  // False: the end.
  bool OnSignals() {
    signalfd_siginfo info;
    bool resized = false;
    while (read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGWINCH) return false;
      resized = true;
    }
    if (resized) terminal_.Resize();
    return true;
  }

  // False: the end.
  bool OnKeys() {
    while (const auto key = terminal_.TakeKey()) {
      rows_ = Arrange(*view_, state_);
      Follow(rows_, Page(), &state_);
      if (OnKey(*key, rows_, Page(), &state_) == Outcome::kQuit) return false;
    }
    return true;
  }

  static std::shared_ptr<const View> FirstView() {
    View view;
    view.error = "reading cygnetd for the first time";
    return std::make_shared<const View>(std::move(view));
  }

  Terminal& terminal_;
  const int signals_;
  State state_;
  Reader reader_;
  std::shared_ptr<const View> view_ = FirstView();
  std::vector<const SaRow*> rows_;
  Detail detail_;
  std::optional<SaName> about_;  // that detail_ is of
};

}  // namespace

int RunTop(const Arguments& arguments, const OperatorConnector& connect, FILE* out, FILE* err) {
  if (arguments.HasLocal("once")) return RunOnce(arguments, connect, out, err);
  const UniqueFd signals = TakeSignals();
  Result<Terminal> terminal = Terminal::Open();
  if (!terminal) {
    fmt::print(err, "cygnet: {}\n", terminal.error().message);
    return kExitUsage;
  }
  Session(&*terminal, arguments, connect, signals.get()).Run();
  return 0;
}

}  // namespace cygnet
