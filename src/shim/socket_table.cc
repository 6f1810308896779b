// The descriptor table, the socket pool and the port ids of this process.
#include "shim/socket_table.h"

#include <sys/types.h>
#include <unistd.h>

#include <cerrno>
#include <new>

#include "shim/spare.h"

namespace cygnet::shim {

constinit std::array<std::atomic<XfrmSocket*>, kMaxFd> g_fd_table{};
constinit std::array<XfrmSocket, kMaxSockets> g_sockets{};

namespace {

constinit Mutex g_table_mutex;
constinit std::atomic<pid_t> g_owner{0};  // the process the table belongs to
constinit uint32_t g_next_port_suffix = 0;
constinit std::atomic<uint32_t> g_forks{0};

void BeforeFork() { g_table_mutex.lock(); }
void AfterForkInParent() {
  NoteFork();
  g_table_mutex.unlock();
}
void AfterForkInChild() {
  g_owner.store(getpid());
  NoteFork();
  ForgetConnectionInChild();
  ForgetPlaceInChild();
  for (XfrmSocket& socket : g_sockets) {
    socket.mutex.Reset();
    socket.pins.store(0);
  }
  g_table_mutex.unlock();
}

void AdoptProcessOnce() {
  if (g_owner.load() == 0) {
    g_owner.store(getpid());
    pthread_atfork(BeforeFork, AfterForkInParent, AfterForkInChild);
  }
}

std::atomic<XfrmSocket*>* Entry(int fd) {
  return fd >= 0 && static_cast<unsigned>(fd) < kMaxFd ? &g_fd_table[static_cast<unsigned>(fd)]
                                                       : nullptr;
}

bool PortIdInUse(uint32_t port_id) {
  bool in_use = false;
  ForEachSocket(
      [&](const XfrmSocket& socket) { in_use = in_use || socket.state.port_id.load() == port_id; });
  return in_use;
}

// The kernel gives the first socket of a process its pid and later ones a negative number. Our port
// ids contain the pid (at most 22 bits), so that two processes never choose the same one.
uint32_t FreePortId() {
  const auto pid = static_cast<uint32_t>(getpid());
  if (!PortIdInUse(pid)) {
    return pid;
  }
  static_assert(kMaxSockets < 512);
  for (;;) {
    const uint32_t suffix = g_next_port_suffix++ & 0x1ff;
    const uint32_t candidate = 0x80000000U | (pid & 0x3fffff) << 9 | suffix;
    if (!PortIdInUse(candidate)) {
      return candidate;
    }
  }
}

}  // namespace

Mutex& TableMutex() { return g_table_mutex; }

// What a vfork() child closes before exec() stays open here. A fork() child has a copy of the
// table, and AfterForkInChild has run in it.
bool TableIsOurs() { return g_owner.load(std::memory_order_relaxed) == getpid(); }

uint32_t ForksSoFar() { return g_forks.load(); }
void NoteFork() { g_forks.fetch_add(1); }

Pin::Pin(int fd) {
  std::atomic<XfrmSocket*>* entry = Entry(fd);
  if (entry == nullptr) {
    return;
  }
  while (XfrmSocket* socket = entry->load()) {
    socket->pins.fetch_add(1);
    if (entry->load() == socket) {
      socket_ = socket;
      return;
    }
    socket->pins.fetch_sub(1);
  }
}

Pin::~Pin() {
  if (socket_ != nullptr) {
    socket_->pins.fetch_sub(1);
  }
}

bool IsShimmed(int fd) {
  const std::atomic<XfrmSocket*>* entry = Entry(fd);
  return entry != nullptr && entry->load(std::memory_order_relaxed) != nullptr;
}

bool AddSocket(int fd, int type, const ToldState& told, const Origin& origin) {
  std::atomic<XfrmSocket*>* entry = Entry(fd);
  if (entry == nullptr) {
    return false;
  }
  const Lock lock(g_table_mutex);
  AdoptProcessOnce();
  ForgetFdLocked(fd);
  for (XfrmSocket& socket : g_sockets) {
    if (socket.fd_count.load() == 0 && socket.pins.load() == 0) {
      socket.state.~SocketState();
      new (&socket.state) SocketState;
      socket.state.type = type;
      socket.state.told.CopyFrom(told);
      socket.state.origin = origin;
      socket.state.forks = ForksSoFar();
      socket.fd_count.store(1);
      entry->store(&socket);
      return true;
    }
  }
  return false;
}

void ShareFdLocked(int old_fd, int new_fd) {
  std::atomic<XfrmSocket*>* from = Entry(old_fd);
  std::atomic<XfrmSocket*>* to = Entry(new_fd);
  if (to == nullptr || from == to || !TableIsOurs()) {
    return;
  }
  ForgetFdLocked(new_fd);
  XfrmSocket* socket = from == nullptr ? nullptr : from->load();
  if (socket != nullptr) {
    socket->state.plain.store(false);
    socket->fd_count.fetch_add(1);
    to->store(socket);
  }
}

void ForgetFdLocked(int fd) {
  std::atomic<XfrmSocket*>* entry = Entry(fd);
  if (entry == nullptr || entry->load() == nullptr || !TableIsOurs()) {
    return;
  }
  if (XfrmSocket* socket = entry->exchange(nullptr)) {
    socket->fd_count.fetch_sub(1);
  }
}

void ForgetFd(int fd) {
  const Lock lock(g_table_mutex);
  ForgetFdLocked(fd);
}

void ForgetRange(unsigned first, unsigned last) {
  const Lock lock(g_table_mutex);
  for (unsigned fd = first; fd < kMaxFd && fd <= last; ++fd) {
    ForgetFdLocked(static_cast<int>(fd));
  }
}

int ClaimPortId(XfrmSocket& socket, uint32_t wanted) {
  const Lock lock(g_table_mutex);
  if (const uint32_t bound = socket.state.port_id.load(); bound != 0) {
    return wanted == 0 || wanted == bound ? 0 : EINVAL;
  }
  if (wanted != 0 && PortIdInUse(wanted)) {
    return EADDRINUSE;
  }
  socket.state.port_id.store(wanted != 0 ? wanted : FreePortId());
  return 0;
}

}  // namespace cygnet::shim
