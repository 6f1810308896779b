// The part of a client's request that an audit records: changes of protection, and keys that were
// shown. Taken from the parsed request, so that it is what was done, whatever the bytes look like.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/result.h"
#include "policy/socket_policies.h"
#include "xfrm/request.h"

namespace cygnet {

// The process that connected, as the daemon's namespaces number it.
struct PeerId {
  uint32_t uid = ~uint32_t{0};
  int32_t pid = 0;
};
PeerId PeerOf(int fd);

enum class ClientAct : uint8_t {
  kPolicy,      // a policy was added, changed or deleted
  kProtection,  // defaults, a flush, a migration
  kKeys,        // keys were shown
};

// What a client did. The text takes longer to make than many a request to execute, so it is made
// only if the audit has room for it.
struct ClientRecord {
  ClientAct act = ClientAct::kPolicy;
  std::function<std::string()> text{};
};

// nullopt: an audit does not record this request. The record is valid as long as its argument.
std::optional<ClientRecord> RecordOf(const xfrm::Request& request);
ClientRecord RecordOf(const SocketPolicyChange& change);

}  // namespace cygnet
