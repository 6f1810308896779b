#include "daemon/peer_credentials.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

namespace cygnet {
namespace {

bool DropNetAdmin() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) != 0) return false;
  data[0].effective &= ~(1u << CAP_NET_ADMIN);
  return syscall(SYS_capset, &header, data.data()) == 0;
}

bool HaveNetAdmin() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, 2> data{};
  return syscall(SYS_capget, &header, data.data()) == 0 &&
         (data[0].effective & (1u << CAP_NET_ADMIN)) != 0;
}

// What we think of a child that ran `prepare` before it made the socket pair's other end its own.
// nullopt: it could not prepare itself. A socket pair's SO_PEERCRED is who created it, so the child
// creates it and passes an end up.
std::optional<bool> JudgeChild(const std::function<bool()>& prepare) {
  std::array<int, 2> up;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, up.data()) != 0) return std::nullopt;
  const pid_t child = fork();
  if (child == 0) {
    close(up[0]);
    std::array<int, 2> pair;
    if (!prepare() || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair.data()) != 0) _exit(1);
    char byte = 'x';
    iovec io{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    auto* rights = reinterpret_cast<cmsghdr*>(control.data());
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int));
    *reinterpret_cast<int*>(CMSG_DATA(rights)) = pair[0];
    if (sendmsg(up[1], &message, 0) != 1) _exit(1);
    static_cast<void>(!read(up[1], &byte, 1));  // until judged
    _exit(0);
  }
  close(up[1]);
  char byte;
  iovec io{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &io;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  std::optional<bool> allowed;
  if (recvmsg(up[0], &message, 0) == 1) {
    const int fd = *reinterpret_cast<int*>(CMSG_DATA(reinterpret_cast<cmsghdr*>(control.data())));
    allowed = PeerIsNetAdmin(fd);
    close(fd);
  }
  close(up[0]);
  waitpid(child, nullptr, 0);
  return allowed;
}

TEST(PeerIsNetAdminTest, FollowsTheCapability) {
  if (!HaveNetAdmin()) GTEST_SKIP() << "needs CAP_NET_ADMIN";
  EXPECT_EQ(JudgeChild([] { return true; }), true);
  EXPECT_EQ(JudgeChild(DropNetAdmin), false);
}

TEST(PeerIsNetAdminTest, NotWithoutTheCapability) {
  if (HaveNetAdmin()) GTEST_SKIP() << "has CAP_NET_ADMIN";
  EXPECT_EQ(JudgeChild([] { return true; }), false);
}

TEST(PeerIsNetAdminTest, NotInAnotherUserNamespace) {
  if (!HaveNetAdmin()) GTEST_SKIP() << "needs CAP_NET_ADMIN";
  const auto allowed = JudgeChild([] { return unshare(CLONE_NEWUSER) == 0; });
  if (!allowed) GTEST_SKIP() << "cannot make a user namespace";
  EXPECT_EQ(allowed, false);
}

TEST(PeerIsNetAdminTest, NotAnUnconnectedSocket) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET, 0);
  EXPECT_FALSE(PeerIsNetAdmin(fd));
  close(fd);
  EXPECT_FALSE(PeerIsNetAdmin(-1));
}

}  // namespace
}  // namespace cygnet
