#include "daemon/system/poller.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <thread>

namespace cygnet {
namespace {

class PollerTest : public ::testing::Test {
 protected:
  PollerTest() : poller_(std::move(*Poller::Create())) {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, a_.data()), 0);
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, b_.data()), 0);
  }
  ~PollerTest() override {
    for (const int fd : {a_[0], a_[1], b_[0], b_[1]}) close(fd);
  }
  static void Ring(int fd) { ASSERT_EQ(write(fd, "x", 1), 1); }

  std::unique_ptr<Poller> poller_;
  std::array<int, 2> a_;
  std::array<int, 2> b_;
};

TEST_F(PollerTest, RunsCallbacksOfReadyFds) {
  int calls = 0;
  ASSERT_TRUE(poller_->Add(a_[0], EPOLLIN, [&](uint32_t events) {
    EXPECT_NE(events & EPOLLIN, 0u);
    ++calls;
  }));
  EXPECT_EQ(poller_->RunOnce(0), 0);
  Ring(a_[1]);
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_EQ(poller_->RunOnce(0), 1) << "level-triggered";
  EXPECT_EQ(calls, 2);
}

TEST_F(PollerTest, ModifyChangesWhatIsWaitedFor) {
  ASSERT_TRUE(poller_->Add(a_[0], EPOLLIN, [](uint32_t) {}));
  ASSERT_TRUE(poller_->Modify(a_[0], EPOLLIN | EPOLLOUT));
  EXPECT_EQ(poller_->RunOnce(0), 1);
  ASSERT_TRUE(poller_->Modify(a_[0], EPOLLIN));
  EXPECT_EQ(poller_->RunOnce(0), 0);
}

TEST_F(PollerTest, CallbackMayRemoveAnotherReadyFd) {
  int calls = 0;
  const auto remove = [&](int other) {
    return [this, &calls, other](uint32_t) {
      ++calls;
      poller_->Remove(other);
    };
  };
  ASSERT_TRUE(poller_->Add(a_[0], EPOLLIN, remove(b_[0])));
  ASSERT_TRUE(poller_->Add(b_[0], EPOLLIN, remove(a_[0])));
  Ring(a_[1]);
  Ring(b_[1]);
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_EQ(calls, 1);
}

TEST_F(PollerTest, CallbackMayReplaceItself) {
  int second = 0;
  ASSERT_TRUE(poller_->Add(a_[0], EPOLLIN, [&](uint32_t) {
    poller_->Remove(a_[0]);
    ASSERT_TRUE(poller_->Add(a_[0], EPOLLIN, [&](uint32_t) { ++second; }));
  }));
  Ring(a_[1]);
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_EQ(second, 0);
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_EQ(second, 1);
}

TEST_F(PollerTest, PostedFunctionsRunInOrderInTheLoopsThread) {
  const auto loop = std::this_thread::get_id();
  std::vector<int> order;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) {
      poller_->Post([&, i] {
        EXPECT_EQ(std::this_thread::get_id(), loop);
        order.push_back(i);
      });
    }
  });
  while (order.size() < 100) poller_->RunOnce(1000);
  other.join();
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[static_cast<std::size_t>(i)], i);
}

TEST_F(PollerTest, PostInsidePostedFunctionRunsNextTime) {
  bool ran = false;
  poller_->Post([&] { poller_->Post([&] { ran = true; }); });
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_FALSE(ran);
  EXPECT_EQ(poller_->RunOnce(-1), 1) << "the wake-up is not lost";
  EXPECT_TRUE(ran);
}

TEST_F(PollerTest, WakeReturnsFromAnEndlessWait) {
  poller_->Wake();
  EXPECT_EQ(poller_->RunOnce(-1), 0);
}

}  // namespace
}  // namespace cygnet
