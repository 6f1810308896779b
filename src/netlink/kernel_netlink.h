// KernelNetlink: a netlink socket to the kernel, for requests with immediate answers and for
// events. Used by one thread.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/buffer.h"
#include "netlink/builder.h"

namespace cygnet {

class KernelNetlink {
 public:
  // `groups`: the events to receive; none for a socket for requests.
  static Result<KernelNetlink> Open(int protocol, std::initializer_list<uint32_t> groups = {});

  int fd() const { return fd_.get(); }

  // Sends a datagram of one or more messages and returns the answers: the kernel has finished all
  // requests when the send returns.
  Result<std::vector<netlink::Buffer>> Ask(std::span<const uint8_t> datagram);
  // The same if only the outcome matters: the first error among the answers, prefixed with `what`.
  Status Send(std::span<const uint8_t> datagram, const char* what);
  // Discards pending events. False: there were none.
  bool Drain();

  uint32_t NextSequence() { return ++sequence_; }

 private:
  explicit KernelNetlink(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

// A request that begins with the fixed part of its family. The structure has no unnamed padding.
template <typename T>
netlink::MessageBuilder Begin(KernelNetlink* to, uint16_t type, uint16_t flags, const T& fixed) {
  netlink::MessageBuilder builder({.type = type,
                                   .flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                                   .seq = to->NextSequence(),
                                   .pid = 0});
  builder.PutBytes({reinterpret_cast<const uint8_t*>(&fixed), sizeof(fixed)});
  return builder;
}

// For an answer: the positive errno of an error message, else 0.
int ErrorOf(std::span<const uint8_t> message);

}  // namespace cygnet
