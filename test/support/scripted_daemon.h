// ScriptedDaemon: accepts one connection and one request, sends what a test specifies, and ends.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "client/operator_client.h"

namespace cygnet::test {

// What happens after the script.
enum class Ending { kClose, kWaitForShutdown };

class ScriptedDaemon {
 public:
  ScriptedDaemon(std::vector<std::string> script, Ending ending) {
    int ends[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    client_ = UniqueFd(ends[0]);
    thread_ = std::thread(
        [script = std::move(script), ending, fd = ends[1]] { Play(UniqueFd(fd), script, ending); });
  }
  ~ScriptedDaemon() {
    client_.Reset();
    thread_.join();
  }

  // Connects once, from this process or a forked one.
  OperatorConnector connector() const {
    return [fd = client_.get()] {
      return OperatorClient::Adopt(UniqueFd(fcntl(fd, F_DUPFD_CLOEXEC, 0)));
    };
  }

 private:
  static void Play(const UniqueFd& fd, const std::vector<std::string>& script, Ending ending) {
    char buffer[4096];
    if (recv(fd.get(), buffer, sizeof(buffer), 0) <= 0) return;
    for (const std::string& text : script) {
      if (send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) < 0) return;
    }
    if (ending == Ending::kWaitForShutdown) {
      while (recv(fd.get(), buffer, sizeof(buffer), 0) > 0) {
      }
    }
  }

  UniqueFd client_;
  std::thread thread_;
};

}  // namespace cygnet::test
