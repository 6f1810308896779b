#include "cli/watch.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "cli/ink.h"
#include "cli/printable.h"
#include "cli/text.h"

namespace cygnet {
namespace {

// A report in memory: the screen changes at once, and a part is never shown.
class Buffer {
 public:
  Buffer() : file_(open_memstream(&text_, &size_)) {}
  ~Buffer() {
    if (file_ != nullptr) fclose(file_);
    std::free(text_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  FILE* file() const { return file_; }
  std::string Text() const {
    fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  FILE* file_;
};

// Nothing is left to do when the user has seen enough: what is on the screen stays.
void EndAtSignals() {
  struct sigaction action {};
  action.sa_handler = [](int) { _exit(0); };
  for (const int signal : {SIGINT, SIGTERM}) sigaction(signal, &action, nullptr);
}

void Sleep(double seconds) {
  double whole = 0;
  const double part = std::modf(seconds, &whole);
  const timespec time{.tv_sec = static_cast<time_t>(whole),
                      .tv_nsec = static_cast<long>(part * 1e9)};
  nanosleep(&time, nullptr);
}

// 0 rows: unknown.
winsize SizeOf(FILE* terminal) {
  winsize size{};
  if (ioctl(fileno(terminal), TIOCGWINSZ, &size) != 0) size = {};
  return size;
}

// The rows that a line takes: colours take no room, tabs end at multiples of eight.
std::size_t RowsTaken(std::string_view line, std::size_t columns) {
  std::size_t width = 0;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const auto byte = static_cast<unsigned char>(line[i]);
    if (byte == '\033') {
      i = std::min(line.find('m', i), line.size());
    } else if (byte == '\t') {
      width = (width / 8 + 1) * 8;
    } else if ((byte & 0xc0) != 0x80) {  // not the rest of a character
      ++width;
    }
  }
  return columns == 0 || width == 0 ? 1 : (width + columns - 1) / columns;
}

}  // namespace

std::string FirstRows(std::string_view text, std::size_t rows, std::size_t columns) {
  std::size_t taken = 0;
  std::size_t end = 0;
  while (end < text.size()) {
    const std::size_t next = std::min(text.find('\n', end), text.size());
    taken += RowsTaken(text.substr(end, next - end), columns);
    if (taken > rows) break;
    end = std::min(next + 1, text.size());
  }
  return std::string(text.substr(0, end));
}

namespace {

class Watcher {
 public:
  Watcher(const Arguments& arguments, std::string title, FILE* out, FILE* err)
      : arguments_(arguments),
        title_(std::move(title)),
        out_(out),
        err_(err),
        on_terminal_(!arguments.json && CanMoveCursor() && isatty(fileno(out)) == 1) {}

  Status Show(const Buffer& report, const Buffer& notes, const Status& status) {
    const std::string why = status ? "" : PrintableLines(status.error().message);
    if (on_terminal_) {
      ShowScreen(report.Text() + notes.Text() + (why.empty() ? "" : "cygnet: " + why + "\n"));
    } else {
      SayWhatChanged(why);
      if (status) ShowText(report.Text(), notes.Text());
    }
    if (fflush(out_) == 0 && ferror(out_) == 0) return {};
    return MakeError(Errc::kIo, "cannot write the output");
  }

 private:
  void ShowScreen(const std::string& text) const {
    constexpr std::size_t kHead = 3;  // title, empty line, the cursor's line
    const winsize size = SizeOf(out_);
    const std::string now = TimeText(static_cast<uint64_t>(time(nullptr)));
    const std::string shown =
        size.ws_row > kHead ? FirstRows(text, size.ws_row - kHead, size.ws_col) : text;
    fmt::print(out_, "\033[H\033[2JEvery {:g} s: {}  {}\n\n{}", *arguments_.watch, title_, now,
               shown);
  }

  void ShowText(const std::string& text, const std::string& notes) const {
    if (!arguments_.json) {
      fmt::print(out_, "--- {}\n", TimeText(static_cast<uint64_t>(time(nullptr))));
    }
    fmt::print(out_, "{}", text);
    fmt::print(err_, "{}", notes);
  }

  // An error once, not every two seconds.
  void SayWhatChanged(const std::string& why) {
    if (why == said_) return;
    if (why.empty()) {
      fmt::print(err_, "cygnet: cygnetd answers again\n");
    } else {
      fmt::print(err_, "cygnet: {}; still watching\n", why);
    }
    said_ = why;
  }

  const Arguments& arguments_;
  const std::string title_;
  FILE* const out_;
  FILE* const err_;
  const bool on_terminal_;
  std::string said_;
};

}  // namespace

Status Watch(const Arguments& arguments, const OperatorConnector& connect, const std::string& title,
             FILE* out, FILE* err) {
  EndAtSignals();
  Watcher watcher(arguments, title, out, err);
  for (;; Sleep(*arguments.watch)) {
    const Buffer report;
    const Buffer notes;
    if (report.file() == nullptr || notes.file() == nullptr) {
      return MakeError(Errc::kNoMemory, "out of memory");
    }
    int exit_status = 0;  // of one report; watching has none
    const Status status =
        Report(arguments, connect, {.out = report.file(), .err = notes.file(), .terminal = out},
               &exit_status);
    if (!status && status.error().code == Errc::kPermission) return status;
    CYGNET_RETURN_IF_ERROR(watcher.Show(report, notes, status));
  }
}

}  // namespace cygnet
