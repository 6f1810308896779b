// WireGuard rules: while Cygnet owns a wire interface, the host's own stack neither sees what
// arrives there nor sends by it. Otherwise plaintext could reach the host, or leave it, around the
// daemon.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

namespace cygnet {

// An nftables table of family netdev on one interface: everything is dropped but what carries
// Cygnet's socket mark on its way out. AF_PACKET sockets see arriving frames before it.
class WireGuardRules {
 public:
  static Result<std::unique_ptr<WireGuardRules>> Install(const std::string& interface);
  ~WireGuardRules();

 private:
  explicit WireGuardRules(std::string table) : table_(std::move(table)) {}
  const std::string table_;
};

// Addresses on the wire interface itself mean that the host still uses it. Empty: none.
std::string AddressesOn(const std::string& interface);

}  // namespace cygnet
