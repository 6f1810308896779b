// Forwards every frame between a TAP that it creates and an interface, both ways, with
// super-packets whole and without reading them: the upper bound for programs attached this way.
//   forwarder TAP WIRE
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

constexpr std::size_t kLargest = 65536 + 64;
constexpr int kVnetHeader = 10;  // struct virtio_net_hdr, whose header does not compile as C++
constexpr int kBudget = 64;      // frames of one direction before the other gets its turn

[[noreturn]] void Fail(const char* what) {
  std::fprintf(stderr, "forwarder: %s: %s\n", what, std::strerror(errno));
  std::exit(1);
}

ifreq Named(const char* name) {
  ifreq request{};
  std::strncpy(request.ifr_name, name, IFNAMSIZ - 1);
  return request;
}

// Both ends carry the same virtio header before each frame.
int OpenTap(const char* name) {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request = Named(name);
  request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) != 0) Fail(name);
  const int header = kVnetHeader;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header) != 0 ||
      ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) != 0) {
    Fail("offloads of the TAP");
  }
  return fd;
}

int OpenWire(const char* name) {
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  const int room = 8 << 20;
  if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)) != 0 ||
      setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0) {
    Fail("packet socket");
  }
  setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
  packet_mreq promiscuous{};
  promiscuous.mr_ifindex = static_cast<int>(if_nametoindex(name));
  promiscuous.mr_type = PACKET_MR_PROMISC;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = promiscuous.mr_ifindex;
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof(promiscuous)) != 0 ||
      bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Fail(name);
  }
  return fd;
}

// A frame that the other side does not accept is lost, as on any wire.
void Carry(int from, int to) {
  static std::array<uint8_t, kLargest> frame;
  for (int i = 0; i < kBudget; ++i) {
    const ssize_t n = read(from, frame.data(), frame.size());
    if (n <= 0) return;
    if (write(to, frame.data(), static_cast<std::size_t>(n)) < 0 && errno == EAGAIN) {
      pollfd room{.fd = to, .events = POLLOUT, .revents = 0};
      poll(&room, 1, 10);
      (void)!write(to, frame.data(), static_cast<std::size_t>(n));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: forwarder TAP WIRE\n");
    return 2;
  }
  const int tap = OpenTap(argv[1]);
  const int wire = OpenWire(argv[2]);
  std::array<pollfd, 2> ends = {{{tap, POLLIN, 0}, {wire, POLLIN, 0}}};
  while (true) {
    if (poll(ends.data(), ends.size(), -1) < 0 && errno != EINTR) Fail("poll");
    if (ends[0].revents != 0) Carry(tap, wire);
    if (ends[1].revents != 0) Carry(wire, tap);
  }
}
