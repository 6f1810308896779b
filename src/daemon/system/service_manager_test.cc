#include "daemon/system/service_manager.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/unix_address.h"

namespace cygnet {
namespace {

// Plays the service manager: an abstract socket of this process.
class ServiceManagerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    fd_ = UniqueFd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const std::string name = "cygnet-test-" + std::to_string(getpid());
    const std::string abstract = '\0' + name;
    const UnixAddress address(abstract.data(), abstract.size());
    ASSERT_EQ(bind(fd_.get(), address.get(), address.length()), 0);
    setenv("NOTIFY_SOCKET", ("@" + name).c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) unsetenv(name);
  }
  // The next notification; "": none.
  std::string Next() {
    char text[256];
    const ssize_t n = recv(fd_.get(), text, sizeof(text), 0);
    return n < 0 ? "" : std::string(text, static_cast<std::size_t>(n));
  }

  UniqueFd fd_;
};

TEST_F(ServiceManagerTest, IsToldOfEachStep) {
  ServiceManager manager = ServiceManager::FromEnvironment();
  ASSERT_TRUE(manager.listens());
  manager.Ready("1 device");
  EXPECT_EQ(Next(), "READY=1\nSTATUS=1 device\n");
  manager.GiveSignOfLife();
  EXPECT_EQ(Next(), "WATCHDOG=1\n");
  manager.Stopping();
  EXPECT_EQ(Next(), "STOPPING=1\nSTATUS=Stopping\n");
  EXPECT_EQ(Next(), "");
}

TEST_F(ServiceManagerTest, TakesTheVariablesOutOfTheEnvironment) {
  setenv("WATCHDOG_USEC", "3000000", 1);
  (void)ServiceManager::FromEnvironment();
  EXPECT_EQ(std::getenv("NOTIFY_SOCKET"), nullptr);
  EXPECT_EQ(std::getenv("WATCHDOG_USEC"), nullptr);
}

TEST_F(ServiceManagerTest, SignsOfLifeComeTwiceAsOftenAsWanted) {
  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  EXPECT_EQ(ServiceManager::FromEnvironment().sign_of_life_ns(), 1'500'000'000u);
}

TEST_F(ServiceManagerTest, WatchdogOfAnotherProcessIsNotOurs) {
  setenv("WATCHDOG_USEC", "3000000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  const ServiceManager manager = ServiceManager::FromEnvironment();
  EXPECT_TRUE(manager.listens());
  EXPECT_FALSE(manager.sign_of_life_ns().has_value());
}

TEST_F(ServiceManagerTest, WaitingIsNotReady) {
  ServiceManager manager = ServiceManager::FromEnvironment();
  manager.Waiting("waiting for eth1");
  EXPECT_EQ(Next(), "STATUS=waiting for eth1\n");
}

TEST_F(ServiceManagerTest, NobodyIsToldWithoutASocket) {
  for (const char* name : {"", "relative", "@"}) {
    setenv("NOTIFY_SOCKET", name, 1);
    EXPECT_FALSE(ServiceManager::FromEnvironment().listens()) << name;
  }
  EXPECT_FALSE(ServiceManager::FromEnvironment().listens());
}

TEST_F(ServiceManagerTest, AManagerThatIsGoneStopsNothing) {
  ServiceManager manager = ServiceManager::FromEnvironment();
  fd_.Reset();
  manager.Ready("still here");
}

}  // namespace
}  // namespace cygnet
