// Byte access to a datagram that is scattered over the buffers of a msghdr.
#pragma once

#include <linux/netlink.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cygnet::shim {

// Messages and attributes start at multiples of four.
constexpr size_t Align(size_t bytes) { return (bytes + 3) & ~size_t{3}; }

inline size_t Capacity(const msghdr& message) {
  size_t total = 0;
  for (size_t i = 0; i < message.msg_iovlen; ++i) {
    total += message.msg_iov[i].iov_len;
  }
  return total;
}

// Calls visit(bytes_in_buffer, done_before, size) for each piece of [offset, offset + length).
template <typename Visitor>
void ForEachPiece(const msghdr& message, size_t offset, size_t length, Visitor visit) {
  size_t done = 0;
  for (size_t i = 0; i < message.msg_iovlen && done < length; ++i) {
    const iovec& buffer = message.msg_iov[i];
    if (offset >= buffer.iov_len) {
      offset -= buffer.iov_len;
      continue;
    }
    const size_t size = std::min(buffer.iov_len - offset, length - done);
    visit(static_cast<uint8_t*>(buffer.iov_base) + offset, done, size);
    done += size;
    offset = 0;
  }
}

// REQUIRES: the buffers hold offset + length bytes.
inline void CopyOut(const msghdr& message, size_t offset, void* out, size_t length) {
  ForEachPiece(message, offset, length, [out](const uint8_t* piece, size_t done, size_t size) {
    memcpy(static_cast<uint8_t*>(out) + done, piece, size);
  });
}

inline void CopyIn(const msghdr& message, size_t offset, const void* in, size_t length) {
  ForEachPiece(message, offset, length, [in](uint8_t* piece, size_t done, size_t size) {
    memcpy(piece, static_cast<const uint8_t*>(in) + done, size);
  });
}

}  // namespace cygnet::shim
