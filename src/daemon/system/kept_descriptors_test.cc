#include "daemon/system/kept_descriptors.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/unix_address.h"

namespace cygnet {
namespace {

UniqueFd Memory() { return UniqueFd(memfd_create("kept", MFD_CLOEXEC)); }

bool SameFile(int a, int b) {
  struct stat one {};
  struct stat other {};
  return fstat(a, &one) == 0 && fstat(b, &other) == 0 && one.st_ino == other.st_ino;
}

// Plays the service manager.
class KeptDescriptorsTest : public testing::Test {
 protected:
  void SetUp() override {
    while (low_.empty() || low_.back().get() < 5) {
      low_.emplace_back(open("/dev/null", O_RDWR | O_CLOEXEC));  // their numbers are replaced
    }
    socket_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const std::string name = "cygnet-kept-" + std::to_string(getpid());
    const std::string abstract = '\0' + name;
    const UnixAddress address(abstract.data(), abstract.size());
    ASSERT_EQ(bind(socket_.get(), address.get(), address.length()), 0);
    setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
    manager_ = ServiceManager::FromEnvironment();
  }
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}) {
      unsetenv(name);
    }
  }
  // The next notification and the descriptor that came with it.
  std::pair<std::string, UniqueFd> Next() const {
    char text[256];
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    iovec part{text, sizeof(text)};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    const ssize_t n = recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    UniqueFd fd;
    if (const cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr) {
      int value = -1;
      std::memcpy(&value, CMSG_DATA(c), sizeof(value));
      fd = UniqueFd(value);
    }
    return {std::string(text, static_cast<std::size_t>(n)), std::move(fd)};
  }

  std::vector<UniqueFd> low_;
  UniqueFd socket_;
  ServiceManager manager_;
};

TEST_F(KeptDescriptorsTest, AKeptDescriptorReplacesTheOneOfItsName) {
  auto kept = KeptDescriptors::FromEnvironment(&manager_);
  const UniqueFd memory = Memory();
  kept.Keep("tap-nic0-0", memory.get());
  EXPECT_EQ(Next().first, "FDSTOREREMOVE=1\nFDNAME=tap-nic0-0\n");
  const auto [text, fd] = Next();
  EXPECT_EQ(text, "FDSTORE=1\nFDNAME=tap-nic0-0\nFDPOLL=0\n");
  EXPECT_TRUE(SameFile(fd.get(), memory.get()));
}

TEST_F(KeptDescriptorsTest, DiscardWaitsUntilTheManagerHasLetGo) {
  auto kept = KeptDescriptors::FromEnvironment(&manager_);
  std::string first;
  std::string second;
  std::thread player([&] {
    first = Next().first;
    second = Next().first;  // closes the end that came with it
  });
  kept.Discard("tap-nic0-0");
  player.join();
  EXPECT_EQ(first, "FDSTOREREMOVE=1\nFDNAME=tap-nic0-0\n");
  EXPECT_EQ(second, "BARRIER=1");
}

TEST_F(KeptDescriptorsTest, WithoutAManagerNothingIsKept) {
  ServiceManager nobody;
  auto kept = KeptDescriptors::FromEnvironment(&nobody);
  EXPECT_FALSE(kept.works());
  EXPECT_FALSE(kept.Settle().has_value());
  kept.Keep("state", 0);
  EXPECT_FALSE(kept.Take("state").valid());
}

// In a child, because the numbers of the descriptors are fixed. `pid` empty: its own.
void TakeInChild(const std::string& pid, bool expected) {
  const UniqueFd one = Memory();
  const UniqueFd other = Memory();
  if (dup2(one.get(), 103) != 103 || dup2(other.get(), 104) != 104) _exit(2);
  if (dup2(103, 3) != 3 || dup2(104, 4) != 4) _exit(3);
  setenv("LISTEN_PID", pid.empty() ? std::to_string(getpid()).c_str() : pid.c_str(), 1);
  setenv("LISTEN_FDS", "2", 1);
  setenv("LISTEN_FDNAMES", "state:tap-nic0-0", 1);
  ServiceManager nobody;
  auto kept = KeptDescriptors::FromEnvironment(&nobody);
  const bool gone = std::getenv("LISTEN_FDS") == nullptr && std::getenv("LISTEN_PID") == nullptr;
  const UniqueFd tap = kept.Take("tap-nic0-0");
  const bool right = tap.valid() == expected && (!expected || SameFile(tap.get(), 104)) &&
                     (!expected || (fcntl(4, F_GETFD) & FD_CLOEXEC) != 0);
  const bool once = !kept.Take("tap-nic0-0").valid();
  _exit(gone && right && once ? 0 : 1);
}

TEST_F(KeptDescriptorsTest, TakesWhatWasLeftByItsName) {
  EXPECT_EXIT(TakeInChild("", true), testing::ExitedWithCode(0), "");
}

TEST_F(KeptDescriptorsTest, DescriptorsOfAnotherProcessAreNotTaken) {
  EXPECT_EXIT(TakeInChild("1", false), testing::ExitedWithCode(0), "");
}

TEST_F(KeptDescriptorsTest, WhatNobodyTookIsDiscarded) {
  EXPECT_EXIT(
      {
        if (dup2(Memory().get(), 103) != 103 || dup2(103, 3) != 3) _exit(2);
        setenv("LISTEN_PID", std::to_string(getpid()).c_str(), 1);
        setenv("LISTEN_FDS", "1", 1);
        setenv("LISTEN_FDNAMES", "tap-old-0", 1);
        auto kept = KeptDescriptors::FromEnvironment(&manager_);
        kept.DiscardRest();
        _exit(Next().first == "FDSTOREREMOVE=1\nFDNAME=tap-old-0\n" && fcntl(3, F_GETFD) < 0 ? 0
                                                                                             : 1);
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace cygnet
