#include "control/chains.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <variant>

namespace cygnet {
namespace {

// Writes down what it is asked, in a log that several share.
class Notes final : public ChangeJournal {
 public:
  Notes(std::string name, std::string* log) : name_(std::move(name)), log_(log) {}
  Status Prepare(const ControlEvent& change) override {
    Write(std::holds_alternative<SaAdded>(change) ? "added" : "other");
    return refuses_ ? Status(MakeError(Errc::kIo)) : Status();
  }
  Status PrepareRestored(const ConstSaPtr&) override {
    Write("restored");
    return refuses_ ? Status(MakeError(Errc::kIo)) : Status();
  }
  void Note(const ControlEvent&) override { Write("noted"); }
  void Refuse() { refuses_ = true; }

 private:
  void Write(const std::string& what) { *log_ += name_ + ":" + what + " "; }

  const std::string name_;
  std::string* const log_;
  bool refuses_ = false;
};

// A journal that knows the SAs of the process before does not write them again.
TEST(ChangeJournalChainTest, PassesEachQuestionOnAsItIs) {
  std::string log;
  Notes first("a", &log);
  Notes second("b", &log);
  ChangeJournalChain chain({&first, nullptr, &second});
  EXPECT_TRUE(chain.Prepare(SaAdded{nullptr}));
  EXPECT_TRUE(chain.PrepareRestored(nullptr));
  chain.Note(SaDeleted{nullptr});
  EXPECT_EQ(log, "a:added b:added a:restored b:restored a:noted b:noted ");
}

TEST(ChangeJournalChainTest, TheFirstRefusalEndsIt) {
  std::string log;
  Notes first("a", &log);
  Notes second("b", &log);
  first.Refuse();
  ChangeJournalChain chain({&first, &second});
  EXPECT_FALSE(chain.Prepare(SaAdded{nullptr}));
  EXPECT_FALSE(chain.PrepareRestored(nullptr));
  EXPECT_EQ(log, "a:added a:restored ");
}

}  // namespace
}  // namespace cygnet
