#include "daemon/system/seqpacket_server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "base/unique_fd.h"

namespace cygnet {
namespace {

using ::testing::ElementsAre;

// Sends back what it receives; "bye" ends the connection.
class Echo {
 public:
  explicit Echo(UniqueFd fd) : fd_(std::move(fd)) {}
  int fd() const { return fd_.get(); }
  uint32_t wanted_events() const { return EPOLLIN | (waiting.empty() ? 0u : uint32_t{EPOLLOUT}); }

  std::string waiting;

 private:
  const UniqueFd fd_;
};

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

class SeqpacketServerTest : public ::testing::Test {
 protected:
  using Server = SeqpacketServer<Echo>;

  SeqpacketServerTest() : poller_(std::move(*Poller::Create())) {
    server_ = std::make_unique<Server>(
        poller_.get(),
        Server::Options{.name = "echo",
                        .max_clients = 2,
                        .serve = [this](Server::ClientId id, Echo* client,
                                        uint32_t events) { return Serve(id, client, events); },
                        .on_close = [this](Echo* client) { closed_.push_back(client->fd()); }});
  }

  bool Serve(Server::ClientId id, Echo* client, uint32_t events) {
    served_.push_back(id);
    if ((events & EPOLLIN) != 0) {
      char text[16];
      const ssize_t got = recv(client->fd(), text, sizeof text, MSG_DONTWAIT);
      client->waiting.assign(text, got > 0 ? static_cast<std::size_t>(got) : 0);
      if (got <= 0 || client->waiting == "bye") return false;
    } else if ((events & EPOLLOUT) != 0) {
      EXPECT_EQ(SendDatagram(client->fd(), BytesOf(client->waiting)), Sent::kYes);
      client->waiting.clear();
    }
    return true;
  }

  UniqueFd Connect() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    server_->Add(std::make_unique<Echo>(UniqueFd(ends[1])));
    return UniqueFd(ends[0]);
  }

  static void Say(const UniqueFd& fd, const std::string& text) {
    EXPECT_EQ(SendDatagram(fd.get(), BytesOf(text)), Sent::kYes);
  }
  // The next datagram; "" is the end of the connection.
  static std::string Hear(const UniqueFd& fd) {
    char text[16];
    const ssize_t got = recv(fd.get(), text, sizeof text, MSG_DONTWAIT);
    return got < 0 ? "nothing" : std::string(text, static_cast<std::size_t>(got));
  }

  std::unique_ptr<Poller> poller_;
  std::vector<Server::ClientId> served_;
  std::vector<int> closed_;
  std::unique_ptr<Server> server_;
};

TEST_F(SeqpacketServerTest, PollsForWhatTheClientWants) {
  const UniqueFd client = Connect();
  EXPECT_EQ(poller_->RunOnce(0), 0) << "writable, which nobody requested";
  Say(client, "hello");
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_EQ(Hear(client), "nothing");
  EXPECT_EQ(poller_->RunOnce(0), 1) << "now it waits to write";
  EXPECT_EQ(Hear(client), "hello");
  EXPECT_EQ(poller_->RunOnce(0), 0);
}

TEST_F(SeqpacketServerTest, UpdatePollingTakesWhatWasDoneOutsideOfServe) {
  const UniqueFd client = Connect();
  Echo* echo = server_->clients().begin()->second.get();
  echo->waiting = "news";
  EXPECT_EQ(poller_->RunOnce(0), 0);
  server_->UpdatePolling(*echo);
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_EQ(Hear(client), "news");
}

TEST_F(SeqpacketServerTest, ClosesTheClientThatServeIsDoneWith) {
  const UniqueFd stays = Connect();
  const UniqueFd goes = Connect();
  const int fd = server_->clients().rbegin()->second->fd();
  Say(goes, "bye");
  EXPECT_EQ(poller_->RunOnce(0), 1);
  EXPECT_THAT(closed_, ElementsAre(fd));
  EXPECT_EQ(Hear(goes), "");
  EXPECT_EQ(server_->clients().size(), 1u);
  Say(stays, "still");
  EXPECT_EQ(poller_->RunOnce(0), 1);
}

TEST_F(SeqpacketServerTest, IsFullAtItsLimitUntilOneCloses) {
  const UniqueFd first = Connect();
  EXPECT_FALSE(server_->full());
  const UniqueFd second = Connect();
  EXPECT_TRUE(server_->full());
  server_->Close(server_->clients().begin()->first);
  EXPECT_FALSE(server_->full());
  EXPECT_EQ(Hear(first), "");
}

TEST_F(SeqpacketServerTest, NoNameIsUsedTwice) {
  const UniqueFd first = Connect();
  const Server::ClientId old = server_->clients().begin()->first;
  server_->Close(old);
  const UniqueFd second = Connect();
  server_->Serve(old, EPOLLIN);  // like a late callback
  server_->Close(old);
  EXPECT_TRUE(served_.empty());
  EXPECT_EQ(server_->Find(old), nullptr);
  EXPECT_EQ(server_->clients().size(), 1u);
}

TEST_F(SeqpacketServerTest, ItsEndClosesAll) {
  const UniqueFd first = Connect();
  const UniqueFd second = Connect();
  server_.reset();
  EXPECT_EQ(closed_.size(), 2u);
  EXPECT_EQ(Hear(first), "");
  EXPECT_EQ(Hear(second), "");
  EXPECT_EQ(poller_->RunOnce(0), 0) << "nothing is left in the poller";
}

TEST(SendDatagram, ReportsWhyNothingWasSent) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  EXPECT_EQ(SendDatagram(writer.get(), BytesOf(std::string(16u << 20, 'x'))), Sent::kTooLong);
  const std::string text(1000, 'x');
  Sent sent = Sent::kYes;
  for (int i = 0; i < 100'000 && sent == Sent::kYes; ++i) {
    sent = SendDatagram(writer.get(), BytesOf(text));
  }
  EXPECT_EQ(sent, Sent::kLater);
  reader.Reset();
  EXPECT_EQ(SendDatagram(writer.get(), BytesOf(text)), Sent::kBroken);
}

}  // namespace
}  // namespace cygnet
