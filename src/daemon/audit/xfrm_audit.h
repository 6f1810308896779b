// What an audit wants to know of a client's request: what turned protection on or off, and who was
// shown keys. Read from the parsed request: however its bytes were laid out, this is what was done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "policy/socket_policies.h"
#include "xfrm/request.h"

namespace cygnet {

// Who sent it, as the daemon's namespaces number them: the process that connected.
struct PeerId {
  uint32_t uid = ~uint32_t{0};
  int32_t pid = 0;
};
PeerId PeerOf(int fd);

enum class ClientAct : uint8_t {
  kPolicy,      // a policy came, changed or went
  kProtection,  // defaults, a flush, a migration
  kKeys,        // keys were shown
};

struct ClientRecord {
  ClientAct act = ClientAct::kPolicy;
  std::string text{};
};

// nullopt: nothing that an audit wants to know of.
std::optional<ClientRecord> RecordOf(const xfrm::Request& request);
ClientRecord RecordOf(const SocketPolicyChange& change);

}  // namespace cygnet
