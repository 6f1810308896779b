// OperatorClient: the command's end of the operator socket (daemon/operator_server.h has the
// protocol).
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/rendezvous.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

// Why there is no connection to cygnetd, for people.
std::string WhyNotMet(const rendezvous::Meeting& meeting);

class OperatorClient;
// OperatorClient::Connect, unless a test plays the daemon.
using OperatorConnector = std::function<Result<OperatorClient>()>;

class OperatorClient {
 public:
  // To the cygnetd of this network namespace, which has proven that it is one. kNoEntry: there is
  // none; kPermission: it would not answer us.
  static Result<OperatorClient> Connect();
  // Over a connection that is there.
  static Result<OperatorClient> Adopt(UniqueFd fd);

  // Calls `show` with each item of the reply, as they come. Items shown before an error stay shown.
  Status ForEachItem(const Json& request, const std::function<void(const Json&)>& show);

  // Asks, and returns when the daemon says that raw datagrams follow.
  Status StartStream(const Json& request);
  // The next datagram; empty at the end. Waits.
  Result<std::string> Receive();

  int fd() const { return fd_.get(); }

 private:
  explicit OperatorClient(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Send(const Json& request);
  Result<Json> ReceiveJson();

  UniqueFd fd_;
};

}  // namespace cygnet
