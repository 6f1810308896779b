#include "device/inside/inside_port.h"

#include <sys/epoll.h>

#include <cerrno>
#include <cstring>

#include "base/errno_error.h"
#include "base/log.h"
#include "device/host/host_link.h"
#include "net/checksum.h"
#include "net/frame.h"

namespace cygnet {
namespace {

// These kernel drivers deliver frames of this machine, whose checksums nobody has computed.
bool LeavesChecksums(const std::string& kernel_driver) {
  return kernel_driver == "veth" || kernel_driver == "tun" || kernel_driver == "virtio_net";
}

Status RefuseStacked(const std::string& interface, const std::string& driver) {
  if (driver != "bridge" && driver != "bonding" && driver != "team" && driver != "macvlan" &&
      driver != "802.1Q VLAN Support") {
    return {};
  }
  return MakeError(Errc::kNotSupported,
                   interface + " is a stacked interface (" + driver +
                       "), which has no XDP of its own: name an interface of the NIC below");
}

// A tag that the NIC has taken off is not seen: another VLAN's frame would pass for an untagged
// one.
Status LeaveTagsIn(const std::string& interface) {
  const NamedInterface link(interface);
  ethtool_value flags{.cmd = ETHTOOL_GFLAGS, .data = 0};
  if (!link.Ethtool(&flags) || (flags.data & ETH_FLAG_RXVLAN) == 0) return {};
  flags.cmd = ETHTOOL_SFLAGS;
  flags.data &= ~uint32_t{ETH_FLAG_RXVLAN};
  if (!link.Ethtool(&flags)) {
    return ErrnoError("the NIC takes VLAN tags off, and this cannot be changed: ethtool -K " +
                      interface + " rxvlan off");
  }
  Log(LogLevel::kInfo, "inside " + interface + ": rxvlan is off now, so that tags are seen");
  return {};
}

// In generic mode, packets come after the kernel has joined them.
Status RequireSinglePackets(const std::string& interface) {
  const NamedInterface link(interface);
  ethtool_value gro{.cmd = ETHTOOL_GGRO, .data = 0};
  ethtool_value flags{.cmd = ETHTOOL_GFLAGS, .data = 0};
  const bool joins = (link.Ethtool(&gro) && gro.data != 0) ||
                     (link.Ethtool(&flags) && (flags.data & ETH_FLAG_LRO) != 0);
  if (!joins) return {};
  return MakeError(Errc::kNotSupported,
                   "its driver has no native XDP, and the generic one gets "
                   "joined packets: ethtool -K " +
                       interface + " gro off lro off");
}

}  // namespace

bool FinishLeftChecksum(Packet* packet) {
  IpPacketView ip;
  if (ParseFrame(packet->bytes(), &ip).kind != FrameKind::kIp || ip.fragment) return false;
  const uint32_t field = ip.flow.proto == kProtoTcp ? 16 : ip.flow.proto == kProtoUdp ? 6 : 0;
  const uint32_t length = ip.total_length - ip.header_length;
  if (field == 0 || length < field + 2) return false;
  const std::span<uint8_t> upper = packet->bytes().subspan(
      packet->length - static_cast<uint32_t>(packet->l3().size()) + ip.header_length, length);
  const uint64_t pseudo =
      PseudoHeaderSum(ip.flow.saddr, ip.flow.daddr, ip.flow.family, ip.flow.proto, length);
  if (LoadBe16(upper.data() + field) != static_cast<uint16_t>(~ChecksumFinish(pseudo))) {
    return false;
  }
  StoreBe16(upper.data() + field, 0);
  uint16_t sum = ChecksumFinish(ChecksumAdd(upper, pseudo));
  if (sum == 0 && ip.flow.proto == kProtoUdp) sum = 0xffff;
  StoreBe16(upper.data() + field, sum);
  return true;
}

InsidePort::InsidePort(InsidePortParams params) : params_(std::move(params)) {
  for (uint32_t i = 0; i < params_.workers; ++i) {
    epolls_.emplace_back(epoll_create1(EPOLL_CLOEXEC));
  }
  state_.SetStatus(LinkStatus::kGone);
}

InsidePort::~InsidePort() { delete opened_.load(); }

// --- Workers ---

std::unique_lock<std::mutex> InsidePort::Claim(Opened* opened, uint32_t queue) const {
  return opened->queues < params_.workers ? std::unique_lock(opened->sharing[queue])
                                          : std::unique_lock<std::mutex>();
}

uint32_t InsidePort::Receive(uint32_t worker, PacketBatch* out, DropSink* sink) {
  Opened* const opened = opened_.load(std::memory_order_acquire);
  if (opened == nullptr) return 0;
  uint32_t received = 0;
  for (uint32_t queue = worker; queue < opened->queues && !out->full(); queue += params_.workers) {
    const auto claim = Claim(opened, queue);
    received += opened->sockets->Receive(queue, out, sink);
  }
  if (opened->finish_checksums) {
    for (Packet* packet : out->packets()) (void)FinishLeftChecksum(packet);
  }
  return received;
}

void InsidePort::Transmit(uint32_t worker, PacketBatch* batch, DropSink* sink) {
  Opened* const opened = opened_.load(std::memory_order_acquire);
  if (opened == nullptr) {
    batch->DropAll(DropReason::kPortDown, sink);
    return;
  }
  const uint32_t queue = worker % opened->queues;
  const auto claim = Claim(opened, queue);
  opened->sockets->Transmit(queue, batch, sink);
}

// --- Control thread ---

std::string InsidePort::mode() const {
  const Opened* opened = opened_.load(std::memory_order_relaxed);
  if (opened == nullptr) return "";
  return opened->mode == InsideProgram::Mode::kNative ? "native" : "generic";
}

PortStats InsidePort::stats() const {
  PortStats total = before_;
  if (const Opened* opened = opened_.load(std::memory_order_relaxed)) {
    const PortStats now = opened->sockets->stats();
    total.rx_packets += now.rx_packets;
    total.rx_bytes += now.rx_bytes;
    total.tx_packets += now.tx_packets;
    total.tx_bytes += now.tx_bytes;
    total.rx_dropped += now.rx_dropped;
    total.tx_copied += now.tx_copied;
  }
  total.link_changes = state_.changes();
  return total;
}

bool InsidePort::Look() {
  const PortLink link = LookAtLink(params_.interface);
  const bool open = opened_.load(std::memory_order_relaxed) != nullptr;
  if (open && link.ifindex != ifindex_) Close();
  if (opened_.load(std::memory_order_relaxed) == nullptr) return OpenIfThere(link) || open;
  if (link == seen_) return false;
  Opened* const opened = opened_.load(std::memory_order_relaxed);
  if (link.mtu > seen_.mtu) {  // the packets of the pool may be too small for it
    Close();
    seen_ = {};
    return true;  // the next look opens it, when its old sockets have ended
  }
  seen_ = link;
  state_.Set(link);
  (void)opened->sockets->Follow(link);
  (void)opened->program->Open(link.mac);
  return true;
}

// True: it is open now, or there is another reason why not.
bool InsidePort::OpenIfThere(const PortLink& link) {
  state_.SetStatus(link.status);
  if (link.status == LinkStatus::kGone) {
    problem_.clear();
    seen_ = link;
    return false;
  }
  if (link == seen_ && !problem_.empty() && !busy_) {
    state_.SetStatus(LinkStatus::kBarred);
    return false;  // nothing that could help has changed
  }
  seen_ = link;
  const auto facts = ProbeWire(params_.interface);
  auto opened = facts ? Open(*facts) : Result<std::unique_ptr<Opened>>(facts.error());
  if (!opened) {
    state_.SetStatus(LinkStatus::kBarred);
    busy_ = opened.error().code == Errc::kBusy;
    if (std::exchange(problem_, opened.error().message) == opened.error().message) return false;
    Log(LogLevel::kWarning,
        "inside " + params_.interface + ": its packets go by the host: " + problem_);
    return true;  // the operator is told
  }
  problem_.clear();
  ifindex_ = facts->ifindex;
  state_.Set(link);
  opened_.store(opened->release(), std::memory_order_release);
  Log(LogLevel::kInfo, "inside " + params_.interface + ": AF_XDP, mode " + mode() + ", " +
                           std::to_string(facts->receive_queues) + " queues");
  return true;
}

Result<std::unique_ptr<InsidePort::Opened>> InsidePort::Open(const WireFacts& facts) {
  CYGNET_RETURN_IF_ERROR(RefuseStacked(params_.interface, facts.kernel_driver));
  CYGNET_RETURN_IF_ERROR(LeaveTagsIn(params_.interface));
  auto opened = std::make_unique<Opened>();
  opened->queues = facts.receive_queues;
  opened->finish_checksums = LeavesChecksums(facts.kernel_driver);
  opened->sharing = std::vector<std::mutex>(facts.receive_queues);
  CYGNET_RETURN_IF_ERROR(AttachProgram(facts, opened.get()));
  auto sockets = XdpPort::OpenSockets(params_.interface, facts, params_.pool, params_.sharers);
  if (!sockets) return sockets.error();
  opened->sockets = *std::move(sockets);
  for (uint32_t queue = 0; queue < opened->queues; ++queue) {
    CYGNET_RETURN_IF_ERROR(opened->program->SetQueue(queue, opened->sockets->wait_fd(queue)));
  }
  CYGNET_RETURN_IF_ERROR(Watch(*opened, EPOLL_CTL_ADD));
  CYGNET_RETURN_IF_ERROR(opened->program->Open(facts.mac));
  return opened;
}

Status InsidePort::AttachProgram(const WireFacts& facts, Opened* opened) const {
  const auto attach = [&](InsideProgram::Mode mode) -> Status {
    auto program = InsideProgram::Attach(*params_.tables, params_.place, facts.ifindex,
                                         facts.receive_queues, mode);
    if (!program) return program.error();
    opened->program = *std::move(program);
    opened->mode = mode;
    return {};
  };
  Status attached = attach(InsideProgram::Mode::kNative);
  if (!attached && attached.error().code == Errc::kNotSupported) {
    CYGNET_RETURN_IF_ERROR(RequireSinglePackets(params_.interface));
    attached = attach(InsideProgram::Mode::kGeneric);
  }
  if (attached) return {};
  if (attached.error().code == Errc::kBusy) {
    return MakeError(Errc::kBusy,
                     "it has another XDP program (ip link show dev " + params_.interface + ")");
  }
  return MakeError(attached.error().code,
                   "the kernel refuses an XDP program on it: " + attached.error().message);
}

Status InsidePort::Watch(const Opened& opened, int operation) const {
  for (uint32_t queue = 0; queue < opened.queues; ++queue) {
    epoll_event event{.events = EPOLLIN, .data = {}};
    const int fd = opened.sockets->wait_fd(queue);
    if (epoll_ctl(epolls_[queue % params_.workers].get(), operation, fd, &event) != 0) {
      return ErrnoError("wait for packets of " + params_.interface);
    }
  }
  return {};
}

void InsidePort::Shut() {
  if (Opened* opened = opened_.load(std::memory_order_relaxed)) opened->program->Shut();
}

// Workers may be in the middle of a batch: its sockets end when they no longer use them.
void InsidePort::Close() {
  const PortStats total = stats();
  Opened* const opened = opened_.exchange(nullptr, std::memory_order_acq_rel);
  if (opened == nullptr) return;
  opened->program->Shut();
  (void)Watch(*opened, EPOLL_CTL_DEL);
  opened->program.reset();
  before_ = total;
  ifindex_ = 0;
  state_.SetStatus(LinkStatus::kGone);
  params_.quiescence->Retire([opened] { delete opened; });
}

}  // namespace cygnet
