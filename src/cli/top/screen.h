// The terminal, by ncurses. One at a time; not to be copied. The destructor gives the terminal back
// as it was.
#pragma once

#include <optional>
#include <vector>

#include "base/result.h"
#include "cli/top/layout.h"

namespace cygnet::top {

class Terminal {
 public:
  // Standard input and output. Errors say what to do instead.
  static Result<Terminal> Open();
  Terminal(Terminal&& other) noexcept : open_(std::exchange(other.open_, false)) {}
  Terminal& operator=(Terminal&&) = delete;
  ~Terminal();

  Size size() const;
  // After SIGWINCH.
  void Resize();
  void Draw(const std::vector<Line>& lines);
  // The next key (state.h); nullopt: none is waiting. Unknown keys are 0.
  std::optional<int> TakeKey();

 private:
  Terminal() = default;
  bool open_ = true;
};

}  // namespace cygnet::top
