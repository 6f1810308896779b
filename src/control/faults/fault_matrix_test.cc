// Every fault of the software NIC, with crypto and packet offload, in each direction: what is lost,
// doubled, delivered wrongly, sent in clear or with a number or IV that was used before. The last
// two are 0 everywhere. With verify = 1, so are the packets that are doubled or delivered wrongly.
// doc/fault_matrix.md has the table, and a test compares it with this run.
// CYGNET_WRITE_FAULT_MATRIX=FILE writes that page anew.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <numeric>
#include <sstream>

#include "support/fault_lab.h"

namespace cygnet {
namespace {

using test::FaultLab;

constexpr uint32_t kBefore = 50;
constexpr uint32_t kDuring = 200;
constexpr uint32_t kAfter = 50;

// What a fault costs, beyond packets that are dropped and counted.
enum class Harm : uint8_t {
  kNone,
  kSwallows,  // packets vanish uncounted
  kChanges,   // the receiver cannot tell that a packet is wrong
  kReplays,   // packet offload, inbound: packets are delivered twice
  kForges,    // inbound: forged packets are delivered
};

struct FaultRow {
  const char* fault;
  const char* then = nullptr;  // played after it, so that it shows
  Harm harm = Harm::kNone;
  bool ends = false;    // the SA ends
  uint64_t before = 0;  // FaultLab::Options
};

constexpr FaultRow kRows[] = {
    {"link-down"},
    {"down"},
    {"reset 0"},
    {"reset 500"},
    {"remove"},
    {"crash"},
    {"table-full", "reset 0"},
    {"add-fail EIO 2", "reset 0"},
    {"slow-add 2 2", "reset 0"},
    {"skip-seal 3"},
    {"skip-icv 3"},
    {"fail-seal 10"},
    {"policy-miss 3"},
    {"reorder 100"},
    {"swallow 10", nullptr, Harm::kSwallows},
    {"stale-counters"},
    {"wrong-icv 5", nullptr, Harm::kForges},
    {"wrong-inner 5", nullptr, Harm::kChanges},
    {"let-replay 5", nullptr, Harm::kReplays},
    {"no-expiry 2", nullptr, Harm::kNone, true},
    {"lie rfc4106(gcm(aes))"},
    {"lie key-128"},
    {"lie icv-128", nullptr, Harm::kForges},
    {"lie tunnel", nullptr, Harm::kChanges},
    {"lie replay", nullptr, Harm::kReplays},
    {"lie esn", nullptr, Harm::kNone, false, uint64_t{3} << 32},
};

struct Cell {
  const FaultRow* row;
  PlacementMode mode;
  FaultWay way;
  uint32_t verify = 0;
};

struct Outcome {
  uint64_t sent = 0;
  uint64_t lost = 0;
  uint64_t lost_after = 0;  // of those that were sent after the fault
  uint64_t doubled = 0;
  uint64_t wrong = 0;
  uint64_t forged = 0;
  uint64_t clear = 0;
  uint64_t repeated = 0;
  std::map<std::string, uint64_t> reasons;  // of drops, and "(at the peer) …"
  std::string where;                        // in the end
};

std::string NameOf(PlacementMode mode) {
  return mode == PlacementMode::kPacket ? "packet" : "crypto";
}

std::string NameOf(FaultWay way) { return way == FaultWay::kOut ? "out" : "in"; }

Outcome Play(const Cell& cell) {
  FaultLab::Options options{
      .mode = cell.mode, .limits = {}, .verify = cell.verify, .before = cell.row->before};
  if (cell.row->ends) options.limits.hard_packets = kBefore + 100;
  FaultLab lab(options);
  lab.Send(cell.way, kBefore);
  EXPECT_TRUE(lab.Inject(cell.row->fault));
  if (cell.row->then != nullptr) {
    EXPECT_TRUE(lab.Inject(cell.row->then));
  }
  lab.Send(cell.way, kDuring);
  Outcome outcome;
  if (!cell.row->ends) {
    lab.Recover();
    const uint64_t before = lab.Sent(cell.way) - lab.Arrived(cell.way);
    lab.Send(cell.way, kAfter);
    outcome.lost_after = lab.Sent(cell.way) - lab.Arrived(cell.way) - before;
  }
  lab.Settle();
  outcome.sent = lab.Sent(cell.way);
  outcome.lost = outcome.sent - lab.Arrived(cell.way);
  outcome.doubled = lab.Doubled(cell.way);
  outcome.wrong = lab.Wrong(cell.way);
  outcome.forged = lab.forged_delivered();
  outcome.clear = lab.peer().clear;
  outcome.repeated = lab.peer().repeated;
  outcome.where = lab.Where(cell.way);
  outcome.reasons = lab.Drops();
  if (lab.peer().broken > 0) outcome.reasons["(at the peer) in-auth-failed"] = lab.peer().broken;
  if (lab.peer().late > 0) outcome.reasons["(at the peer) in-replay"] = lab.peer().late;
  // The forged packets and those sent again belong there.
  outcome.reasons.erase("in-replay-duplicate");
  outcome.reasons.erase("in-replay-old");
  const auto refused = outcome.reasons.find("in-auth-failed");
  if (refused != outcome.reasons.end() && refused->second <= lab.forged_sent()) {
    outcome.reasons.erase(refused);
  }
  return outcome;
}

uint64_t Explained(const Outcome& outcome) {
  return std::accumulate(outcome.reasons.begin(), outcome.reasons.end(), uint64_t{0},
                         [](uint64_t sum, const auto& reason) { return sum + reason.second; });
}

// "out-not-sealed, out-placement-blocked"
std::string Because(const Cell& cell, const Outcome& outcome) {
  if (outcome.lost == 0) return "";
  std::string text;
  const auto add = [&text](const std::string& part) { text += (text.empty() ? "" : ", ") + part; };
  for (const auto& [reason, count] : outcome.reasons) add(reason);
  if (cell.row->harm == Harm::kSwallows) add("no counter");
  return text;
}

std::string Line(const Cell& cell, const Outcome& o) {
  std::ostringstream line;
  const std::string then =
      cell.row->then == nullptr ? "" : " and `" + std::string(cell.row->then) + "`";
  line << "| `" << cell.row->fault << "`" << then << " | " << NameOf(cell.mode) << " | "
       << NameOf(cell.way) << " | " << o.sent << " | " << o.lost << " | " << o.doubled << " | "
       << o.wrong << " | " << o.forged << " | " << o.clear << " | " << o.repeated << " | "
       << Because(cell, o) << " |\n";
  return line.str();
}

// What must hold in every cell.
void Check(const Cell& cell, const Outcome& o) {
  SCOPED_TRACE(Line(cell, o));
  const bool packet_in = cell.mode == PlacementMode::kPacket && cell.way == FaultWay::kIn;
  EXPECT_EQ(o.clear, 0u);
  EXPECT_EQ(o.repeated, 0u);
  EXPECT_EQ(o.lost_after, 0u) << "the fault is over";
  const Harm harm = cell.verify == 1 ? Harm::kNone : cell.row->harm;
  EXPECT_TRUE(o.doubled == 0 || (harm == Harm::kReplays && packet_in));
  EXPECT_TRUE(o.wrong == 0 || harm == Harm::kChanges);
  EXPECT_TRUE(o.forged == 0 || (harm == Harm::kForges && cell.way == FaultWay::kIn));
  const uint64_t swallowed = cell.row->harm == Harm::kSwallows ? 10 : 0;
  EXPECT_LE(o.lost, Explained(o) + swallowed);
  EXPECT_EQ(o.where, cell.row->ends ? "ended" : NameOf(cell.mode));
}

std::string Table(uint32_t verify) {
  std::string table;
  for (const FaultRow& row : kRows) {
    for (const PlacementMode mode : {PlacementMode::kCrypto, PlacementMode::kPacket}) {
      for (const FaultWay way : {FaultWay::kOut, FaultWay::kIn}) {
        const Cell cell{&row, mode, way, verify};
        const Outcome outcome = Play(cell);
        Check(cell, outcome);
        table += Line(cell, outcome);
      }
    }
  }
  return table;
}

constexpr std::string_view kHead =
    "| fault | mode | way | sent | lost | doubled | wrong | forged | clear | repeated | lost as |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|\n";

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Replaces the table of a section of the page.
std::string WithTable(const std::string& page, std::string_view section, const std::string& table) {
  const std::size_t begin = page.find(section);
  const std::size_t head = page.find(kHead, begin == std::string::npos ? 0 : begin);
  if (begin == std::string::npos || head == std::string::npos) {
    return page + "\n" + std::string(section) + "\n" + std::string(kHead) + table;
  }
  std::size_t end = head + kHead.size();
  while (page.compare(end, 1, "|") == 0) end = page.find('\n', end) + 1;
  return page.substr(0, head) + std::string(kHead) + table + page.substr(end);
}

TEST(FaultMatrixTest, PageShowsWhatEachFaultCosts) {
  const std::string page = ReadFile(CYGNET_FAULT_MATRIX);
  std::string now = WithTable(page, "## Not verified\n", Table(0));
  now = WithTable(now, "## With verify = 1\n", Table(1));
  if (const char* path = std::getenv("CYGNET_WRITE_FAULT_MATRIX")) {
    std::ofstream(path) << now;
    return;
  }
  EXPECT_EQ(now, page) << "write doc/fault_matrix.md anew";
}

}  // namespace
}  // namespace cygnet
