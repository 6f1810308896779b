// OperatorClient: the command's end of the operator socket (protocol: daemon/operator/
// operator_server.h).
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/rendezvous.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

// Why there is no connection to cygnetd, as an error text.
std::string WhyNotMet(const rendezvous::Meeting& meeting);

class OperatorClient;
// OperatorClient::Connect, or a replacement in tests.
using OperatorConnector = std::function<Result<OperatorClient>()>;

class OperatorClient {
 public:
  // Connects to the cygnetd of this network namespace, which has proven its identity. kNoEntry: no
  // cygnetd runs here; kPermission: it refused us.
  static Result<OperatorClient> Connect();
  // Uses an existing connection.
  static Result<OperatorClient> Adopt(UniqueFd fd);

  // Calls `show` with each item of the reply as it arrives, also for items before an error.
  Status ForEachItem(const Json& request, const std::function<void(const Json&)>& show);

  // Sends the request and returns when the daemon has announced raw datagrams.
  Status StartStream(const Json& request);
  // Waits for the next datagram; empty at the end.
  Result<std::string> Receive();

  int fd() const { return fd_.get(); }

 private:
  explicit OperatorClient(UniqueFd fd) : fd_(std::move(fd)) {}
  Status Send(const Json& request);
  Result<Json> ReceiveJson();

  UniqueFd fd_;
};

}  // namespace cygnet
