// Numbers: has the numbers of SAs outlive the process. Takes outbound numbers in blocks from the
// number store, and reserves inbound ones up to a mark, ahead of the workers: they only compare
// with an edge, as always. Blocks follow the rate: a crash costs about a second of outbound numbers
// and a tenth of a second of inbound packets. Control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "control/numbers/number_store.h"
#include "sa/number_cells.h"
#include "sa/sa.h"

namespace cygnet {

// Outbound blocks last about a second. With two of them, the numbers that a crash costs stay far
// below half a subspace of ESN. Inbound steps last about a tenth of a second: packets up to the
// mark are lost in a crash. A small step instead delays the first packets after a pause.
struct NumberSizes {
  uint64_t smallest_block = 1u << 16;
  uint64_t largest_block = 1u << 26;
  uint64_t first_step = 1024;
  uint64_t smallest_step = 64;
  uint64_t largest_step = 1u << 22;
};

class Numbers {
 public:
  // The cells of an SA in memory that outlives the process; nullptr: it has none.
  using CellsOf = std::function<NumberCells*(const Sa& sa)>;

  // `store` nullptr: only what has cells outlives the process. `cells` may be empty.
  Numbers(NumberStore* store, const Clock* clock, CellsOf cells = {}, const NumberSizes& sizes = {})
      : store_(store), clock_(*clock), cells_(std::move(cells)), sizes_(sizes) {}
  ~Numbers() { GiveBack(); }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;

  // --- The life of an SA ---
  // How the store knows a new SA, with its IV mask; nullopt: there is no store. Begin follows.
  Result<std::optional<NumberIdentity>> Identify(const SaSpec& spec);
  // Before the SA is placed: its first block, and where its window begins. On an error it must not
  // be used, and nothing is kept of it.
  Status Begin(const std::shared_ptr<Sa>& sa, const std::optional<NumberIdentity>& identity);
  // Before packets find it: connects it with its cells.
  void Attach(const std::shared_ptr<Sa>& sa);
  // It continues another one (Sa::TakeOver), or a client set its counters.
  void Follow(const Sa& sa);
  // It ends: no worker finds it, and no device has it. What it did not use is given back.
  void Forget(const Sa& sa);

  // Whether its numbers outlive the process.
  bool Keeps(const Sa& sa) const { return rows_.contains(sa.number); }
  // Whether a store has them, and made the mask.
  bool HasInStore(const Sa& sa) const {
    const auto row = rows_.find(sa.number);
    return row != rows_.end() && row->second.identity.has_value();
  }

  // --- More numbers ---
  // A worker used half of a block.
  void OnLow(const Sa& sa);
  // For a device that takes `count` numbers at once. Sequence numbers may be fewer.
  void EnsureOutbound(const Sa& sa, uint64_t count);
  // For a device that is to accept numbers up to `last`. Returns how far it may.
  uint64_t EnsureInbound(const Sa& sa, uint64_t last);
  // Each turn of the loop: what OnLow asked for, in one step of the store.
  void DoSome();
  // About once a second: asks again where the store failed, and lowers marks of SAs that are idle.
  void Tick();

  // Why the store gives nothing; empty: it works, or there is none.
  std::string fault() const { return store_ != nullptr ? store_->fault() : std::string(); }

 private:
  struct Row {
    std::shared_ptr<Sa> sa;
    std::optional<NumberIdentity> identity;  // nullopt: no store
    NumberCells* cells = nullptr;
    // Outbound: the newest block, and what was sent when it was given.
    NumberBlock block;
    uint64_t sent = 0;
    uint64_t given_ns = 0;
    // Inbound: the mark that is stored, and what was accepted when it was raised.
    uint64_t mark = 0;
    uint64_t ask_at = 0;
    uint64_t accepted = 0;
    uint64_t raised_ns = 0;
    uint64_t floor = 0;    // a device accepts numbers up to there: the mark stays above
    uint64_t at_tick = 0;  // what was accepted at the last Tick
    bool is_due = false;
  };
  // What the store gave. It takes effect once all of it is stored.
  struct Grant {
    Row* row = nullptr;
    NumberBlock block{};
    std::optional<uint64_t> mark{};
    std::optional<uint64_t> begin_at{};  // others may have accepted numbers up to there
  };

  Row* Find(const Sa& sa);
  static bool KeepsInbound(const Row& row);
  bool NeedsOutbound(const Row& row) const;
  bool NeedsInbound(const Row& row) const;
  uint64_t NextCount(const Row& row) const;
  uint64_t NextStep(const Row& row) const;
  Status AskOutbound(Grant* grant, uint64_t count);
  Status AskInbound(Grant* grant, uint64_t from, uint64_t step);
  Status Ask(std::vector<Grant>* grants);
  void Apply(const Grant& grant);
  void SetMark(Row* row, uint64_t mark);
  void MakeDue(Row* row);
  void LowerIdle(const std::vector<Row*>& rows);
  void GiveBack();
  void Note(const Status& status);

  NumberStore* const store_;
  const Clock& clock_;
  const CellsOf cells_;
  const NumberSizes sizes_;
  std::map<uint64_t, Row> rows_;  // by Sa::number
  std::vector<uint64_t> due_;
  std::vector<std::function<Status()>> returns_;  // of SAs that ended
  uint64_t tick_at_ = 0;
  std::string told_;  // the fault that was logged
};

}  // namespace cygnet
