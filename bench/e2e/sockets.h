// The generator's sockets in other network namespaces: UDP, or packet sockets that pass by the IP
// stack of sender and receiver, which would otherwise cost more than what is measured.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <stdexcept>
#include <string>

namespace cygnet::bench {

constexpr uint32_t kIpHeaders = 28;  // IPv4 and UDP: sizes are those of the IP packet
constexpr uint32_t kFrameHeaders = ETH_HLEN + kIpHeaders;
constexpr int kReceiveBuffer = 4 << 20;  // small enough not to hide an unsustainable rate
// Packets in the queues of a veth pair count against the sender's buffer. A small one would slow
// the sender down to the rate of the system, where a wire would lose packets.
constexpr int kSendBuffer = 64 << 20;

[[noreturn]] inline void Fail(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

inline sockaddr_in SocketAddress(const std::string& text, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  if (inet_pton(AF_INET, text.c_str(), &address.sin_addr) != 1) {
    throw std::runtime_error("not an IPv4 address: " + text);
  }
  return address;
}

// Sockets stay in the namespace that they are created in.
inline void EnterNamespace(const std::string& ns) {
  const int fd = open(ns.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) Fail(ns);
  close(fd);
}

// Without the right to exceed the system's limits it becomes as large as they allow.
inline void LimitReceiveBuffer(int s) {
  if (setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &kReceiveBuffer, sizeof(int)) != 0) {
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &kReceiveBuffer, sizeof(int));
  }
}

inline void EnlargeSendBuffer(int s) {
  if (setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &kSendBuffer, sizeof(int)) != 0) {
    setsockopt(s, SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof(int));
  }
}

inline int UdpSocketIn(const std::string& ns, const std::string& address, uint16_t port) {
  EnterNamespace(ns);
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const sockaddr_in local = SocketAddress(address, port);
  if (s < 0 || bind(s, reinterpret_cast<const sockaddr*>(&local), sizeof(local)) != 0) {
    Fail("bind " + address);
  }
  return s;
}

// Only UDP packets over IPv4 without options to `port` that arrive; the kernel copies no others.
inline void AcceptOnlyPort(int s, uint16_t port) {
  constexpr uint32_t kProtocol = ETH_HLEN + 9;
  constexpr uint32_t kPort = ETH_HLEN + 20 + 2;
  std::array<sock_filter, 6> code = {{
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, kProtocol),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_UDP, 0, 3),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, kPort),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, port, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  }};
  const sock_fprog program{.len = code.size(), .filter = code.data()};
  if (setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0) Fail("filter");
}

// A packet socket on `interface`. A sender (`port` 0) receives nothing and has no queue before the
// interface.
inline int PacketSocketIn(const std::string& ns, const std::string& interface, uint16_t port) {
  EnterNamespace(ns);
  const int s = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (s < 0) Fail("packet socket");
  const int on = 1;
  if (port == 0) {
    (void)setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on));  // only faster
    EnlargeSendBuffer(s);
  } else {
    AcceptOnlyPort(s, port);
    if (setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof(on)) != 0) Fail(interface);
  }
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(port == 0 ? 0 : ETH_P_IP);
  address.sll_ifindex = static_cast<int>(if_nametoindex(interface.c_str()));
  if (address.sll_ifindex == 0 ||
      bind(s, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    Fail(interface);
  }
  return s;
}

// Ethernet, IPv4 and UDP headers of the raw packets.
class FrameHeaders {
 public:
  FrameHeaders(const std::string& source_mac, const std::string& target_mac,
               const sockaddr_in& from, const sockaddr_in& to) {
    Mac(target_mac, 0);
    Mac(source_mac, ETH_ALEN);
    bytes_[12] = ETH_P_IP >> 8;
    bytes_[13] = ETH_P_IP & 0xff;
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.frag_off = htons(IP_DF);
    ip.ttl = 64;
    ip.protocol = IPPROTO_UDP;
    ip.saddr = from.sin_addr.s_addr;
    ip.daddr = to.sin_addr.s_addr;
    const udphdr udp{.uh_sport = from.sin_port, .uh_dport = to.sin_port, .uh_ulen = 0, .uh_sum = 0};
    std::memcpy(bytes_.data() + ETH_HLEN, &ip, sizeof(ip));
    std::memcpy(bytes_.data() + ETH_HLEN + sizeof(ip), &udp, sizeof(udp));
  }
  std::span<const uint8_t> bytes() const { return bytes_; }

  // Writes the lengths and the checksum of the IPv4 header; UDP has none.
  static void SetLengths(uint8_t* frame, uint32_t payload) {
    uint8_t* ip = frame + ETH_HLEN;
    Store16(ip + 2, payload + kIpHeaders);
    Store16(ip + 24, payload + 8);
    Store16(ip + 10, 0);
    uint32_t sum = 0;
    for (uint32_t i = 0; i < 20; i += 2) sum += static_cast<uint32_t>(ip[i] << 8 | ip[i + 1]);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    Store16(ip + 10, ~sum);
  }

 private:
  static void Store16(uint8_t* at, uint32_t value) {
    at[0] = static_cast<uint8_t>(value >> 8);
    at[1] = static_cast<uint8_t>(value);
  }
  void Mac(const std::string& text, std::size_t at) {
    std::array<unsigned, ETH_ALEN> b{};
    if (std::sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &b[0], &b[1], &b[2], &b[3], &b[4],
                    &b[5]) != ETH_ALEN) {
      throw std::runtime_error("not a MAC address: " + text);
    }
    for (std::size_t i = 0; i < b.size(); ++i) bytes_[at + i] = static_cast<uint8_t>(b[i]);
  }
  std::array<uint8_t, kFrameHeaders> bytes_{};
};

}  // namespace cygnet::bench
