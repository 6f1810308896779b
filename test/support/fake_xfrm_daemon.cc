// One thread: poll, peek at a request, answer it, consume it.
#include "support/fake_xfrm_daemon.h"

#include <arpa/inet.h>
#include <linux/netlink.h>
#include <linux/xfrm.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include "netlink/unix_transport.h"

namespace cygnet::shim {
namespace {

// Message types that the kernel knows, too.
constexpr uint16_t kNewSa = 0x10;
constexpr uint16_t kGetSa = 0x12;
constexpr uint16_t kNewPolicy = 0x13;
constexpr uint16_t kFlushSa = 0x1c;
constexpr uint32_t kPolicyGroup = 4;

void SendMessage(int fd, nlmsghdr header, const void* payload, size_t size) {
  std::vector<uint8_t> bytes(sizeof header + size);
  header.nlmsg_len = static_cast<uint32_t>(bytes.size());
  memcpy(bytes.data(), &header, sizeof header);
  if (size > 0) {
    memcpy(bytes.data() + sizeof header, payload, size);
  }
  send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace

struct FakeDaemon::Request {
  nlmsghdr header{};
  std::vector<uint8_t> payload;

  uint32_t number() const {
    uint32_t value = 0;
    memcpy(&value, payload.data(), std::min(payload.size(), sizeof value));
    return value;
  }
  nlmsghdr ReplyHeader(uint16_t type, uint16_t flags, uint32_t port_id) const {
    return {.nlmsg_len = 0,
            .nlmsg_type = type,
            .nlmsg_flags = flags,
            .nlmsg_seq = header.nlmsg_seq,
            .nlmsg_pid = port_id};
  }
};

FakeDaemon::FakeDaemon() {
  if (pipe(wake_) != 0 || !StandAtTheDoor()) {
    abort();
  }
  thread_ = std::thread([this] { Run(); });
}

FakeDaemon::~FakeDaemon() {
  close(wake_[1]);
  thread_.join();
  close(wake_[0]);
}

bool FakeDaemon::StandAtTheDoor() {
  auto doorstep = Doorstep::Claim();
  if (!doorstep) {
    fprintf(stderr, "fake daemon: %s\n", doorstep.error().message.c_str());
    return false;
  }
  doorstep_ = std::move(*doorstep);
  return true;
}

void FakeDaemon::CloseAll() {
  doorstep_.reset();
  for (const Client& client : clients_) {
    close(client.fd);
  }
  clients_.clear();
}

void FakeDaemon::Run() {
  for (;;) {
    std::vector<pollfd> entries{{wake_[0], POLLIN, 0}, {doorstep_->fd(), POLLIN, 0}};
    for (const Client& client : clients_) {
      entries.push_back({client.fd, POLLIN, 0});
    }
    poll(entries.data(), entries.size(), -1);
    if (entries[0].revents != 0) {
      break;
    }
    for (size_t i = clients_.size(); i-- > 0;) {
      if (entries[i + 2].revents != 0 && !Serve(clients_[i])) {
        close(clients_[i].fd);
        clients_.erase(clients_.begin() + static_cast<ptrdiff_t>(i));
      }
    }
    if (entries[1].revents != 0) {
      while (auto visitor = doorstep_->Take()) {
        clients_.push_back({.fd = visitor->fd.Release()});
      }
    }
    if (pause_ms_ >= 0) {
      CloseAll();
      poll(entries.data(), 1, std::exchange(pause_ms_, -1));
      StandAtTheDoor();
    }
  }
  CloseAll();
}

// As cygnetd answers an operator who asks for the statistics of a port.
void FakeDaemon::AnswerOperator(int fd) const {
  std::vector<std::string> lines;
  for (uint32_t i = 0; i < operator_lines_; ++i) {
    const std::string number = std::to_string(i);
    lines.push_back(R"({"item":{"name":"ipsec_)" + number + R"(","value":1)" + number + "}}");
  }
  lines.emplace_back(operator_error_ ? R"({"error":"no"})" : R"({"done":true})");
  for (const std::string& line : lines) {
    send(fd, line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  }
}

bool FakeDaemon::Serve(Client& client) {
  uint8_t buffer[65536];
  const ssize_t length = recv(client.fd, buffer, sizeof buffer, MSG_PEEK);
  if (length <= 0) {
    return false;
  }
  if (buffer[0] == '{') {
    recv(client.fd, buffer, sizeof buffer, 0);
    AnswerOperator(client.fd);
    return true;
  }
  Request request;
  const auto size = static_cast<size_t>(length);
  memcpy(&request.header, buffer, std::min(size, sizeof request.header));
  if (size > sizeof request.header) {
    request.payload.assign(buffer + sizeof request.header, buffer + size);
  }
  const Verdict verdict = Execute(client, request);
  if (verdict == Verdict::kHangUpUnread) {
    return false;
  }
  recv(client.fd, buffer, sizeof buffer, 0);
  return verdict == Verdict::kConsume;
}

FakeDaemon::Verdict FakeDaemon::Execute(Client& client, const Request& request) {
  const uint16_t type = request.header.nlmsg_type;
  switch (type) {
    case transport::kBind:
    case transport::kOption:
      TakeControl(client, request);
      return Verdict::kConsume;
    case transport::kSocketPolicy:
      TakePolicy(client, request);
      return Verdict::kConsume;
    case fake::kPolicyReport:
      SendMessage(client.fd, request.ReplyHeader(type, 0, client.port_id), &policy_told_,
                  sizeof policy_told_);
      policy_told_ = {};
      return Verdict::kConsume;
    case fake::kRefusePolicies:
      policy_refusal_ = static_cast<int>(request.number());
      break;
    case fake::kStatistics:
      operator_lines_ = request.number() & ~fake::kThenError;
      operator_error_ = (request.number() & fake::kThenError) != 0;
      break;
    case fake::kSlowAnswer:
      std::this_thread::sleep_for(std::chrono::microseconds(request.number()));
      break;
    case fake::kEvent:
      Multicast(request.number(), request);
      break;
    case fake::kOverrun:
      SendMessage(client.fd, request.ReplyHeader(transport::kOverrun, 0, 0), nullptr, 0);
      break;
    case fake::kReport: {
      const fake::Report report{client.port_id, client.groups, client.options, client.controls};
      SendMessage(client.fd, request.ReplyHeader(type, 0, client.port_id), &report, sizeof report);
      return Verdict::kConsume;
    }
    case fake::kRestart:
      pause_ms_ = static_cast<int>(request.number());
      break;
    case fake::kDieUnread:
      if (!std::exchange(died_unread_, true)) {
        return Verdict::kHangUpUnread;
      }
      break;
    case fake::kHalfDump:
      SendMessage(client.fd, request.ReplyHeader(kNewSa, NLM_F_MULTI, client.port_id), &type, 2);
      return Verdict::kConsumeAndHangUp;
    case fake::kStayAway:
      pause_ms_ = static_cast<int>(request.number());
      return Verdict::kHangUpUnread;
    default:
      return ExecuteNative(client, request);
  }
  nlmsgerr answer{.error = 0, .msg = request.header};
  SendMessage(client.fd, request.ReplyHeader(NLMSG_ERROR, NLM_F_CAPPED, client.port_id), &answer,
              sizeof answer);
  return Verdict::kConsume;
}

FakeDaemon::Verdict FakeDaemon::ExecuteNative(Client& client, const Request& request) {
  const uint16_t type = request.header.nlmsg_type;
  if (type == kGetSa && (request.header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP) {
    AnswerDump(client, request);
    return Verdict::kConsume;
  }
  if (type == kNewPolicy) {
    Multicast(kPolicyGroup, request);
  }
  if (type == kNewPolicy || type == kFlushSa || type == fake::kAnswer) {
    const nlmsgerr answer{.error = 0, .msg = request.header};
    SendMessage(client.fd, request.ReplyHeader(NLMSG_ERROR, NLM_F_CAPPED, client.port_id), &answer,
                sizeof answer);
    return Verdict::kConsume;
  }
  // As the kernel refuses an unknown type: the whole request is echoed.
  std::vector<uint8_t> echo(sizeof(nlmsgerr) + request.payload.size());
  const nlmsgerr answer{.error = -EINVAL, .msg = request.header};
  memcpy(echo.data(), &answer, sizeof answer);
  std::copy(request.payload.begin(), request.payload.end(), echo.begin() + sizeof answer);
  SendMessage(client.fd, request.ReplyHeader(NLMSG_ERROR, 0, client.port_id), echo.data(),
              echo.size());
  return Verdict::kConsume;
}

void FakeDaemon::TakeControl(Client& client, const Request& request) {
  ++client.controls;
  if (request.header.nlmsg_type == transport::kBind) {
    transport::BindPayload bind{};
    memcpy(&bind, request.payload.data(), sizeof bind);
    client.port_id = bind.port_id;
    client.groups = bind.groups;
    return;
  }
  transport::OptionPayload option{};
  memcpy(&option, request.payload.data(), sizeof option);
  if (option.option == transport::kReceiveRoom) return;  // not an option of the socket
  const uint32_t bit = 1U << option.option;
  client.options = option.value != 0 ? client.options | bit : client.options & ~bit;
}

void FakeDaemon::TakePolicy(const Client& client, const Request& request) {
  transport::SocketPolicyPayload head{};
  memcpy(&head, request.payload.data(), std::min(request.payload.size(), sizeof head));
  policy_told_ = {.cookie = head.cookie,
                  .port = head.port,
                  .flags = head.flags,
                  .value_bytes = static_cast<uint32_t>(request.payload.size() - sizeof head),
                  .times = policy_told_.times + 1,
                  .zero = 0};
  const nlmsgerr answer{.error = -policy_refusal_, .msg = request.header};
  SendMessage(client.fd, request.ReplyHeader(NLMSG_ERROR, NLM_F_CAPPED, 0), &answer, sizeof answer);
}

void FakeDaemon::Multicast(uint32_t group, const Request& request) {
  const bool is_native = request.header.nlmsg_type == kNewPolicy;
  nlmsghdr header = request.ReplyHeader(is_native ? kNewPolicy : fake::kEventMessage, 0, 0);
  header.nlmsg_pid = request.header.nlmsg_pid;
  header.nlmsg_flags = static_cast<uint16_t>(group << transport::kGroupShift);
  for (const Client& client : clients_) {
    if ((client.groups & 1U << (group - 1)) != 0) {
      SendMessage(client.fd, header, request.payload.data(), request.payload.size());
    }
  }
}

void FakeDaemon::AnswerDump(const Client& client, const Request& request) const {
  xfrm_usersa_info info{};
  info.family = AF_INET;
  info.id.proto = IPPROTO_ESP;
  info.id.spi = htonl(0xc0ffee01);
  info.id.daddr.a4 = htonl(0x0a4d0002);
  info.saddr.a4 = htonl(0x0a4d0001);
  info.reqid = 7;
  info.mode = 1;
  SendMessage(client.fd, request.ReplyHeader(kNewSa, NLM_F_MULTI, client.port_id), &info,
              sizeof info);
  const int32_t status = 0;
  SendMessage(client.fd, request.ReplyHeader(NLMSG_DONE, NLM_F_MULTI, client.port_id), &status,
              sizeof status);
}

}  // namespace cygnet::shim
