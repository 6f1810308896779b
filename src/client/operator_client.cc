#include "client/operator_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "base/errno_error.h"

namespace cygnet {
namespace {

constexpr int kTimeoutSeconds = 10;
constexpr std::size_t kMaxDatagram = 512u
                                     << 10;  // more than a super-packet and than the kernel accepts

Error WentAway() {
  return MakeError(Errc::kIo, "cygnetd closed the connection before its reply was complete");
}

}  // namespace

std::string WhyNotMet(const rendezvous::Meeting& meeting) {
  using rendezvous::Outcome;
  std::string text = rendezvous::Explain(meeting.outcome);
  if (meeting.outcome == Outcome::kFailed || meeting.outcome == Outcome::kNoTable) {
    text += std::string(": ") + std::strerror(meeting.error);
  }
  return text;
}

Result<OperatorClient> OperatorClient::Connect() {
  using rendezvous::Outcome;
  const auto met = rendezvous::Meet(rendezvous::Service::kOperator, kTimeoutSeconds * 1000);
  if (met.outcome == Outcome::kMet) return Adopt(UniqueFd(met.fd));
  const Errc code = met.outcome == Outcome::kNobody         ? Errc::kNoEntry
                    : met.outcome == Outcome::kNotPermitted ? Errc::kPermission
                                                            : Errc::kIo;
  return MakeError(code, WhyNotMet(met));
}

Result<OperatorClient> OperatorClient::Adopt(UniqueFd fd) {
  const timeval timeout{.tv_sec = kTimeoutSeconds, .tv_usec = 0};
  if (setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0 ||
      setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0) {
    return ErrnoError("setsockopt");
  }
  return OperatorClient(std::move(fd));
}

Status OperatorClient::Send(const Json& request) {
  const std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (send(fd_.get(), text.data(), text.size(), MSG_NOSIGNAL) >= 0) return {};
  // The daemon may have sent an error before it closed the connection: let Receive() read it.
  if (errno == EPIPE || errno == ECONNRESET) return {};
  return ErrnoError("cannot send to cygnetd");
}

Result<std::string> OperatorClient::Receive() {
  thread_local std::string
      buffer;  // to clear one for each datagram would take longer than the rest
  buffer.resize(kMaxDatagram);
  ssize_t got = 0;
  do {
    got = recv(fd_.get(), buffer.data(), buffer.size(), MSG_TRUNC);
  } while (got < 0 && errno == EINTR);
  if (got < 0 && errno == EAGAIN) return MakeError(Errc::kIo, "cygnetd does not answer");
  if (got < 0 && errno == ECONNRESET) return std::string();
  if (got < 0) return ErrnoError("cannot receive from cygnetd");
  if (static_cast<std::size_t>(got) > buffer.size()) {
    return MakeError(Errc::kIo, "cygnetd sent an oversized datagram");
  }
  return buffer.substr(0, static_cast<std::size_t>(got));
}

Result<Json> OperatorClient::ReceiveJson() {
  const Result<std::string> text = Receive();
  if (!text) return text.error();
  if (text->empty()) return WentAway();
  Json json = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object())
    return MakeError(Errc::kIo, "unexpected reply from cygnetd (not a JSON object)");
  if (const auto error = json.find("error"); error != json.end()) {
    return MakeError(Errc::kIo, error->is_string() ? error->get<std::string>() : error->dump());
  }
  return json;
}

Status OperatorClient::ForEachItem(const Json& request,
                                   const std::function<void(const Json&)>& show) {
  CYGNET_RETURN_IF_ERROR(Send(request));
  std::optional<Json> item;  // kept until complete: more of it may follow
  for (;;) {
    Result<Json> reply = ReceiveJson();
    if (item && (!reply || !reply->contains("append"))) {
      show(*item);
      item.reset();
    }
    if (!reply) return reply.error();
    if (reply->contains("done")) return {};
    if (reply->contains("item")) {
      item = std::move((*reply)["item"]);
    } else if (item && reply->contains("append")) {
      for (auto& [field, more] : (*reply)["append"].items()) {
        for (Json& element : more) (*item)[field].push_back(std::move(element));
      }
    }
  }
}

Status OperatorClient::StartStream(const Json& request) {
  CYGNET_RETURN_IF_ERROR(Send(request));
  const Result<Json> reply = ReceiveJson();
  if (!reply) return reply.error();
  // From now on the daemon may be silent for any time.
  const timeval forever{};
  if (setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof(forever)) != 0) {
    return ErrnoError("setsockopt");
  }
  return {};
}

}  // namespace cygnet
