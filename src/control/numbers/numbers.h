// Numbers: has the numbers of SAs outlive the process. Takes outbound numbers in blocks from the
// number store, and reserves inbound ones up to a mark, ahead of the workers: they only compare
// with an edge, as always. Blocks follow the rate: a crash costs about a second of outbound numbers
// and a tenth of a second of inbound packets.
//
// SAs of a group (decision 0026) are mute while another node uses them: they have no numbers, and
// workers drop their packets. Control thread.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
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
//
// Which numbers of groups a new owner accepts: kReserved, only those above the mark that the owner
// before had reserved; kReported, those above the last one that it told the store.
enum class GroupMarks : uint8_t { kReserved, kReported };

struct NumberSizes {
  uint64_t smallest_block = 1u << 16;
  uint64_t largest_block = 1u << 26;
  uint64_t first_step = 4096;
  uint64_t smallest_step = 512;
  uint64_t largest_step = 1u << 22;
  GroupMarks group_marks = GroupMarks::kReserved;
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
  // be used, and nothing is kept of it. `from`: the SA that it will continue; nullptr: none.
  Status Begin(const SaPtr& sa, const std::optional<NumberIdentity>& identity,
               const Sa* from = nullptr);
  // Before packets find it: connects it with its cells.
  void Attach(const SaPtr& sa);
  // It continues another one (Sa::TakeOver), or a client set its counters.
  void Follow(const Sa& sa);
  // `to` has taken over the window of `from`. Where they have the same row of the store, it gets
  // the mark: numbers that only `from` can have accepted are known, not lost. Follow comes next.
  void HandOver(const Sa& from, const Sa& to);
  // It ends: no worker finds it, and no device has it. What it did not use is given back.
  void Forget(const Sa& sa);

  // Whether its numbers outlive the process.
  bool Keeps(const Sa& sa) const { return rows_.contains(sa.number); }
  // Whether a store has them, and made the mask.
  bool HasInStore(const Sa& sa) const {
    const auto row = rows_.find(sa.number);
    return row != rows_.end() && row->second.identity.has_value();
  }

  // --- Groups that one of several nodes uses (numbers_groups.cc) ---
  // They begin mute. From here on, workers get no number of its SAs. Exact: what is used by now is
  // all that this process ever uses. Without the store.
  void Mute(uint32_t group);
  // What its SAs did not use goes back, so that the next owner has no gap. `between` is called
  // between two steps of the store. REQUIRES: Mute.
  Status ReturnUnused(uint32_t group, const std::function<void()>& between);
  // Its SAs get numbers behind all that anybody had: in DoSome, those with traffic first.
  void Wake(uint32_t group);
  // The store lost what it had confirmed. SAs that exist get no number any more, their keys must be
  // replaced.
  void MuteForever();
  // About each 100 ms: tells the store the highest numbers, for GroupMarks::kReported.
  void Report();
  // `run` gets groups that belong to another node, as the store says. They are mute.
  void OnNotOwner(std::function<void(uint32_t)> run) { not_owner_ = std::move(run); }

  struct GroupCounts {
    uint64_t sas = 0;
    uint64_t waiting = 0;  // for their first numbers, since Wake
    bool mute = true;
  };
  GroupCounts CountsOf(uint32_t group) const;
  // 0: none, or it has no numbers in a store.
  uint32_t GroupOf(const Sa& sa) const;
  // The SAs of the group, in their order.
  std::vector<SaPtr> SasOf(uint32_t group) const;
  // nullptr: it has ended.
  SaPtr FindSa(uint64_t number) const;
  // --- More numbers ---
  // A worker used half of a block.
  void OnLow(const Sa& sa);
  // For a device that takes `count` numbers at once. Sequence numbers may be fewer.
  void EnsureOutbound(const Sa& sa, uint64_t count);
  // For a device that is to accept numbers up to `last`. Returns how far it may.
  uint64_t EnsureInbound(const Sa& sa, uint64_t last);
  // Each turn of the loop: what OnLow asked for, in one step of the store. True: more work is
  // ready.
  bool DoSome();
  // About once a second: asks again where the store failed, and lowers marks of SAs that are idle.
  void Tick();

  // Why the store gives nothing; empty: it works, or there is none.
  std::string fault() const { return store_ != nullptr ? store_->fault() : std::string(); }

 private:
  struct Row {
    SaPtr sa;
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
    bool handed_over = false;  // the inbound mark is another SA's now
    bool gets_mark = false;    // HandOver brings the inbound mark
    // Of a group.
    bool is_stale = false;   // MuteForever
    bool is_behind = false;  // its group woke, and it has no numbers yet
    bool is_wanted = false;  // a worker missed numbers while it was mute
    uint64_t used = 0;       // when it became mute: the last number sent,
    uint64_t top = 0;        // and the last one that may have been accepted
  };
  struct Group {
    bool mute = true;
    std::deque<uint64_t> waiting;  // since Wake, the most urgent first; by Sa::number
  };
  // What the store gave. It takes effect once all of it is stored.
  struct Grant {
    Row* row = nullptr;
    NumberBlock block{};
    std::optional<uint64_t> mark{};
    std::optional<uint64_t> begin_at{};  // others may have accepted numbers up to there
    bool none_left = false;              // the store has no outbound number any more
  };
  // Gives back what an SA that ended did not use.
  struct Return {
    uint32_t group = 0;
    std::function<Status()> run;
  };

  // A mark that is farther ahead than the traffic needs.
  struct Lowering {
    Row* row = nullptr;
    uint64_t ahead = 0;
  };

  Row* Find(const Sa& sa);
  static uint32_t GroupOf(const Row& row) {
    return row.identity.has_value() ? row.identity->group : 0;
  }
  bool IsMute(const Row& row) const;
  bool IsMute(uint32_t group) const;
  bool Reports(const Row& row) const;
  Status AskFirst(std::vector<Grant>* grants, uint64_t step);
  void StopWorkers(Row* row) const;
  void MakeUrgent(Row* row);
  std::vector<Row*> RowsOf(uint32_t group);
  std::vector<Grant> NextBehind(Group* state);
  bool WakeSome(uint32_t group, Group* state);
  bool WakeSome();
  void TakeDue(uint32_t group, std::vector<Grant> grants);
  Status ReturnRows(std::span<Row* const> rows);
  void NotOwner(uint32_t group);
  void Failed(uint32_t group, const Status& status);
  static bool HasWindow(const Row& row);
  bool KeepsInbound(const Row& row) const;
  bool ShareInbound(const Row& a, const Row& b) const;
  bool NeedsOutbound(const Row& row) const;
  bool NeedsInbound(const Row& row) const;
  uint64_t NextCount(const Row& row) const;
  uint64_t NextStep(const Row& row) const;
  Status AskOutbound(Grant* grant, uint64_t count);
  Status AskInbound(Grant* grant, uint64_t from, uint64_t step);
  Status AskWhatWasAccepted(Grant* grant);
  Status NoteAccepted(const NumberId& id, uint64_t last);
  void CloseInbound(const Row& row);
  Status Ask(std::vector<Grant>* grants);
  void Apply(const Grant& grant);
  void SetMark(Row* row, uint64_t mark);
  void MakeDue(Row* row);
  void Lower(const std::vector<Lowering>& rows);
  void GiveBack();
  void Note(const Status& status);

  NumberStore* const store_;
  const Clock& clock_;
  const CellsOf cells_;
  const NumberSizes sizes_;
  std::map<uint64_t, Row> rows_;  // by Sa::number
  std::vector<uint64_t> due_;
  std::vector<Return> returns_;
  std::map<uint32_t, Group> groups_;
  std::function<void(uint32_t)> not_owner_;
  uint64_t tick_at_ = 0;
  uint64_t answer_ns_ = 0;  // what the store takes to answer; falls slowly
  std::string told_;        // the fault that was logged
};

}  // namespace cygnet
