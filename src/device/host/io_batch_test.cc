#include "device/host/io_batch.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace cygnet {
namespace {

enum class Way { kRing, kCalls };

class IoBatchTest : public testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    batch_ = GetParam() == Way::kRing ? std::make_unique<IoBatch>()
                                      : std::make_unique<IoBatch>(IoBatch::WithoutRing{});
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    near_ = UniqueFd(ends[0]);
    far_ = UniqueFd(ends[1]);
  }
  static iovec Part(std::string* text) { return {text->data(), text->size()}; }
  // Datagrams that wait at the far end.
  std::vector<std::string> Arrived() {
    std::vector<std::string> all;
    std::array<char, 100> text;
    for (ssize_t n; (n = recv(far_.get(), text.data(), text.size(), 0)) >= 0;) {
      all.emplace_back(text.data(), static_cast<std::size_t>(n));
    }
    return all;
  }
  std::unique_ptr<IoBatch> batch_;
  UniqueFd near_, far_;
};

TEST_P(IoBatchTest, WritesInTheOrderInWhichTheyWereAdded) {
  std::string words[] = {"one", "two ", "halves", "three", "four"};
  const std::array<iovec, 1> first{Part(&words[0])};
  const std::array<iovec, 2> second{Part(&words[1]), Part(&words[2])};
  const std::array<iovec, 1> third{Part(&words[3])};
  const std::array<iovec, 1> fourth{Part(&words[4])};
  for (int round = 0; round < 3; ++round) {
    batch_->Write(near_.get(), first);
    batch_->Write(near_.get(), second);
    batch_->Write(-1, third);  // does not end the others
    batch_->Write(near_.get(), fourth);
    const auto results = batch_->Run();
    EXPECT_EQ(std::vector<int32_t>(results.begin(), results.end()),
              (std::vector<int32_t>{3, 10, -EBADF, 4}));
    EXPECT_EQ(Arrived(), (std::vector<std::string>{"one", "two halves", "four"}));
  }
}

TEST_P(IoBatchTest, ReadsUntilThereIsNothingAndDoesNotWait) {
  std::array<std::array<char, 4>, IoBatch::kMost> front;
  std::array<std::array<char, 8>, IoBatch::kMost> behind;
  std::array<std::array<iovec, 2>, IoBatch::kMost> parts;
  for (const char* text : {"long enough", "short"}) {
    ASSERT_GT(send(far_.get(), text, strlen(text), 0), 0);
  }
  for (uint32_t i = 0; i < IoBatch::kMost; ++i) {
    parts[i] = {iovec{front[i].data(), 4}, iovec{behind[i].data(), 8}};
    batch_->Read(near_.get(), parts[i]);
  }
  const auto results = batch_->Run();
  ASSERT_EQ(results.size(), IoBatch::kMost);
  EXPECT_EQ(results[0], 11);
  EXPECT_EQ(std::string(front[0].data(), 4) + std::string(behind[0].data(), 7), "long enough");
  EXPECT_EQ(results[1], 5);
  for (uint32_t i = 2; i < IoBatch::kMost; ++i) EXPECT_EQ(results[i], -EAGAIN) << i;
}

TEST_P(IoBatchTest, NothingAddedIsNothingDone) { EXPECT_TRUE(batch_->Run().empty()); }

INSTANTIATE_TEST_SUITE_P(Ways, IoBatchTest, testing::Values(Way::kRing, Way::kCalls),
                         [](const auto& way) {
                           return way.param == Way::kRing ? "Ring" : "Calls";
                         });

}  // namespace
}  // namespace cygnet
