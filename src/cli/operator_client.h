// OperatorClient: the command's end of the operator socket (daemon/operator_server.h has the
// protocol).
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace cygnet {

using Json = nlohmann::ordered_json;

class OperatorClient {
 public:
  // kNoEntry: no daemon listens in this network namespace. `name`: abstract, without its NUL.
  static Result<OperatorClient> Connect(std::string_view name);

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
