// All that two nodes can do with the numbers of one SA, step by step: begin, send, receive any
// packet that the peer ever sent, get numbers, give them back, end in order or at once; with a
// store whose answers get lost. The parts are the real ones, with blocks of two numbers and windows
// of two. Each state is reached once; in each, no number was sent twice and none was accepted
// twice.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "control/numbers/numbers.h"
#include "support/fake_clock.h"
#include "support/memory_number_store.h"
#include "support/sanitized.h"
#include "support/test_sa.h"

namespace cygnet {
namespace {

using test::MemoryNumberStore;
using Answer = MemoryNumberStore::Answer;

constexpr std::size_t kNodes = 2;
constexpr uint64_t kPackets = 4;  // of the peer: each may come at any time, any number of times
constexpr uint64_t kSends = 6;    // nodes send no higher number
// 18,371 states with 6, 88,000 with 7.
constexpr std::size_t kDepth = test::kSanitized ? 5 : 6;
constexpr std::size_t kLeastStates = test::kSanitized ? 2'000 : 10'000;
constexpr NumberSizes kSmall{.smallest_block = 2,
                             .largest_block = 2,
                             .first_step = 3,
                             .smallest_step = 1,
                             .largest_step = 2};

struct Faults {
  bool gives_twice = false;
  bool raises_blindly = false;
};

enum class Kind { kBegin, kSend, kReceive, kTurn, kTick, kEnd, kCrash };
struct Action {
  std::size_t node = 0;
  Kind kind = Kind::kBegin;
  Answer answer = Answer::kGiven;
  uint64_t packet = 0;
};

class World {
 public:
  explicit World(const Faults& faults) {
    for (Node& node : nodes_) {
      node.store = std::make_unique<MemoryNumberStore>(&disk_);
      node.store->gives_twice = faults.gives_twice;
      node.store->raises_blindly = faults.raises_blindly;
    }
  }
  // False: it is not possible here.
  bool Do(const Action& action) {
    Node& node = nodes_[action.node];
    clock_.monotonic_ns += 1'000'000'000;
    node.store->answer = action.answer;
    const bool done = Step(action, &node);
    node.store->answer = Answer::kGiven;
    return done;
  }
  const std::string& wrong() const { return wrong_; }
  // What later steps depend on.
  std::string Print() const {
    std::vector<std::string> nodes;
    for (const Node& node : nodes_) nodes.push_back(PrintNode(node));
    std::sort(nodes.begin(), nodes.end());  // the nodes are alike
    std::string text = nodes[0] + nodes[1];
    for (const auto* values : {&disk_.given, &disk_.marks}) {
      for (const auto& [id, value] : *values) text += Byte(value);
      text += '/';
    }
    for (const auto* numbers : {&sent_, &accepted_}) {
      for (const uint64_t number : *numbers) text += Byte(number);
      text += '/';
    }
    return text;
  }

 private:
  struct Node {
    std::unique_ptr<MemoryNumberStore> store;
    std::unique_ptr<Numbers> numbers{};  // nullptr: the process does not run
    SaPtr sa{};                          // after its end, workers may have it for a while
    bool lives = false;
    bool out_low = false;  // reported since the last turn
    bool in_low = false;
  };

  bool Step(const Action& action, Node* node) {
    switch (action.kind) {
      case Kind::kBegin:
        return Begin(node);
      case Kind::kSend:
        return Send(node);
      case Kind::kReceive:
        return Receive(node, action.packet);
      case Kind::kTurn:
        if (!node->lives || (!node->out_low && !node->in_low)) return false;
        node->numbers->DoSome();
        node->out_low = node->in_low = false;
        return true;
      case Kind::kTick:
        if (!node->lives) return false;
        node->numbers->Tick();
        return true;
      case Kind::kEnd:
        if (!node->lives) return false;
        node->numbers->Forget(*node->sa);
        node->numbers->DoSome();
        node->lives = false;
        return true;
      case Kind::kCrash:
        if (node->numbers == nullptr) return false;
        *node = {.store = std::move(node->store)};
        return true;
    }
    return false;
  }
  bool Begin(Node* node) {
    if (node->lives) return false;
    if (node->numbers == nullptr) {
      node->numbers =
          std::make_unique<Numbers>(node->store.get(), &clock_, Numbers::CellsOf(), kSmall);
    }
    static const NumberIdentity kIdentity = *node->store->Identify(test::MakeSpec());
    const auto sa = MakeSharedSa(test::MakeSpec({.window = 2}), uint64_t{1}, kIdentity.iv_mask);
    sa->number = 1;
    if (!node->numbers->Begin(sa, kIdentity)) return true;
    node->sa = sa;
    node->lives = true;
    node->out_low = node->in_low = false;
    return true;
  }
  bool Send(Node* node) {
    if (node->sa == nullptr || node->sa->outbound()->sequence.last_sent() >= kSends) return false;
    const SequenceRange range = node->sa->outbound()->sequence.Reserve(1);
    if (range.low && node->lives) {
      node->numbers->OnLow(*node->sa);
      node->out_low = true;
    }
    if (range.count == 0) return range.low;
    if (!sent_.insert(range.first).second)
      wrong_ = "number " + std::to_string(range.first) + " sent twice";
    return true;
  }
  // It was checked and authenticated some time ago.
  bool Receive(Node* node, uint64_t packet) {
    if (node->sa == nullptr) return false;
    DropReason verdict = DropReason::kNone;
    const NumbersLeft left = node->sa->inbound()->replay.CommitRun({&packet, 1}, {&verdict, 1});
    if (left == NumbersLeft::kLow && node->lives) {
      node->numbers->OnLow(*node->sa);
      node->in_low = true;
    }
    if (verdict != DropReason::kNone) return left == NumbersLeft::kLow;
    if (!accepted_.insert(packet).second)
      wrong_ = "packet " + std::to_string(packet) + " accepted twice";
    return true;
  }

  static std::string Byte(uint64_t value) { return std::to_string(value) + ","; }
  static std::string PrintNode(const Node& node) {
    if (node.numbers == nullptr) return "-;";
    if (node.sa == nullptr) return "+;";
    const SequenceCounter& sequence = node.sa->outbound()->sequence;
    ReplayWindow& window = node.sa->inbound()->replay;
    std::string text = std::to_string(node.lives + 2 * node.out_low + 4 * node.in_low) + ":" +
                       Byte(std::min(sequence.last_sent(), uint64_t{99})) + Byte(sequence.edge()) +
                       Byte(window.wanted()) + Byte(window.highest()) + Byte(window.mark());
    for (uint64_t packet = 1; packet <= kPackets; ++packet) {
      text += Byte(static_cast<uint64_t>(window.Check(packet)));
    }
    return text + ";";
  }

  test::FakeClock clock_;
  MemoryNumberStore::Content disk_;
  std::array<Node, kNodes> nodes_;
  std::set<uint64_t> sent_;
  std::set<uint64_t> accepted_;
  std::string wrong_;
};

std::vector<Action> AllActions() {
  std::vector<Action> actions;
  for (std::size_t node = 0; node < kNodes; ++node) {
    for (const Kind kind : {Kind::kBegin, Kind::kTurn, Kind::kTick, Kind::kEnd}) {
      for (const Answer answer : {Answer::kGiven, Answer::kLost, Answer::kRefused}) {
        actions.push_back({.node = node, .kind = kind, .answer = answer});
      }
    }
    actions.push_back({.node = node, .kind = Kind::kSend});
    actions.push_back({.node = node, .kind = Kind::kCrash});
    for (uint64_t packet = 1; packet <= kPackets; ++packet) {
      actions.push_back({.node = node, .kind = Kind::kReceive, .packet = packet});
    }
  }
  return actions;
}

struct Outcome {
  std::size_t states = 0;
  std::string wrong;
};

// Real objects cannot be copied: each state is made anew from its path.
Outcome Explore(const Faults& faults, std::size_t depth) {
  const std::vector<Action> actions = AllActions();
  std::set<std::string> seen;
  std::deque<std::vector<uint8_t>> paths = {{}};
  Outcome outcome;
  for (; !paths.empty(); paths.pop_front()) {
    const std::vector<uint8_t> path = paths.front();
    for (std::size_t next = 0; next < actions.size(); ++next) {
      World world(faults);
      for (const uint8_t step : path) (void)world.Do(actions[step]);
      if (!world.Do(actions[next])) continue;
      if (!seen.insert(world.Print()).second) continue;
      ++outcome.states;
      if (!world.wrong().empty()) {
        outcome.wrong = world.wrong();
        return outcome;
      }
      if (path.size() + 1 == depth) continue;
      paths.push_back(path);
      paths.back().push_back(static_cast<uint8_t>(next));
    }
  }
  return outcome;
}

TEST(NumberModelTest, NoNumberIsSentOrAcceptedTwice) {
  const Outcome outcome = Explore({}, kDepth);
  EXPECT_EQ(outcome.wrong, "");
  EXPECT_GT(outcome.states, kLeastStates);
  std::printf("%zu states\n", outcome.states);
}

// The model is able to fail.
TEST(NumberModelTest, AStoreThatGivesABlockTwiceIsFound) {
  EXPECT_THAT(Explore({.gives_twice = true}, 6).wrong, testing::HasSubstr("sent twice"));
}

TEST(NumberModelTest, AStoreThatRaisesWithoutComparingIsFound) {
  EXPECT_THAT(Explore({.raises_blindly = true}, 6).wrong, testing::HasSubstr("accepted twice"));
}

}  // namespace
}  // namespace cygnet
