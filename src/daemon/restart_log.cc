#include "daemon/restart_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <span>
#include <tuple>
#include <utility>
#include <variant>

#include "base/log.h"
#include "daemon/text_file.h"
#include "netlink/message.h"
#include "xfrm/event_message.h"
#include "xfrm/info_message.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_message.h"

namespace cygnet {
namespace {

constexpr std::size_t kRewriteBytes = std::size_t{1} << 20;

xfrm::PolicyImage ImageOf(const PolicyView& view) { return {view.spec, view.usage}; }

using SaKey = std::tuple<std::array<uint8_t, 16>, uint32_t, uint8_t, IpFamily, uint32_t>;
SaKey KeyOf(const SaId& id) { return {id.daddr.bytes, id.spi.value, id.proto, id.family, id.mark}; }

// Reads the stream again, one message after the other.
class Replay {
 public:
  explicit Replay(XfrmControl& control) : control_(control) {}

  Status Take(const netlink::MessageView& message) {
    netlink::ExtendedAck ack;
    if (!xfrm::IsKnownType(message.header.nlmsg_type)) return MakeError(Errc::kInvalid);
    const auto request = xfrm::ParseRequest(message, ack);
    if (!request) return request.error();
    switch (request->type) {
      case xfrm::RequestType::kUpdPolicy:
        return TakePolicy(*request);
      case xfrm::RequestType::kDelPolicy:
        return DropPolicy(*request);
      case xfrm::RequestType::kFlushPolicy:
        return FlushPolicies(*request);
      case xfrm::RequestType::kGetDefault:
        control_.SetDefaults(xfrm::DecodeDefaults(*request), {});
        return {};
      case xfrm::RequestType::kExpire:
        TakeSa(xfrm::DecodeExpire(*request).id, message);
        return {};
      case xfrm::RequestType::kDelSa:
        return DropSa(*request);
      case xfrm::RequestType::kFlushSa:
        FlushSas(xfrm::DecodeFlushSa(*request));
        return {};
      default:
        return MakeError(Errc::kInvalid);
    }
  }

  std::vector<LostSa> TakeLost() {
    std::vector<LostSa> lost;
    for (auto& [key, sa] : lost_) lost.push_back(std::move(sa));
    return lost;
  }

 private:
  Status TakePolicy(const xfrm::Request& request) {
    auto policy = xfrm::DecodePolicy(request);
    if (!policy) return policy.error();
    return control_.UpdatePolicy(*std::move(policy), {});
  }
  Status DropPolicy(const xfrm::Request& request) {
    const auto id = xfrm::DecodePolicyId(request);
    if (!id) return id.error();
    return control_.DeletePolicy(*id, {});
  }
  Status FlushPolicies(const xfrm::Request& request) {
    const auto type = xfrm::DecodeFlushPolicy(request);
    if (!type) return type.error();
    control_.FlushPolicies(*type, {});
    return {};
  }
  void TakeSa(const SaId& id, const netlink::MessageView& message) {
    lost_[KeyOf(id)] = {.id = id, .expiry = {message.bytes.begin(), message.bytes.end()}};
  }
  Status DropSa(const xfrm::Request& request) {
    const auto id = xfrm::DecodeSaId(request);
    if (!id) return id.error();
    lost_.erase(KeyOf(*id));
    return {};
  }
  void FlushSas(uint8_t proto) {
    std::erase_if(lost_, [&](const auto& entry) {
      return proto == 0 || proto == 255 || entry.second.id.proto == proto;
    });
  }

  XfrmControl& control_;
  std::map<SaKey, LostSa> lost_;
};

Error SystemError(const std::string& path) {
  return MakeError(Errc::kIo, path + ": " + std::strerror(errno));
}

}  // namespace

// What changes, told to the file.
struct RestartLog::Recorder {
  RestartLog& log;

  void operator()(const SaAdded& e) const { log.RecordSa(*e.sa); }
  void operator()(const SaUpdated& e) const { log.RecordSa(*e.sa); }
  void operator()(const SaDeleted& e) const { log.ForgetSa(*e.sa); }
  void operator()(const SaExpired& e) const {
    if (e.hard) log.ForgetSa(*e.sa);
  }
  void operator()(const SaFlushed& e) const { log.Append(xfrm::EncodeSaFlushed(e.proto, {})); }
  void operator()(const PolicyAdded& e) const { Policy(e.policy); }
  void operator()(const PolicyUpdated& e) const { Policy(e.policy); }
  void operator()(const PolicyDeleted& e) const {
    log.Append(xfrm::EncodePolicyDeleted(ImageOf(e.policy), e.id, {}));
  }
  void operator()(const PolicyExpired& e) const {
    if (e.hard) {
      log.Append(xfrm::EncodePolicyDeleted(ImageOf(e.policy), IdOf(e.policy.spec), {}));
    }
  }
  void operator()(const PolicyFlushed& e) const {
    log.Append(xfrm::EncodePolicyFlushed(e.type, {}));
  }
  void operator()(const DefaultsChanged& e) const {
    log.Append(xfrm::EncodeDefaults(e.actions, {}));
  }
  void operator()(const Acquire&) const {}
  void operator()(const SaAevent&) const {}
  void operator()(const SaMapping&) const {}
  void operator()(const AcquireRequested&) const {}
  // Policies and SAs changed together: written anew as they are now.
  void operator()(const Migrated&) const { log.bytes_ = log.rewrite_at_ + 1; }

  void Policy(const PolicyView& policy) const {
    log.Append(xfrm::EncodePolicyUpdated(ImageOf(policy), {}));
  }
};

void RestartLog::OnControlEvent(const ControlEvent& event, const RequestOrigin& origin) {
  if (file_.valid()) {
    std::visit(Recorder{*this}, event);
    if (bytes_ > rewrite_at_) {
      if (const Status status = Rewrite({}); !status) {
        Log(LogLevel::kError, status.error().message);
      }
    }
  }
  next_.OnControlEvent(event, origin);
}

void RestartLog::RecordSa(const Sa& sa) {
  Append(xfrm::EncodeSaExpired(control_->Inspect(sa), false));
}

void RestartLog::ForgetSa(const Sa& sa) { Append(xfrm::EncodeSaGone(*control_->Inspect(sa).spec)); }

Result<std::vector<LostSa>> RestartLog::Open(XfrmControl& control) {
  const auto text = ReadTextFile(path_);
  if (!text && text.error().code != Errc::kNoEntry) return text.error();
  Replay replay(control);
  std::size_t refused = 0;
  if (text) {
    std::span<const uint8_t> rest{reinterpret_cast<const uint8_t*>(text->data()), text->size()};
    while (const auto message = netlink::NextMessage(rest)) {
      if (!replay.Take(*message)) ++refused;
    }
    // What a daemon that was killed had not written to its end stays behind.
    if (!rest.empty() || refused > 0) {
      Log(LogLevel::kWarning, path_ + ": not all of it could be understood");
    }
  }
  std::vector<LostSa> lost = replay.TakeLost();
  control_ = &control;
  CYGNET_RETURN_IF_ERROR(Rewrite(lost));
  SayWhatCameBack(lost.size());
  return lost;
}

// A client that took a policy away while no daemon was there may not have been heard: where it
// protects or blocks this is the safe side, where it lets pass it is not.
void RestartLog::SayWhatCameBack(std::size_t lost) const {
  const auto policies = control_->ListPolicies();
  const auto in_clear = std::count_if(policies.begin(), policies.end(), [](const PolicyView& p) {
    return p.spec.action == PolicyAction::kAllow && p.spec.templates.empty();
  });
  Log(LogLevel::kInfo, "restart file: " + std::to_string(policies.size()) + " policies are back, " +
                           std::to_string(in_clear) + " of them let traffic pass in clear; " +
                           std::to_string(lost) + " SAs are lost");
}

// SAs that were lost stay in the file: the daemon may go again before anybody was told of them.
Status RestartLog::Rewrite(const std::vector<LostSa>& lost) {
  const std::string fresh = path_ + ".new";
  UniqueFd file(open(fresh.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!file.valid()) return SystemError(fresh);
  file_ = std::move(file);
  bytes_ = 0;
  rewrite_at_ = ~std::size_t{0};
  for (const LostSa& sa : lost) Append(sa.expiry);
  for (const auto& sa : control_->ListSas()) {
    if (control_->Inspect(*sa).state != SaState::kLarval) RecordSa(*sa);
  }
  auto policies = control_->ListPolicies();
  std::reverse(policies.begin(), policies.end());  // the oldest first: of equals it counts
  for (const PolicyView& policy : policies) Append(xfrm::EncodePolicyUpdated(ImageOf(policy), {}));
  Append(xfrm::EncodeDefaults(control_->GetDefaults(), {}));
  if (!file_.valid()) return MakeError(Errc::kIo, fresh + ": cannot be written");
  if (rename(fresh.c_str(), path_.c_str()) != 0) return SystemError(path_);
  rewrite_at_ = std::max(kRewriteBytes, 4 * bytes_);
  return {};
}

void RestartLog::Append(const netlink::Buffer& message) {
  if (!file_.valid()) return;
  netlink::Buffer padded = message;
  padded.resize(netlink::Align(message.size()));
  if (write(file_.get(), padded.data(), padded.size()) != static_cast<ssize_t>(padded.size())) {
    Log(LogLevel::kError, path_ + ": " + std::strerror(errno) +
                              "; who starts next will not know of what is there now");
    file_ = UniqueFd();
    return;
  }
  bytes_ += padded.size();
}

}  // namespace cygnet
