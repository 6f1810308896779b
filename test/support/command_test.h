// CommandTest: the operator's command against the daemon's own server, over a real socket.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "cli/cygnet.h"
#include "daemon/operator/operator_server.h"
#include "support/fake_operator_control.h"

namespace cygnet::test {

// Standard output or error of the command, kept in memory.
class Stream {
 public:
  Stream() : file_(open_memstream(&text_, &size_)) {}
  ~Stream() {
    fclose(file_);
    std::free(text_);
  }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  FILE* file() const { return file_; }
  std::string text() const {
    fflush(file_);
    return {text_, size_};
  }

 private:
  char* text_ = nullptr;
  std::size_t size_ = 0;
  FILE* file_;
};

struct Outcome {
  int status = -1;
  std::string out;
  std::string err;
};

inline Outcome RunAgainst(const OperatorConnector& connect, std::vector<std::string> words) {
  words.insert(words.begin(), "cygnet");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const Stream out;
  const Stream err;
  Outcome outcome;
  outcome.status =
      RunCygnet(static_cast<int>(argv.size()), argv.data(), connect, out.file(), err.file());
  outcome.out = out.text();
  outcome.err = err.text();
  return outcome;
}

inline Result<OperatorClient> Nobody() { return MakeError(Errc::kNoEntry, "no cygnetd here"); }

class CommandTest : public ::testing::Test {
 protected:
  void SetUp() override {
    control_.sas = {SampleSaReport(0x1000), SampleSaReport(0x2000)};
    control_.devices = {SampleDeviceReport()};
    control_.stat.xfrm = {{"XfrmInError", 0}, {"XfrmInNoStates", 3}};
    control_.stat.engine = "openssl";
    StartServer();
  }

  void TearDown() override { StopServer(); }

  void StartServer() {
    auto poller = Poller::Create();
    ASSERT_TRUE(poller);
    poller_ = std::move(*poller);
    server_ = std::make_unique<OperatorServer>(poller_.get(), &control_);
    thread_ = std::thread([this] {
      while (!stop_) poller_->RunOnce(-1);
    });
  }

  void StopServer() {
    stop_ = true;
    poller_->Wake();
    thread_.join();
    server_.reset();
  }

  Outcome Run(std::vector<std::string> words) {
    return RunAgainst([this] { return Connect(); }, std::move(words));
  }

  Result<OperatorClient> Connect() {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    poller_->Post([this, fd = ends[1]] { server_->Admit(UniqueFd(fd)); });
    return OperatorClient::Adopt(UniqueFd(ends[0]));
  }

  std::atomic<bool> stop_{false};
  FakeOperatorControl control_;
  std::unique_ptr<Poller> poller_;
  std::unique_ptr<OperatorServer> server_;
  std::thread thread_;
};

}  // namespace cygnet::test
