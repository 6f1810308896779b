// Which file descriptors of this process stand for a NETLINK_XFRM socket, and what is known of
// each.
//
// Descriptors map to slots of a static pool by an array of atomics, so a call on any other
// descriptor costs one load. A slot is reused when no descriptor names it and no call is inside it.
#pragma once

#include <pthread.h>
#include <sys/epoll.h>

#include <array>
#include <atomic>
#include <cstdint>

namespace cygnet::shim {

// std::mutex would need libstdc++ at run time.
class Mutex {
 public:
  void lock() { pthread_mutex_lock(&mutex_); }
  void unlock() { pthread_mutex_unlock(&mutex_); }
  // For the only thread of a forked child: whoever held the lock does not exist here.
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

// One descriptor's registration in an epoll set, to be repeated on a new connection.
struct EpollInterest {
  int epoll_fd = -1;  // -1: unused entry
  int fd = -1;
  epoll_event event{};
};

// What a descriptor has, and keeps, when the connection under it is replaced.
struct SocketState {
  int type = 0;                           // SOCK_RAW or SOCK_DGRAM, as the client asked
  std::atomic<uint32_t> port_id{0};       // 0: not bound yet
  std::atomic<uint32_t> groups{0};        // bit n-1: member of group n
  std::atomic<bool> announced{false};     // the daemon knows port_id and groups
  std::atomic<uint32_t> peer_groups{0};   // of connect()
  std::atomic<uint32_t> peer_port_id{0};  // of connect(); 0 is the kernel
  std::atomic<uint32_t> options{0};       // bit per SOL_NETLINK option that is on
  std::atomic<int> send_buffer_bytes{0};  // SO_SNDBUF; 0: never set
  std::atomic<int64_t> receive_timeout_us{0};
  std::atomic<bool> dump_open{false};     // a dump was asked for and has not ended
  std::atomic<bool> loss_pending{false};  // the next receive call says ENOBUFS

  // Each connection under the descriptor has its number; a failed call names the one it saw fail,
  // so that of several threads only the first replaces it.
  std::atomic<uint32_t> generation{1};
  std::atomic<uint32_t> reset_generation{0};  // the connection that died with a request unread
  std::atomic<bool> connected{true};          // false: a placeholder, see connection.h
  int64_t reconnected_at_ns = 0;
  std::array<EpollInterest, 16> interests{};
};

struct XfrmSocket {
  Mutex mutex;  // taken to replace the connection, to bind and to change `interests`
  std::atomic<int> fd_count{0};
  std::atomic<int> pins{0};
  SocketState state;
};

// A call inside a socket: keeps its slot from being reused while another thread closes it.
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

// Serialises changes of the table against dup2, dup3 and the replacement of connections, which
// must not hit a descriptor that was closed and opened again as something else.
// Order: XfrmSocket::mutex before this one.
Mutex& TableMutex();

bool IsShimmed(int fd);
// False when the pool is full or the number is too large for the table.
bool AddSocket(int fd, int type);
// The descriptor is about to be closed, or is something else already.
void ForgetFd(int fd);
void ForgetRange(unsigned first, unsigned last);

// REQUIRES: TableMutex() held.
void ShareFdLocked(int old_fd, int new_fd);
void ForgetFdLocked(int fd);
// Calls visit(fd) for each descriptor of the socket.
template <typename Visitor>
void ForEachFdLocked(const XfrmSocket& socket, Visitor visit);
// Calls visit(socket) for each slot in use; takes no lock, so a slot may die meanwhile.
template <typename Visitor>
void ForEachSocket(Visitor visit);

// Gives the socket the wanted port id, or one of our choice for 0. Returns 0 or an errno value.
int ClaimPortId(XfrmSocket& socket, uint32_t wanted);

// Storage, public for the templates only.
inline constexpr unsigned kMaxFd = 65536;
inline constexpr unsigned kMaxSockets = 256;
// NOLINTBEGIN(bugprone-dynamic-static-initializers): constinit says the contrary
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
