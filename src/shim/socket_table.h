// The file descriptors of this process that represent a NETLINK_XFRM socket, and the state of each.
//
// An array of atomics maps descriptors to slots of a static pool, so a call on any other descriptor
// costs one load. A slot is reused when no descriptor refers to it and no call uses it.
#pragma once

#include <pthread.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>

#include "shim/place.h"

namespace cygnet::shim {

// std::mutex would need libstdc++ at run time.
class Mutex {
 public:
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  // For the only thread of a forked child: the holder of the lock does not exist here.
  void Reset() { mutex_ = PTHREAD_MUTEX_INITIALIZER; }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class Lock {
 public:
  explicit Lock(Mutex& mutex) : mutex_(mutex) { mutex_.lock(); }
  ~Lock() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

// The registration of a descriptor in an epoll set, repeated for a new connection.
struct EpollInterest {
  int epoll_fd = -1;  // -1: unused entry
  int fd = -1;
  epoll_event event{};
};

// What the daemon was told last on a connection.
struct ToldState {
  std::atomic<uint32_t> port_id{0};
  std::atomic<uint32_t> groups{0};
  std::atomic<uint32_t> options{0};  // as SocketState::options, of those that it knows
  // Not the daemon but the connection: the last option for the size of either buffer, and its
  // value.
  std::atomic<uint64_t> send_size{0};
  std::atomic<uint64_t> receive_size{0};

  void CopyFrom(const ToldState& other) {
    port_id.store(other.port_id.load());
    groups.store(other.groups.load());
    options.store(other.options.load());
    send_size.store(other.send_size.load());
    receive_size.store(other.receive_size.load());
  }
};

// For spare.h, of a connection as it was made.
struct Origin {
  Place place;
  uint64_t cookie = 0;  // of its socket
};

// State of a descriptor that survives a replacement of its connection.
struct SocketState {
  int type = 0;                        // SOCK_RAW or SOCK_DGRAM, as the client requested
  std::atomic<uint32_t> port_id{0};    // 0: not bound yet
  std::atomic<uint32_t> groups{0};     // bit n-1: member of group n
  std::atomic<bool> announced{false};  // the daemon knows port_id, groups and options
  ToldState told;
  std::atomic<uint32_t> peer_groups{0};   // of connect()
  std::atomic<uint32_t> peer_port_id{0};  // of connect(); 0 is the kernel
  std::atomic<uint32_t> options{0};       // bit per SOL_NETLINK option that is on
  std::atomic<int> send_buffer_bytes{0};  // SO_SNDBUF; 0: never set
  std::atomic<int64_t> receive_timeout_us{0};
  std::atomic<bool> dump_open{false};     // a dump was requested and has not ended
  std::atomic<int32_t> told_room{0};      // transport::kReceiveRoom, as the daemon knows it
  std::atomic<bool> loss_pending{false};  // the next receive call returns ENOBUFS
  // For spare.h: nothing was done with the socket that its connection would remember, and how often
  // descriptors had got to others when it was opened.
  std::atomic<bool> plain{true};
  uint32_t forks = 0;
  Origin origin;

  // Each connection under the descriptor has a number. A failed call passes the number of the
  // connection that failed, so that only the first of several threads replaces it.
  std::atomic<uint32_t> generation{1};
  std::atomic<uint32_t> reset_generation{0};  // the connection that died with a request unread
  std::atomic<bool> connected{true};          // false: a placeholder, see connection.h
  int64_t reconnected_at_ns = 0;
  std::array<EpollInterest, 16> interests{};
};

struct XfrmSocket {
  Mutex mutex;  // held to replace the connection, to bind and to change `interests`
  std::atomic<int> fd_count{0};
  std::atomic<int> pins{0};
  SocketState state;
};

// A call on a socket. Prevents reuse of the slot while another thread closes the socket.
class Pin {
 public:
  explicit Pin(int fd);
  ~Pin();
  Pin(const Pin&) = delete;
  Pin& operator=(const Pin&) = delete;

  explicit operator bool() const { return socket_ != nullptr; }
  XfrmSocket& socket() const { return *socket_; }

 private:
  XfrmSocket* socket_ = nullptr;
};

// Serialises changes of the table against dup2, dup3 and the replacement of connections, which must
// not affect a descriptor that was closed and reopened as something else. Lock order:
// XfrmSocket::mutex before this one.
Mutex& TableMutex();

bool IsShimmed(int fd);
// False in a vfork() child: it shares our memory but has its own descriptors.
bool TableIsOurs();
// How often descriptors of this process may have got to another one.
uint32_t ForksSoFar();
void NoteFork();
// False: the pool is full, or the number is too large for the table. `told`, `origin`: of its
// connection.
bool AddSocket(int fd, int type, const ToldState& told, const Origin& origin);
// The descriptor is about to be closed, or already refers to something else.
void ForgetFd(int fd);
void ForgetRange(unsigned first, unsigned last);

// REQUIRES: TableMutex() held.
void ShareFdLocked(int old_fd, int new_fd);
void ForgetFdLocked(int fd);
// Calls visit(fd) for each descriptor of the socket.
template <typename Visitor>
void ForEachFdLocked(const XfrmSocket& socket, Visitor visit);
// Calls visit(socket) for each slot in use. Holds no lock, so a slot may become unused meanwhile.
template <typename Visitor>
void ForEachSocket(Visitor visit);

// Binds the socket to the port id, or to one of our choice for 0. Returns 0 or an errno value.
int ClaimPortId(XfrmSocket& socket, uint32_t wanted);

// Storage. Public only for the templates.
inline constexpr unsigned kMaxFd = 65536;
inline constexpr unsigned kMaxSockets = 256;
// NOLINTBEGIN(bugprone-dynamic-static-initializers): it is constinit
extern constinit std::array<std::atomic<XfrmSocket*>, kMaxFd> g_fd_table;
extern constinit std::array<XfrmSocket, kMaxSockets> g_sockets;
// NOLINTEND(bugprone-dynamic-static-initializers)

template <typename Visitor>
void ForEachFdLocked(const XfrmSocket& socket, Visitor visit) {
  int left = socket.fd_count.load();
  for (unsigned fd = 0; fd < kMaxFd && left > 0; ++fd) {
    if (g_fd_table[fd].load(std::memory_order_relaxed) == &socket) {
      visit(static_cast<int>(fd));
      --left;
    }
  }
}

template <typename Visitor>
void ForEachSocket(Visitor visit) {
  for (XfrmSocket& socket : g_sockets) {
    if (socket.fd_count.load() > 0) {
      visit(socket);
    }
  }
}

}  // namespace cygnet::shim
