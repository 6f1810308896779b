// The screens of `cygnet top`, as lines. Pure.
#pragma once

#include <cstddef>
#include <vector>

#include "cli/top/line.h"
#include "cli/top/model.h"
#include "cli/top/state.h"

namespace cygnet::top {

struct Size {
  std::size_t rows = 24;
  std::size_t columns = 80;
};

// Drill-down into one SA: what the daemon has about it.
struct Detail {
  std::vector<Json> sas;     // the SA; empty: it is gone, or was not read yet
  std::vector<Json> ledger;  // placements and keys
  bool read = false;
  std::string error{};  // why it could not be read; empty: it was
};

// Rows of SAs that fit on the screen.
std::size_t PageOf(const View& view, const State& state, const Size& size);

// Exactly `size.rows` lines or fewer. `rows` of Arrange, after Follow.
std::vector<Line> Screen(const View& view, const State& state,
                         const std::vector<const SaRow*>& rows, const Detail& detail,
                         const Size& size);

// Everything, one after the other, for `--once`.
std::vector<Line> Whole(const View& view, const State& state, std::size_t columns);

// The parts. panes.cc, detail.cc
std::vector<Line> SaTable(const View& view, const std::vector<const SaRow*>& rows,
                          std::size_t columns, long selected);
std::vector<Line> DevicePane(const View& view, std::size_t columns);
std::vector<Line> WorkerPane(const View& view, std::size_t columns);
std::vector<Line> DropPane(const View& view, std::size_t columns);
// One SA in a sentence, for the line below the table.
Line SaLine(const SaRow& row, const View& view);
// `row` nullptr: it is gone.
std::vector<Line> DetailLines(const SaRow* row, const Detail& detail, const View& view,
                              std::size_t columns);

}  // namespace cygnet::top
