// ScriptedDaemon: takes one connection and one request, sends what a test says, and goes.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unique_fd.h"

namespace cygnet::test {

// What comes after the script.
enum class Ending { kClose, kWaitForShutdown };

// A name that no other test has.
inline std::string UniqueSocketName() {
  static std::atomic<int> number{0};
  return "cygnet/test-cli-" + std::to_string(getpid()) + "-" + std::to_string(++number);
}

class ScriptedDaemon {
 public:
  ScriptedDaemon(std::vector<std::string> script, Ending ending)
      : name_(UniqueSocketName()), listener_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name_.data(), name_.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name_.size());
    EXPECT_EQ(bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_.get(), 1), 0);
    thread_ = std::thread([this, script = std::move(script), ending] { Play(script, ending); });
  }
  ~ScriptedDaemon() { thread_.join(); }

  const std::string& name() const { return name_; }

 private:
  void Play(const std::vector<std::string>& script, Ending ending) {
    const UniqueFd fd(accept(listener_.get(), nullptr, nullptr));
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

  const std::string name_;
  const UniqueFd listener_;
  std::thread thread_;
};

}  // namespace cygnet::test
