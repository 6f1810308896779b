// Parsers for the kernel's lists of netlink sockets: the answers of NETLINK_SOCK_DIAG and the table
// in /proc. They use no system calls and are also part of the preload shim (netlink/rendezvous.h).
#pragma once

#include <linux/netlink.h>
#include <linux/netlink_diag.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "netlink/rendezvous.h"

namespace cygnet::rendezvous {

// The port ids found so far, without duplicates.
class Ports {
 public:
  Ports(uint32_t* ports, int room) : ports_(ports), room_(room) {}
  void Add(uint32_t port) {
    for (int i = 0; i < count_; ++i) {
      if (ports_[i] == port) {
        return;
      }
    }
    if (count_ < room_) {
      ports_[count_++] = port;
    }
  }
  int count() const { return count_; }

 private:
  uint32_t* const ports_;
  const int room_;
  int count_ = 0;
};

// --- NETLINK_SOCK_DIAG ---

// The result of one read: an errno value, or
enum : int { kMore = -1, kDone = 0 };

inline bool IsMarked(const char* attributes, size_t size) {
  nlattr attribute{};
  while (size >= sizeof attribute) {
    memcpy(&attribute, attributes, sizeof attribute);
    const size_t step = NLA_ALIGN(size_t{attribute.nla_len});
    if (attribute.nla_len < sizeof attribute || step > size) {
      return false;
    }
    unsigned long groups = 0;
    if (attribute.nla_type == NETLINK_DIAG_GROUPS &&
        attribute.nla_len >= sizeof attribute + sizeof groups) {
      memcpy(&groups, attributes + sizeof attribute, sizeof groups);
      return static_cast<uint32_t>(groups) == kGroups;
    }
    attributes += step;
    size -= step;
  }
  return false;
}

// Parses one read and adds the sockets that have the mark.
inline int ReadMessages(const char* at, size_t size, Ports* found) {
  nlmsghdr header{};
  while (size >= sizeof header) {
    memcpy(&header, at, sizeof header);
    const size_t length = header.nlmsg_len;
    if (length < sizeof header || length > size) {
      return EBADMSG;
    }
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      if (length < sizeof header + sizeof error) {
        return header.nlmsg_type == NLMSG_DONE ? kDone : EBADMSG;
      }
      memcpy(&error, at + sizeof header, sizeof error);
      if (error == INT_MIN) {
        return EBADMSG;
      }
      return error < 0 ? -error : kDone;
    }
    netlink_diag_msg body{};
    if (length >= sizeof header + sizeof body) {
      memcpy(&body, at + sizeof header, sizeof body);
      const size_t start = sizeof header + sizeof body;
      if (body.ndiag_protocol == NETLINK_USERSOCK && IsMarked(at + start, length - start)) {
        found->Add(body.ndiag_portid);
      }
    }
    const size_t step = NLMSG_ALIGN(length);
    at += step < size ? step : size;
    size -= step < size ? step : size;
  }
  return kMore;
}

// --- /proc/…/net/netlink ---

// A row: sk, protocol, port id, groups in hex, and fields that are ignored.
inline bool ReadRow(const char* line, uint32_t* port) {
  const char* at = strchr(line, ' ');
  if (at == nullptr) {
    return false;
  }
  char* end = nullptr;
  const long protocol = strtol(at, &end, 10);
  if (end == at || protocol != NETLINK_USERSOCK) {
    return false;
  }
  *port = static_cast<uint32_t>(strtoul(end, &end, 10));
  return strtoul(end, &end, 16) == kGroups;
}

// Reassembles the rows of the table from the pieces that read() returns.
class TableRows {
 public:
  // The place for the next bytes, and its size.
  char* end() { return text_ + kept_; }
  size_t room() const { return sizeof text_ - 1 - kept_; }
  // REQUIRES: got ≤ room().
  void Take(size_t got, Ports* found) {
    char* line = text_;
    char* const stop = text_ + kept_ + got;
    *stop = '\0';
    for (char* last = nullptr; (last = strchr(line, '\n')) != nullptr; line = last + 1) {
      *last = '\0';
      uint32_t port = 0;
      if (ReadRow(line, &port)) {
        found->Add(port);
      }
    }
    kept_ = static_cast<size_t>(stop - line);
    if (kept_ >= sizeof text_ - 1) {
      kept_ = 0;  // the kernel has no line of this length
    }
    memmove(text_, line, kept_);
  }

 private:
  char text_[8192];
  size_t kept_ = 0;  // bytes of an incomplete line
};

}  // namespace cygnet::rendezvous
