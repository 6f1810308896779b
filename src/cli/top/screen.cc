#include "cli/top/screen.h"

// No macros of names like "move" and "erase".
#define NCURSES_NOMACROS
#include <curses.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <string>

namespace cygnet::top {
namespace {

constexpr short kGoodPair = 1;
constexpr short kWarningPair = 2;
constexpr short kBadPair = 3;

Error Refused(const std::string& why) {
  return MakeError(Errc::kNotSupported,
                   "top: " + why + "; \"cygnet top --once\" prints one view as text");
}

std::string TerminalName() {
  const char* name = std::getenv("TERM");
  return name == nullptr ? "" : name;
}

void UseColors() {
  const char* refused = std::getenv("NO_COLOR");
  if ((refused != nullptr && *refused != '\0') || !has_colors()) return;
  start_color();
  use_default_colors();
  init_pair(kGoodPair, COLOR_GREEN, -1);
  init_pair(kWarningPair, COLOR_YELLOW, -1);
  init_pair(kBadPair, COLOR_RED, -1);
}

attr_t AttributesOf(Style style) {
  const auto color = [](short pair) -> attr_t {
    return COLORS > 0 ? static_cast<attr_t>(COLOR_PAIR(pair)) : A_NORMAL;
  };
  switch (style) {
    case Style::kStrong:
      return A_BOLD;
    case Style::kHead:
      return A_REVERSE;
    case Style::kSelected:
      return A_REVERSE | A_BOLD;
    case Style::kGood:
      return color(kGoodPair);
    case Style::kWarning:
      return color(kWarningPair) | A_BOLD;
    case Style::kBad:
      return color(kBadPair) | A_BOLD;
    case Style::kDim:
      return A_DIM;
    case Style::kPlain:
      break;
  }
  return A_NORMAL;
}

int KeyOf(int key) {
  switch (key) {
    case KEY_UP:
      return kKeyUp;
    case KEY_DOWN:
      return kKeyDown;
    case KEY_PPAGE:
      return kKeyPageUp;
    case KEY_NPAGE:
      return kKeyPageDown;
    case KEY_HOME:
      return kKeyHome;
    case KEY_END:
      return kKeyEnd;
    case KEY_ENTER:
    case '\r':
    case '\n':
      return kKeyEnter;
    case KEY_BACKSPACE:
    case '\b':
    case 0x7f:
      return kKeyBackspace;
    case KEY_BTAB:
      return kKeyBackTab;
    case '\t':
      return kKeyTab;
    case 0x1b:
      return kKeyEscape;
    default:
      return key < 0x100 ? key : 0;
  }
}

}  // namespace

Result<Terminal> Terminal::Open() {
  constexpr int kEscapeMs = 25;  // what comes later is another key
  if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) {
    return Refused("standard input and output are not a terminal");
  }
  const std::string name = TerminalName();
  if (name.empty()) return Refused("the environment variable TERM is not set");
  set_escdelay(kEscapeMs);
  SCREEN* screen = newterm(nullptr, stdout, stdin);
  if (screen == nullptr) return Refused("the terminal type \"" + name + "\" is unknown here");
  Terminal terminal;
  if (tigetstr("cup") == nullptr) {
    return Refused("a terminal of type \"" + name + "\" cannot move its cursor");
  }
  UseColors();
  cbreak();
  noecho();
  nonl();
  curs_set(0);
  keypad(stdscr, TRUE);
  nodelay(stdscr, TRUE);
  leaveok(stdscr, TRUE);
  return terminal;
}

Terminal::~Terminal() {
  if (open_) endwin();
}

Size Terminal::size() const {
  return {.rows = static_cast<std::size_t>(std::max(1, LINES)),
          .columns = static_cast<std::size_t>(std::max(1, COLS))};
}

void Terminal::Resize() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row == 0 || size.ws_col == 0) return;
  resizeterm(size.ws_row, size.ws_col);
  clearok(stdscr, TRUE);
}

void Terminal::Draw(const std::vector<Line>& lines) {
  werase(stdscr);
  for (std::size_t row = 0; row < lines.size(); ++row) {
    wmove(stdscr, static_cast<int>(row), 0);
    for (const Piece& piece : lines[row]) {
      wattrset(stdscr, static_cast<int>(AttributesOf(piece.style)));
      waddnstr(stdscr, piece.text.c_str(), static_cast<int>(piece.text.size()));
    }
  }
  wattrset(stdscr, A_NORMAL);
  wrefresh(stdscr);
}

std::optional<int> Terminal::TakeKey() {
  const int key = wgetch(stdscr);
  if (key == ERR) return std::nullopt;
  return KeyOf(key);
}

}  // namespace cygnet::top
