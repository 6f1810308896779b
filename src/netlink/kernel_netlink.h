// KernelNetlink: a netlink socket to the kernel, for requests that are answered at once and for
// events. One thread.
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
  // `groups`: what it is to be told of; none: it is for requests.
  static Result<KernelNetlink> Open(int protocol, std::initializer_list<uint32_t> groups = {});

  int fd() const { return fd_.get(); }

  // Sends a datagram of one or more messages and returns the messages that answer it: the kernel
  // has done all it was asked when the call that sends returns.
  Result<std::vector<netlink::Buffer>> Ask(std::span<const uint8_t> datagram);
  // The same, when only the outcome counts: the first error among the answers, `what` before it.
  Status Tell(std::span<const uint8_t> datagram, const char* what);
  // Swallows the events that are there. False: there were none.
  bool Drain();

  uint32_t NextSequence() { return ++sequence_; }

 private:
  explicit KernelNetlink(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

// A request that begins with its family's fixed part, which has no padding but what it names so.
template <typename T>
netlink::MessageBuilder Begin(KernelNetlink* to, uint16_t type, uint16_t flags, const T& fixed) {
  netlink::MessageBuilder builder({.type = type,
                                   .flags = static_cast<uint16_t>(NLM_F_REQUEST | flags),
                                   .seq = to->NextSequence(),
                                   .pid = 0});
  builder.PutBytes({reinterpret_cast<const uint8_t*>(&fixed), sizeof(fixed)});
  return builder;
}

// Of an answer: 0 unless it is an error message; then the positive errno.
int ErrorOf(std::span<const uint8_t> message);

}  // namespace cygnet
