// The XDP program on an inside interface, and its tables. It takes a packet for the workers if the
// table of hosts has its source with this interface, and the table of prefixes has a length for its
// destination that it does not exceed. It passes every other frame to the kernel: what is not plain
// IPv4 or IPv6, not to the interface's own MAC address, a fragment, or about to exceed its hop
// limit.
//
// Which prefixes are taken depends on the source. Sources for which policy is the same form a
// class; a prefix belongs to one class.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/address.h"
#include "net/ethernet.h"

namespace cygnet {

// The tables that the programs of all inside interfaces share. Control thread.
class InsideTables {
 public:
  static constexpr uint32_t kMaxHosts = 65'536;
  static constexpr uint32_t kMaxPrefixes = 262'144;  // of each family

  // Where a host is: an interface (by its place among those with a program) and a VLAN; 0: none.
  struct Place {
    uint8_t port = 0;
    uint16_t vlan = 0;
    bool operator==(const Place&) const = default;
  };

  static Result<std::unique_ptr<InsideTables>> Create();

  Status SetHost(const Place& place, const ParsedAddress& host, uint32_t source_class);
  void DropHost(const Place& place, const ParsedAddress& host);
  // The longest prefix that has a destination decides. Packets of at most `largest` bytes are
  // taken, counted from the IP header; 0: none.
  Status SetPrefix(uint32_t source_class, const AddressPrefix& to, uint32_t largest);
  void DropPrefix(uint32_t source_class, const AddressPrefix& to);

  int hosts() const { return hosts_.get(); }
  int prefixes(IpFamily family) const {
    return family == IpFamily::kV4 ? prefixes_v4_.get() : prefixes_v6_.get();
  }

 private:
  InsideTables() = default;
  UniqueFd hosts_;
  UniqueFd prefixes_v4_;
  UniqueFd prefixes_v6_;
};

// One interface's program. It ends with this object, and with the process: then the kernel gets
// every packet. Control thread.
class InsideProgram {
 public:
  enum class Mode : uint8_t { kNative, kGeneric };

  // Loads the program and attaches it. Error kBusy: the interface has an XDP program already.
  static Result<std::unique_ptr<InsideProgram>> Attach(const InsideTables& tables, uint8_t port,
                                                       int ifindex, uint32_t queues, Mode mode);
  // The AF_XDP socket that gets the packets of a receive queue. A queue without one passes them.
  Status SetQueue(uint32_t queue, int socket_fd);
  // Frames to this address may be taken. Before the first call none are.
  Status Open(const MacAddress& own);
  // No frame is taken any more.
  void Shut();

 private:
  InsideProgram() = default;
  UniqueFd sockets_;
  UniqueFd settings_;
  UniqueFd program_;
  UniqueFd link_;
};

}  // namespace cygnet
