// A client of NETLINK_XFRM that installs many SAs or policies, dumps and flushes them, and prints
// the time of each step. It uses plain system calls, so the same program measures the running
// kernel and, under the shim, cygnetd.
//   xfrm_load sas|policies N
//   xfrm_load sas|policies N churn   adds them and deletes them one by one, again and again, until
//                                    its standard input ends; only its own, so that others stay
//   xfrm_load migrate N   adds N SAs with a policy each, then moves each pair to another peer
//                         address by one MIGRATE
// Each request waits for its acknowledgement, as an IKE daemon's does.
#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

namespace {

[[noreturn]] void Fail(const char* what, int error) {
  std::fprintf(stderr, "xfrm_load: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

// One request, built in place.
class Request {
 public:
  Request(uint16_t type, uint16_t flags) {
    header()->nlmsg_type = type;
    header()->nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | flags);
    header()->nlmsg_len = NLMSG_HDRLEN;
  }
  template <typename T>
  T* Fixed() {
    void* at = bytes_ + header()->nlmsg_len;
    header()->nlmsg_len += NLMSG_ALIGN(sizeof(T));
    return static_cast<T*>(at);
  }
  void* Attribute(uint16_t type, std::size_t size) {
    auto* attribute = reinterpret_cast<nlattr*>(bytes_ + header()->nlmsg_len);
    attribute->nla_type = type;
    attribute->nla_len = static_cast<uint16_t>(NLA_HDRLEN + size);
    header()->nlmsg_len += NLA_ALIGN(attribute->nla_len);
    return reinterpret_cast<uint8_t*>(attribute) + NLA_HDRLEN;
  }
  nlmsghdr* header() { return reinterpret_cast<nlmsghdr*>(bytes_); }

 private:
  alignas(nlmsghdr) uint8_t bytes_[1024] = {};
};

class Socket {
 public:
  Socket() : fd_(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_XFRM)) {
    sockaddr_nl own{};
    own.nl_family = AF_NETLINK;
    if (fd_ < 0 || bind(fd_, reinterpret_cast<sockaddr*>(&own), sizeof(own)) != 0) {
      Fail("no NETLINK_XFRM socket", errno);
    }
  }
  ~Socket() { close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  void Execute(Request& request, const char* what) {
    request.header()->nlmsg_flags |= NLM_F_ACK;
    Send(request, what);
    const nlmsghdr* answer = Receive(what);
    if (answer->nlmsg_type != NLMSG_ERROR) Fail(what, EPROTO);
    int error = 0;
    std::memcpy(&error, bytes_ + NLMSG_HDRLEN, sizeof(error));
    if (error != 0) Fail(what, -error);
  }

  // Number of messages in a dump.
  uint32_t Dump(uint16_t type, const char* what) {
    Request request(type, NLM_F_DUMP);
    Send(request, what);
    uint32_t count = 0;
    for (;;) {
      (void)Receive(what);
      for (std::size_t at = 0; at + NLMSG_HDRLEN <= received_;
           at += NLMSG_ALIGN(At(at)->nlmsg_len)) {
        if (At(at)->nlmsg_type == NLMSG_DONE) return count;
        if (At(at)->nlmsg_type == NLMSG_ERROR || At(at)->nlmsg_len < NLMSG_HDRLEN)
          Fail(what, EPROTO);
        ++count;
      }
    }
  }

 private:
  void Send(Request& request, const char* what) {
    const nlmsghdr* header = request.header();
    if (send(fd_, header, header->nlmsg_len, 0) != static_cast<ssize_t>(header->nlmsg_len)) {
      Fail(what, errno);
    }
  }
  // libc's NLMSG_ macros use C casts.
  const nlmsghdr* At(std::size_t offset) const {
    return reinterpret_cast<const nlmsghdr*>(bytes_ + offset);
  }
  const nlmsghdr* Receive(const char* what) {
    const ssize_t n = recv(fd_, bytes_, sizeof(bytes_), 0);
    if (n < static_cast<ssize_t>(NLMSG_HDRLEN)) Fail(what, n < 0 ? errno : EPROTO);
    received_ = static_cast<std::size_t>(n);
    return At(0);
  }

  const int fd_;
  std::size_t received_ = 0;
  alignas(nlmsghdr) uint8_t bytes_[64 * 1024];
};

void SetAddress(xfrm_address_t* to, uint32_t host_order) { to->a4 = htonl(host_order); }

void NoLimits(xfrm_lifetime_cfg* limits) {
  limits->soft_byte_limit = limits->hard_byte_limit = XFRM_INF;
  limits->soft_packet_limit = limits->hard_packet_limit = XFRM_INF;
}

constexpr uint32_t kOwn = 0xc0000201;         // 192.0.2.1
constexpr uint32_t kPeers = 0x0a800000;       // 10.128.0.0
constexpr uint32_t kMovedPeers = 0x0ac00000;  // 10.192.0.0
constexpr uint32_t kOnePeer = 0xc0000202;     // 192.0.2.2
constexpr uint32_t kNetworks = 0x0b000000;    // 11.0.0.0

// An outbound SA in tunnel mode to its own peer.
void AddSa(Socket& socket, uint32_t i) {
  Request request(XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL);
  auto* sa = request.Fixed<xfrm_usersa_info>();
  sa->family = AF_INET;
  sa->sel.family = AF_INET;
  SetAddress(&sa->saddr, kOwn);
  SetAddress(&sa->id.daddr, kPeers + i);
  sa->id.spi = htonl(0x1000 + i);
  sa->id.proto = IPPROTO_ESP;
  sa->reqid = i + 1;
  sa->mode = XFRM_MODE_TUNNEL;
  NoLimits(&sa->lft);
  constexpr std::size_t kKey = 20;  // AES-128 and its salt
  auto* aead = static_cast<xfrm_algo_aead*>(
      request.Attribute(XFRMA_ALG_AEAD, sizeof(xfrm_algo_aead) + kKey));
  std::strcpy(aead->alg_name, "rfc4106(gcm(aes))");
  aead->alg_key_len = 8 * kKey;
  aead->alg_icv_len = 128;
  std::memcpy(aead->alg_key, &i, sizeof(i));
  socket.Execute(request, "NEWSA");
}

void DeleteSa(Socket& socket, uint32_t i) {
  Request request(XFRM_MSG_DELSA, 0);
  auto* id = request.Fixed<xfrm_usersa_id>();
  SetAddress(&id->daddr, kPeers + i);
  id->spi = htonl(0x1000 + i);
  id->family = AF_INET;
  id->proto = IPPROTO_ESP;
  socket.Execute(request, "DELSA");
}

// A network of one of three sizes, some with their own protocol or port.
void SelectNetwork(uint32_t i, xfrm_selector* selector) {
  SetAddress(&selector->saddr, 0x0a010000);
  SetAddress(&selector->daddr, kNetworks + i * 256);
  selector->family = AF_INET;
  selector->prefixlen_s = 16;
  selector->prefixlen_d = i % 3 == 0 ? 24 : i % 3 == 1 ? 25 : 28;
  if (i % 3 == 2) selector->proto = IPPROTO_UDP;
  if (i % 6 == 2) {
    selector->dport = htons(443);
    selector->dport_mask = 0xffff;
  }
}

struct Tunnel {
  uint32_t peer;
  uint32_t reqid;
};

void AddPolicy(Socket& socket, uint32_t i, const Tunnel& tunnel) {
  Request request(XFRM_MSG_NEWPOLICY, NLM_F_CREATE | NLM_F_EXCL);
  auto* policy = request.Fixed<xfrm_userpolicy_info>();
  SelectNetwork(i, &policy->sel);
  policy->priority = 1000u - policy->sel.prefixlen_d;
  policy->dir = XFRM_POLICY_OUT;
  NoLimits(&policy->lft);
  auto* tmpl = static_cast<xfrm_user_tmpl*>(request.Attribute(XFRMA_TMPL, sizeof(xfrm_user_tmpl)));
  SetAddress(&tmpl->saddr, kOwn);
  SetAddress(&tmpl->id.daddr, tunnel.peer);
  tmpl->id.proto = IPPROTO_ESP;
  tmpl->family = AF_INET;
  tmpl->reqid = tunnel.reqid;
  tmpl->mode = XFRM_MODE_TUNNEL;
  tmpl->aalgos = tmpl->ealgos = tmpl->calgos = ~0u;
  socket.Execute(request, "NEWPOLICY");
}

void AddPolicy(Socket& socket, uint32_t i) { AddPolicy(socket, i, {.peer = kOnePeer, .reqid = 1}); }

// The SA and the policy of AddSa and AddPolicy, which have the same number.
void Migrate(Socket& socket, uint32_t i) {
  Request request(XFRM_MSG_MIGRATE, 0);
  auto* id = request.Fixed<xfrm_userpolicy_id>();
  SelectNetwork(i, &id->sel);
  id->dir = XFRM_POLICY_OUT;
  auto* move =
      static_cast<xfrm_user_migrate*>(request.Attribute(XFRMA_MIGRATE, sizeof(xfrm_user_migrate)));
  SetAddress(&move->old_daddr, kPeers + i);
  SetAddress(&move->old_saddr, kOwn);
  SetAddress(&move->new_daddr, kMovedPeers + i);
  SetAddress(&move->new_saddr, kOwn);
  move->proto = IPPROTO_ESP;
  move->mode = XFRM_MODE_TUNNEL;
  move->reqid = i + 1;
  move->old_family = move->new_family = AF_INET;
  socket.Execute(request, "MIGRATE");
}

void DeletePolicy(Socket& socket, uint32_t i) {
  Request request(XFRM_MSG_DELPOLICY, 0);
  auto* id = request.Fixed<xfrm_userpolicy_id>();
  SelectNetwork(i, &id->sel);
  id->dir = XFRM_POLICY_OUT;
  socket.Execute(request, "DELPOLICY");
}

void Flush(Socket& socket, bool sas) {
  Request request(sas ? XFRM_MSG_FLUSHSA : XFRM_MSG_FLUSHPOLICY, 0);
  if (sas) request.Fixed<xfrm_usersa_flush>()->proto = 0;
  socket.Execute(request, "flush");
}

bool InputEnds() {
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  return poll(&input, 1, 0) > 0;
}

// Returns the number of requests.
uint32_t Churn(Socket& socket, bool sas, uint32_t n) {
  uint32_t done = 0;
  bool ends = false;
  for (uint32_t added = 0; !ends;) {
    for (added = 0; added < n && !ends; ++added, ++done) {
      sas ? AddSa(socket, added) : AddPolicy(socket, added);
      ends = added % 64 == 0 && InputEnds();
    }
    for (; added > 0; --added, ++done) {
      sas ? DeleteSa(socket, added - 1) : DeletePolicy(socket, added - 1);
    }
  }
  return done;
}

// Prints a line: step, count, seconds.
void Measure(const char* what, uint32_t n, const std::function<void()>& fn) {
  const auto begin = std::chrono::steady_clock::now();
  fn();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  std::printf("%s %u %.6f\n", what, n, took.count());
  std::fflush(stdout);
}

void MeasureMigrations(Socket& socket, uint32_t n) {
  for (uint32_t i = 0; i < n; ++i) {
    AddSa(socket, i);
    AddPolicy(socket, i, {.peer = kPeers + i, .reqid = i + 1});
  }
  Measure("migrate", n, [&] {
    for (uint32_t i = 0; i < n; ++i) Migrate(socket, i);
  });
}

}  // namespace

int main(int argc, char** argv) {
  const bool churns = argc == 4 && std::strcmp(argv[3], "churn") == 0;
  const bool complete = argc == 3 || churns;
  const bool sas = complete && std::strcmp(argv[1], "sas") == 0;
  const bool migrates = argc == 3 && std::strcmp(argv[1], "migrate") == 0;
  const auto n = static_cast<uint32_t>(complete ? std::strtoul(argv[2], nullptr, 10) : 0);
  if (n == 0 || (!sas && !migrates && std::strcmp(argv[1], "policies") != 0)) {
    std::fputs("usage: xfrm_load sas|policies N [churn] | migrate N\n", stderr);
    return 2;
  }
  Socket socket;
  if (migrates) {
    MeasureMigrations(socket, n);
    return 0;
  }
  if (churns) {
    const auto begin = std::chrono::steady_clock::now();
    const uint32_t done = Churn(socket, sas, n);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    std::printf("churn %u %.6f\n", done, took.count());
    return 0;
  }
  Measure("add", n, [&] {
    for (uint32_t i = 0; i < n; ++i) sas ? AddSa(socket, i) : AddPolicy(socket, i);
  });
  // The caller may measure the other side's memory now.
  char go = 0;
  if (!isatty(STDIN_FILENO) && read(STDIN_FILENO, &go, 1) < 0) return 1;
  Measure("dump", n, [&] {
    const uint32_t found = socket.Dump(sas ? XFRM_MSG_GETSA : XFRM_MSG_GETPOLICY, "dump");
    if (found != n) {
      std::fprintf(stderr, "xfrm_load: %u of %u in the dump\n", found, n);
      std::exit(1);
    }
  });
  Measure("flush", n, [&] { Flush(socket, sas); });
  return 0;
}
