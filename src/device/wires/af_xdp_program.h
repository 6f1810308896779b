// XdpProgram: hands all frames of an interface to its AF_XDP sockets, by the queue that received
// them. Unlike the program that libxdp has, it takes frames in several buffers, and needs neither
// CAP_SYS_ADMIN nor a folder in /run: a service with CAP_BPF alone can attach it.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"

namespace cygnet {

class XdpProgram {
 public:
  // Each returns 0 or an errno. `mode`: XDP_FLAGS_DRV_MODE or XDP_FLAGS_SKB_MODE. It stays attached
  // as long as this object, or the process, lives.
  // `several_buffers`: takes frames that have more than one (Linux 5.18).
  int Load(uint32_t queues, bool several_buffers);
  int Attach(int ifindex, uint32_t mode);
  // Of the sockets, by queue.
  int map() const { return map_.get(); }

 private:
  UniqueFd map_;
  UniqueFd program_;
  UniqueFd link_;
};

}  // namespace cygnet
