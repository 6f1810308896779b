// Clients and cygnetd find each other, in the test's own network namespace. Children act as other
// processes: without the capability, in another user namespace, as another user.
#include "netlink/rendezvous.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "netlink/doorstep.h"

namespace cygnet {
namespace {

using rendezvous::Meet;
using rendezvous::Meeting;
using rendezvous::Message;
using rendezvous::MessageType;
using rendezvous::Outcome;
using rendezvous::Service;
using ::testing::HasSubstr;

constexpr int kPatienceMs = 10'000;

bool EnterNamespace() {
  if (unshare(CLONE_NEWNET) == 0) return true;
  const std::string map = "0 " + std::to_string(getuid()) + " 1";
  if (unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) return false;
  std::ofstream("/proc/self/uid_map") << map;
  return true;
}

// Keeps only these capabilities; false on failure.
bool KeepOnly(uint32_t capabilities) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  data[0].effective = data[0].permitted = capabilities;
  return syscall(SYS_capset, &header, data.data()) == 0;
}

constexpr uint32_t kNetAdmin = 1u << CAP_NET_ADMIN;
constexpr uint32_t kNetRaw = 1u << CAP_NET_RAW;
constexpr int kCannot = 77;  // a child's exit status: not possible on this machine

int InChild(const std::function<int()>& act) {
  const pid_t child = fork();
  if (child == 0) _exit(act());
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int OutcomeOf(Service service) {
  const Meeting meeting = Meet(service, kPatienceMs);
  return 10 + static_cast<int>(meeting.outcome);
}

class RendezvousTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!EnterNamespace()) GTEST_SKIP() << "cannot create a network namespace: " << strerror(errno);
  }
  void TearDown() override {
    if (thread_.joinable()) StopDaemon();
  }

  // Sends each visitor its service as one byte, and keeps the connection.
  void StartDaemon() {
    auto doorstep = Doorstep::Claim();
    ASSERT_TRUE(doorstep) << doorstep.error().message;
    doorstep_ = std::move(*doorstep);
    stop_ = false;
    thread_ = std::thread([this] { Serve(); });
  }
  void StopDaemon() {
    stop_ = true;
    thread_.join();
    doorstep_.reset();
  }
  void Serve() {
    std::vector<UniqueFd> visitors;
    while (!stop_) {
      pollfd entry{.fd = doorstep_->fd(), .events = POLLIN, .revents = 0};
      poll(&entry, 1, 10);
      while (auto visitor = doorstep_->Take()) {
        const char byte = static_cast<char>('0' + static_cast<int>(visitor->service));
        (void)send(visitor->fd.get(), &byte, 1, MSG_NOSIGNAL);
        visitors.push_back(std::move(visitor->fd));
      }
    }
  }

  std::unique_ptr<Doorstep> doorstep_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

TEST_F(RendezvousTest, ClientsFindTheDaemon) {
  StartDaemon();
  for (const Service service : {Service::kXfrm, Service::kOperator}) {
    const Meeting meeting = Meet(service, kPatienceMs);
    ASSERT_EQ(meeting.outcome, Outcome::kMet) << rendezvous::Explain(meeting.outcome);
    const UniqueFd fd(meeting.fd);
    char byte = 0;
    EXPECT_EQ(recv(fd.get(), &byte, 1, 0), 1);
    EXPECT_EQ(byte, '0' + static_cast<int>(service));
    EXPECT_EQ(fcntl(fd.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(fcntl(fd.get(), F_GETFL) & O_NONBLOCK, 0);
  }
  StopDaemon();
  EXPECT_EQ(Meet(Service::kXfrm, kPatienceMs).outcome, Outcome::kNobody);
}

TEST_F(RendezvousTest, DescriptorIsTheLowestThatIsFree) {
  StartDaemon();
  const int free_number = dup(0);
  close(free_number);
  const UniqueFd fd(Meet(Service::kXfrm, kPatienceMs).fd);
  EXPECT_EQ(fd.get(), free_number);
}

// The mark is set, but nobody receives.
TEST_F(RendezvousTest, DaemonThatDoesNotAnswerIsWaitedForOnlySoLong) {
  const auto doorstep = Doorstep::Claim();
  ASSERT_TRUE(doorstep);
  EXPECT_EQ(Meet(Service::kXfrm, 50).outcome, Outcome::kNoAnswer);
}

TEST_F(RendezvousTest, ThereIsOneDaemon) {
  {
    const auto first = Doorstep::Claim();
    ASSERT_TRUE(first);
    const auto second = Doorstep::Claim();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, Errc::kBusy);
    EXPECT_THAT(second.error().message, HasSubstr("already runs"));
  }
  EXPECT_TRUE(Doorstep::Claim());
}

TEST_F(RendezvousTest, OfManyThatStartAtOnceOneWins) {
  for (int round = 0; round < 3; ++round) {
    int go[2];
    int told[2];
    ASSERT_EQ(pipe(go), 0);
    ASSERT_EQ(pipe(told), 0);
    constexpr int kMany = 6;
    for (int i = 0; i < kMany; ++i) {
      if (fork() != 0) continue;
      close(go[1]);
      char byte = 0;
      (void)!read(go[0], &byte, 1);  // all start when the writer closes
      const auto doorstep = Doorstep::Claim();
      const char won = doorstep ? 'y' : 'n';
      (void)!write(told[1], &won, 1);
      if (doorstep) poll(nullptr, 0, 1000);  // longer than the others try
      _exit(0);
    }
    close(go[1]);
    int winners = 0;
    for (int i = 0; i < kMany; ++i) {
      char won = 0;
      ASSERT_EQ(read(told[0], &won, 1), 1);
      winners += won == 'y' ? 1 : 0;
    }
    EXPECT_EQ(winners, 1);
    while (wait(nullptr) > 0) {
    }
    for (const int fd : {go[0], told[0], told[1]}) close(fd);
  }
}

// Root without CAP_NET_ADMIN, as in a container on the host's network, is refused. CAP_NET_RAW,
// which such a container has, is not sufficient.
TEST_F(RendezvousTest, WithoutTheCapabilityNeitherSideIsTaken) {
  StartDaemon();
  EXPECT_EQ(InChild([] { return KeepOnly(kNetRaw) ? OutcomeOf(Service::kXfrm) : kCannot; }),
            10 + static_cast<int>(Outcome::kNotPermitted));
  EXPECT_EQ(InChild([] { return KeepOnly(kNetAdmin) ? OutcomeOf(Service::kXfrm) : kCannot; }),
            10 + static_cast<int>(Outcome::kMet));
  StopDaemon();
  const int status = InChild([] {
    if (!KeepOnly(kNetRaw)) return kCannot;
    const auto doorstep = Doorstep::Claim();
    return !doorstep && doorstep.error().code == Errc::kPermission &&
                   doorstep.error().message.find("CAP_NET_ADMIN") != std::string::npos
               ? 0
               : 1;
  });
  EXPECT_EQ(status, 0);
}

// A container with the host's network and its own user namespace has every capability in the
// latter.
TEST_F(RendezvousTest, AnotherUserNamespaceIsNobody) {
  StartDaemon();
  const int status =
      InChild([] { return unshare(CLONE_NEWUSER) == 0 ? OutcomeOf(Service::kOperator) : kCannot; });
  if (status == kCannot) GTEST_SKIP() << "cannot make a user namespace";
  EXPECT_EQ(status, 10 + static_cast<int>(Outcome::kNotPermitted));
  StopDaemon();
  EXPECT_EQ(InChild([] { return unshare(CLONE_NEWUSER) == 0 && Doorstep::Claim() ? 1 : 0; }), 0);
}

// Sockets of strangers; fewer if the limit of open files is low.
std::vector<UniqueFd> StrangersSockets(std::size_t most) {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  std::vector<UniqueFd> sockets;
  while (sockets.size() < most) {
    UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_USERSOCK));
    sockaddr_nl address{};
    address.nl_family = AF_NETLINK;
    if (!fd.valid() || fd.get() >= static_cast<int>(limit.rlim_cur) - 50 ||
        bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      break;
    }
    sockets.push_back(std::move(fd));
  }
  return sockets;
}

// Each has a different port id and so a different position among the strangers: all must be found.
TEST_F(RendezvousTest, DaemonIsFoundAmongManySockets) {
  const auto strangers = StrangersSockets(3000);
  ASSERT_GT(strangers.size(), 500u);
  for (int i = 0; i < 200; ++i) {
    const auto doorstep = Doorstep::Claim();
    ASSERT_TRUE(doorstep) << doorstep.error().message;
    std::array<uint32_t, 4> ports{};
    ASSERT_EQ(rendezvous::FindPorts(ports.data(), 4, kPatienceMs), 1) << i;
    ASSERT_EQ(ports[0], (*doorstep)->port());
  }
  EXPECT_EQ(Meet(Service::kXfrm, kPatienceMs).outcome, Outcome::kNobody);
}

TEST_F(RendezvousTest, LookingEndsAtItsDeadline) {
  std::array<uint32_t, 4> ports{};
  EXPECT_EQ(rendezvous::FindPorts(ports.data(), 4, 0), -1);
  EXPECT_EQ(errno, ETIMEDOUT);
  EXPECT_EQ(Meet(Service::kXfrm, 0).outcome, Outcome::kNoAnswer);
}

// Like a profile without NETLINK_SOCK_DIAG, or a kernel without its module.
bool ForbidSockDiag() {
  constexpr auto kArguments = static_cast<uint32_t>(offsetof(seccomp_data, args));
  constexpr uint32_t kLow = __BYTE_ORDER == __BIG_ENDIAN ? 4 : 0;
  std::array<sock_filter, 6> code{{
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, static_cast<uint32_t>(offsetof(seccomp_data, nr))},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 3, SYS_socket},
      {BPF_LD | BPF_W | BPF_ABS, 0, 0, kArguments + 2 * 8 + kLow},
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, NETLINK_SOCK_DIAG},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EACCES},
      {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW},
  }};
  const sock_fprog program{.len = code.size(), .filter = code.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 &&
         socket(AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG) < 0;
}

TEST_F(RendezvousTest, TableInProcServesWhereTheKernelsListIsForbidden) {
  StartDaemon();
  const int status =
      InChild([] { return ForbidSockDiag() ? OutcomeOf(Service::kOperator) : kCannot; });
  if (status == kCannot) GTEST_SKIP() << "cannot filter system calls";
  EXPECT_EQ(status, 10 + static_cast<int>(Outcome::kMet));
  StopDaemon();
  EXPECT_EQ(InChild([] { return ForbidSockDiag() ? OutcomeOf(Service::kOperator) : kCannot; }),
            10 + static_cast<int>(Outcome::kNobody));
}

// Like charon.
TEST_F(RendezvousTest, UserThatKeptTheCapabilityIsTaken) {
  StartDaemon();
  const int status = InChild([] {
    if (prctl(PR_SET_KEEPCAPS, 1) != 0 || setuid(65534) != 0) return kCannot;
    return KeepOnly(kNetAdmin) ? OutcomeOf(Service::kXfrm) : kCannot;
  });
  if (status == kCannot) GTEST_SKIP() << "cannot switch to a second user";
  EXPECT_EQ(status, 10 + static_cast<int>(Outcome::kMet));
}

// A process that watches the table of Unix sockets can connect to a client's listener. The client
// accepts only the connection of cygnetd.
TEST_F(RendezvousTest, StrangersAtTheClientsListenerAreNotTaken) {
  StartDaemon();
  std::atomic<bool> stop{false};
  std::atomic<int> connected{0};
  std::thread stranger([&] {
    while (!stop) {
      std::ifstream table("/proc/thread-self/net/unix");
      for (std::string line; std::getline(table, line);) {
        const std::size_t at = line.find("@cygnet/");
        rendezvous::SocketName name{};
        if (at == std::string::npos || line.size() - at - 1 != sizeof(name.text)) continue;
        std::memcpy(name.text, line.data() + at + 1, sizeof(name.text));
        const UnixAddress address = rendezvous::AddressOf(name);
        for (int i = 0; i < 40; ++i) {
          const UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
          if (connect(fd.get(), address.get(), address.length()) != 0) break;
          (void)send(fd.get(), "x", 1, MSG_NOSIGNAL);
          ++connected;
        }
      }
    }
  });
  for (int i = 0; i < 300; ++i) {
    const Meeting meeting = Meet(Service::kXfrm, kPatienceMs);
    ASSERT_EQ(meeting.outcome, Outcome::kMet) << rendezvous::Explain(meeting.outcome);
    const UniqueFd fd(meeting.fd);
    char byte = 0;
    ASSERT_EQ(recv(fd.get(), &byte, 1, 0), 1);
    ASSERT_EQ(byte, '1');
  }
  stop = true;
  stranger.join();
  RecordProperty("strangers", connected.load());
}

TEST_F(RendezvousTest, WhatIsNeverConfirmedIsBounded) {
  const auto doorstep = Doorstep::Claim();
  ASSERT_TRUE(doorstep);
  Message knock = rendezvous::MakeMessage(MessageType::kKnock, Service::kXfrm);
  ASSERT_TRUE(rendezvous::MakeName(&knock.name));
  const UnixAddress address = rendezvous::AddressOf(knock.name);
  const UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET, 0));
  ASSERT_EQ(bind(listener.get(), address.get(), address.length()), 0);
  ASSERT_EQ(listen(listener.get(), 4096), 0);
  const UniqueFd netlink(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  sockaddr_nl to{};
  to.nl_family = AF_NETLINK;
  to.nl_pid = (*doorstep)->port();
  for (int i = 0; i < 400; ++i) {
    ASSERT_EQ(sendto(netlink.get(), &knock, sizeof(knock), 0,
                     reinterpret_cast<const sockaddr*>(&to), sizeof(to)),
              ssize_t{sizeof(knock)});
    EXPECT_FALSE((*doorstep)->Take());
  }
  EXPECT_EQ((*doorstep)->waiting(), Doorstep::kMostWaiting);
  // A name that was never used, a service that was not requested, and a truncated message.
  Message confirm = rendezvous::MakeMessage(MessageType::kConfirm, Service::kXfrm);
  confirm.name = knock.name;
  for (std::size_t size : {sizeof(confirm), sizeof(confirm) - 1, std::size_t{0}}) {
    (void)sendto(netlink.get(), &confirm, size, 0, reinterpret_cast<const sockaddr*>(&to),
                 sizeof(to));
    EXPECT_FALSE((*doorstep)->Take());
  }
  EXPECT_EQ((*doorstep)->waiting(), Doorstep::kMostWaiting);
}

// An unprivileged process cannot block anything: here it occupies every name and port that it can
// know.
TEST_F(RendezvousTest, NothingCanBeOccupiedBeforehand) {
  std::vector<UniqueFd> taken;
  for (std::string name : {"@cygnet/xfrm", "@cygnet/operator", "@cygnet/instance"}) {
    name.front() = '\0';
    const UnixAddress address(name.data(), name.size());
    taken.emplace_back(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    ASSERT_EQ(bind(taken.back().get(), address.get(), address.length()), 0);
  }
  for (const int protocol : {NETLINK_ROUTE, NETLINK_USERSOCK}) {
    for (uint32_t port = 1; port < 100; ++port) {
      sockaddr_nl address{};
      address.nl_family = AF_NETLINK;
      address.nl_pid = port;
      taken.emplace_back(socket(AF_NETLINK, SOCK_RAW, protocol));
      bind(taken.back().get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
    }
  }
  StartDaemon();
  const UniqueFd fd(Meet(Service::kXfrm, kPatienceMs).fd);
  EXPECT_TRUE(fd.valid());
}

}  // namespace
}  // namespace cygnet
