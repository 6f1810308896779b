#include "device/wires/af_xdp.h"

#include <bpf/libbpf.h>
#include <linux/if_link.h>
#include <linux/if_xdp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <xdp/libxdp.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr uint32_t kKernelHeadroom = 256;        // XDP_PACKET_HEADROOM
constexpr uint16_t kUseSeveralBuffers = 1 << 4;  // XDP_USE_SG
static_assert(kPacketHeadroom >= kKernelHeadroom);

template <typename Level>
int ToDebugLog(Level, const char* format, va_list arguments) {
  char text[256];
  const int n = std::vsnprintf(text, sizeof(text), format, arguments);
  std::string_view line(text, std::min(sizeof(text) - 1, static_cast<std::size_t>(std::max(n, 0))));
  while (line.ends_with('\n')) line.remove_suffix(1);
  Log(LogLevel::kDebug, std::string("xdp: ").append(line));
  return n;
}

// Adds advice for errors that an operator can fix.
std::string Explain(int error) {
  std::string text = std::strerror(error);
  switch (error) {
    case EPERM:
    case EACCES:
      return text +
             " (AF_XDP needs CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF, and not in a user "
             "namespace: the kernel loads no XDP program from there)";
    case ENOBUFS:
    case ENOMEM:
      return text +
             " (the packet pool must be locked in memory: CAP_IPC_LOCK, or LimitMEMLOCK= of "
             "the service)";
    case EBUSY:
      return text + " (another program has an XDP program or an AF_XDP socket on this interface)";
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
      return text + " (the kernel is built without CONFIG_XDP_SOCKETS)";
    default:
      return text;
  }
}

void AllowLockedMemory() {
  const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
  (void)setrlimit(RLIMIT_MEMLOCK, &all);  // without CAP_SYS_RESOURCE the limit is unchanged
}

// With frames of several buffers, MTUs up to kLargestMtu work.
Status CheckRoom(const std::string& interface, const WireFacts& facts) {
  if (facts.mtu > XdpPort::kPlainMtu) {
    const std::string most = std::to_string(XdpPort::kPlainMtu);
    return MakeError(Errc::kNotSupported,
                     "MTU " + std::to_string(facts.mtu) + " of " + interface + " is above " + most +
                         ", the most with AF_XDP on this kernel (Linux 6.6 takes more): use " +
                         "af_packet, or ip link set " + interface + " mtu " + most);
  }
  return {};
}

Status CheckQueues(const std::string& interface, const WireFacts& facts, uint32_t queues) {
  // Frames of a queue without a socket would reach the kernel and be dropped by the fence.
  if (facts.receive_queues != queues) {
    return MakeError(Errc::kInvalid,
                     interface + " has " + std::to_string(facts.receive_queues) +
                         " receive queues, but " + std::to_string(queues) +
                         " threads serve it: AF_XDP needs one queue per thread (ethtool -L " +
                         interface + " combined " + std::to_string(queues) +
                         ", or daemon.workers)");
  }
  return {};
}

// From measurements: bench/README.md, "Which port on which wire".
WireVerdict Probe(const WireFacts& facts) {
  const std::string& driver = facts.kernel_driver;
  if (driver == "veth" || driver == "tun") {
    return {
        false,
        driver + " delivers super-packets and unfinished checksums, which AF_XDP does not support"};
  }
  if (driver == "virtio_net") {
    return {false,
            "virtio_net leaves checksums unfinished between guests, which AF_XDP does not report"};
  }
  return {false, "AF_XDP has not been measured on " +
                     (driver.empty() ? "this kind of interface" : driver) +
                     "; set af_xdp to try it"};
}

}  // namespace

Result<std::unique_ptr<Port>> XdpPort::Create(const DriverParams& params) {
  const uint32_t queues = params.queues;
  auto facts = TakeWire(params.wire);
  if (!facts) return facts.error();
  CYGNET_RETURN_IF_ERROR(CheckQueues(params.wire, *facts, queues));
  std::unique_ptr<XdpPort> port(new XdpPort(&params.pools->small));
  port->Start(params.wire, *facts, queues);
  port->jumbo_ = facts->mtu > kPlainMtu;
  std::string mode = "native";
  const int native = port->Open(queues, XDP_FLAGS_DRV_MODE, true);
  if (native != 0) {
    mode = std::string("generic (native: ") + std::strerror(native) + ")";
    const int generic = port->Open(queues, XDP_FLAGS_SKB_MODE, true);
    if (generic != 0) {
      if (generic == EINVAL) CYGNET_RETURN_IF_ERROR(CheckRoom(params.wire, *facts));
      return MakeError(static_cast<Errc>(generic),
                       "AF_XDP on " + params.wire + ": " + Explain(generic));
    }
  }
  Log(LogLevel::kInfo, "device " + params.name + ": AF_XDP on " + params.wire + ": mode " + mode +
                           (port->jumbo_ ? ", jumbo frames in several buffers" : "") +
                           ", copied by the kernel, " + std::to_string(queues) + " queues");
  return std::unique_ptr<Port>(std::move(port));
}

Result<std::unique_ptr<XdpPort>> XdpPort::OpenSockets(const std::string& interface,
                                                      const WireFacts& facts, PacketPool* pool,
                                                      uint32_t sharers) {
  if (facts.mtu > kPlainMtu) {
    const std::string most = std::to_string(kPlainMtu);
    return MakeError(Errc::kNotSupported, "MTU " + std::to_string(facts.mtu) + " of " + interface +
                                              " is above " + most + ": ip link set " + interface +
                                              " mtu " + most);
  }
  std::unique_ptr<XdpPort> port(new XdpPort(pool));
  port->Start(interface, facts, facts.receive_queues * sharers);
  const int error = port->Open(facts.receive_queues, 0, false);
  if (error == 0) return port;
  return MakeError(static_cast<Errc>(error), "AF_XDP on " + interface + ": " + Explain(error));
}

// `shares`: into which the part of the pool is divided that all wires receive into.
void XdpPort::Start(const std::string& interface, const WireFacts& facts, uint32_t shares) {
  libbpf_set_print(ToDebugLog<libbpf_print_level>);
  libxdp_set_print(ToDebugLog<libxdp_print_level>);
  AllowLockedMemory();
  name_ = interface;
  wire_.Start(facts.mac, facts.mtu);
  ifindex_ = facts.ifindex;
  fill_limit_ = std::clamp(pool_->count() / (8 * shares), 64u, kRing);
}

// Returns 0 or an errno. The size of the pool's chunks is not a power of two, hence "unaligned".
// Zero-copy would need them in huge pages, so the kernel is set to copy.
int XdpPort::Open(uint32_t queues, uint32_t mode, bool with_program) {
  const xsk_umem_config umem_config{.fill_size = kRing,
                                    .comp_size = kRing,
                                    .frame_size = pool_->capacity(),
                                    .frame_headroom = pool_->headroom() - kKernelHeadroom,
                                    .flags = XDP_UMEM_UNALIGNED_CHUNK_FLAG};
  xsk_socket_config config{};
  config.rx_size = kRing;
  config.tx_size = kRing;
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.xdp_flags = mode;
  config.bind_flags = XDP_COPY | XDP_USE_NEED_WAKEUP;
  if (jumbo_) config.bind_flags |= kUseSeveralBuffers;
  int error = with_program ? program_.Load(queues, jumbo_) : 0;
  for (uint32_t i = 0; i < queues && error == 0; ++i) {
    queues_.push_back(std::make_unique<Queue>());
    Queue& q = *queues_.back();
    if (i == 0) {
      const auto memory = pool_->memory();
      error = -xsk_umem__create(&umem_, memory.data(), memory.size(), &q.fill, &q.completion,
                                &umem_config);
      if (error != 0) break;
    }
    error = -xsk_socket__create_shared(&q.socket, name_.c_str(), i, umem_, &q.receive, &q.transmit,
                                       &q.fill, &q.completion, &config);
    if (error == 0) FillFirst(&q);
    if (error == 0 && with_program) error = -xsk_socket__update_xskmap(q.socket, program_.map());
  }
  if (error == 0 && with_program) error = program_.Attach(ifindex_, mode);
  if (error != 0) Close();
  return error;
}

void XdpPort::Close() {
  program_ = {};
  for (auto& queue : queues_) {
    if (queue->joined != nullptr) queue->joined->pool->Give(&queue->joined, 1);
    if (queue->socket != nullptr) xsk_socket__delete(queue->socket);
  }
  queues_.clear();
  if (umem_ != nullptr) (void)xsk_umem__delete(umem_);
  umem_ = nullptr;
  for (uint32_t i = 0; i < held_.size(); ++i) {
    if (std::exchange(held_[i], uint8_t{0}) == 0) continue;
    Packet* packet = pool_->at(i);
    pool_->Give(&packet, 1);
  }
}

XdpPort::~XdpPort() { Close(); }

int XdpPort::wait_fd(uint32_t queue) const { return xsk_socket__fd(queues_[queue]->socket); }

Status XdpPort::Follow(const PortLink& link) {
  lost_ = lost_ || link.status == LinkStatus::kGone || link.ifindex != ifindex_;
  if (lost_ && link.status != LinkStatus::kGone) {
    wire_.SetStatus(LinkStatus::kBarred);
    return MakeError(
        Errc::kNotSupported,
        "an AF_XDP port cannot reopen an interface that was removed: restart cygnetd, or "
        "use wire driver af_packet");
  }
  PortLink taken = link;
  if (!jumbo_) taken.mtu = std::min(link.mtu, kPlainMtu);
  wire_.Set(taken);
  return {};
}

PortStats XdpPort::stats() const {
  PortStats total;
  for (const auto& queue : queues_) {
    queue->counters.AddTo(&total);
    total.tx_copied += queue->tx_copied.load(std::memory_order_relaxed);
    xdp_statistics kernel{};
    socklen_t size = sizeof(kernel);
    if (getsockopt(xsk_socket__fd(queue->socket), SOL_XDP, XDP_STATISTICS, &kernel, &size) == 0) {
      total.rx_dropped += kernel.rx_dropped + kernel.rx_ring_full;
    }
  }
  total.link_changes = wire_.changes();
  return total;
}

extern const DriverInfo kAfXdpDriver = {
    .name = "af_xdp",
    .help =
        "a plain wire interface through AF_XDP, past the kernel's stack; all cryptography on the "
        "CPU",
    .open = XdpPort::Create,
    .probe = Probe,
};

}  // namespace cygnet
