#include "datapath/shared_session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

#include "datapath/bind_half.h"

namespace cygnet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SharedSessionTest : public testing::Test {
 protected:
  // Writes down what ends, in its order.
  class Diary final : public KeyObserver {
   public:
    explicit Diary(std::vector<std::string>* lines) : lines_(*lines) {}
    ~Diary() override { lines_.push_back("diary closed"); }
    Result<uint64_t> GiveToEngine(uint32_t, const SaSpec&, Half) override { return uint64_t{0}; }
    Result<uint64_t> GiveToDevice(const OffloadDevice&, const SaSpec&, Half) override {
      return uint64_t{0};
    }
    void TakenByDevice(const OffloadDevice&, OffloadHandle, uint64_t) override {}
    void NotTaken(uint64_t, const std::string&) override {}
    void Erased(uint64_t key) override { lines_.push_back("erased " + std::to_string(key)); }

   private:
    std::vector<std::string>& lines_;
  };
  class Session final : public CryptoSession {
   public:
    explicit Session(std::vector<std::string>* lines) : lines_(*lines) {}
    ~Session() override { lines_.push_back("wiped"); }

   private:
    std::vector<std::string>& lines_;
  };
  SharedSession Make(const std::shared_ptr<KeyObserver>& keys, uint64_t key) {
    return {std::make_unique<Session>(&lines_), keys, key};
  }
  std::vector<std::string> lines_;
};

TEST_F(SharedSessionTest, LastOwnerEndsIt) {
  auto keys = std::make_shared<Diary>(&lines_);
  SharedSession first = Make(keys, 7);
  SharedSession second = first;
  EXPECT_EQ(first, second);
  first = nullptr;
  EXPECT_EQ(first, nullptr);
  EXPECT_THAT(lines_, IsEmpty());
  SharedSession third = std::move(second);
  EXPECT_EQ(second, nullptr);  // NOLINT: it was moved from
  EXPECT_NE(third, nullptr);
  EXPECT_THAT(lines_, IsEmpty());
  third.reset();
  EXPECT_THAT(lines_, ElementsAre("wiped", "erased 7"));
}

TEST_F(SharedSessionTest, SessionKeepsItsObserverAlive) {
  auto keys = std::make_shared<Diary>(&lines_);
  SharedSession one = Make(keys, 1);
  SharedSession other = Make(keys, 2);
  keys.reset();
  one.reset();
  EXPECT_THAT(lines_, ElementsAre("wiped", "erased 1"));
  other.reset();
  EXPECT_THAT(lines_, ElementsAre("wiped", "erased 1", "wiped", "erased 2", "diary closed"));
}

TEST_F(SharedSessionTest, EachIsToldOfItsOwn) {
  std::vector<std::string> others;
  const auto keys = std::make_shared<Diary>(&lines_);
  const auto other_keys = std::make_shared<Diary>(&others);
  SharedSession one = Make(keys, 1);
  SharedSession other(std::make_unique<Session>(&others), other_keys, 5);
  SharedSession unobserved(std::make_unique<Session>(&others));
  unobserved.reset();
  EXPECT_THAT(others, ElementsAre("wiped"));
  one.reset();
  SharedSession next = Make(keys, 3);  // in the seat that has become free
  other.reset();
  EXPECT_THAT(others, ElementsAre("wiped", "wiped", "erased 5"));
  next.reset();
  EXPECT_THAT(lines_, ElementsAre("wiped", "erased 1", "wiped", "erased 3"));
}

TEST_F(SharedSessionTest, OwnersOfManyThreadsEndItOnce) {
  const auto keys = std::make_shared<Diary>(&lines_);
  {
    const SharedSession shared = Make(keys, 9);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
      threads.emplace_back([own = shared] {
        for (int i = 0; i < 10'000; ++i) const SharedSession copy = own;
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_THAT(lines_, ElementsAre("wiped", "erased 9"));
}

}  // namespace
}  // namespace cygnet
