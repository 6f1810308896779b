#include "control/socket_policy_control.h"

#include <algorithm>
#include <set>
#include <string>

#include "base/log.h"
#include "control/policy_view.h"
#include "net/ip_protocol.h"

namespace cygnet {
namespace {

constexpr std::array<PolicyDirection, 2> kDirections{PolicyDirection::kIn, PolicyDirection::kOut};

std::size_t At(PolicyDirection direction) { return static_cast<std::size_t>(direction); }

// Compares what a client may set in a policy. The index is excluded: it is always chosen here.
bool SameWish(const PolicySpec& a, const PolicySpec& b) {
  return a.selector == b.selector && a.priority == b.priority && a.action == b.action &&
         a.flags == b.flags && a.limits == b.limits;
}

bool ByPort(const HostSocket& a, const HostSocket& b) {
  return a.ends.local_port < b.ends.local_port;
}

// A user other than root and the owner, of a socket whose packets cannot be told from the owner's.
// `all`: of one protocol, by port.
std::optional<uint32_t> StrangerTo(const HostSocket& own, const std::vector<HostSocket>& all) {
  constexpr uint32_t kRoot = 0;
  const auto [first, last] = std::equal_range(all.begin(), all.end(), own, ByPort);
  const auto stranger = std::find_if(first, last, [&own](const HostSocket& other) {
    return other.uid != own.uid && other.uid != kRoot;
  });
  return stranger == last ? std::nullopt : std::optional(stranger->uid);
}

void Show(const SocketEnds& ends, std::optional<uint32_t> stranger) {
  const std::string port = "socket policies of port " + std::to_string(ends.local_port);
  if (!stranger) {
    Log(LogLevel::kInfo, port + ": no longer shared with another user");
    return;
  }
  Log(LogLevel::kWarning,
      port + ": those that allow are off while a socket of uid " + std::to_string(*stranger) +
          " shares it, because their packets cannot be told apart: close that socket");
}

Error Refused(const std::string& why) {
  Log(LogLevel::kWarning, "socket policy refused: " + why);
  return MakeError(Errc::kNotSupported, why);
}

}  // namespace

// Refuses policies that could not be enforced.
Status SocketPolicyControl::Check(const SocketPolicyChange& change) const {
  if (change.proto != kProtoUdp && change.proto != kProtoTcp) {
    return Refused(
        "the socket is neither UDP nor TCP, and the kernel does not report when it ends");
  }
  if (!change.spec) return {};
  if (change.spec->action == PolicyAction::kAllow && !change.spec->templates.empty()) {
    return Refused("socket policies with templates are not supported");
  }
  if (sockets_ == nullptr && change.spec->action == PolicyAction::kBlock) {
    return Refused("the kernel does not report the addresses of sockets");
  }
  return {};
}

// Drops sockets without a port, whose policies have no effect. Their owner reports again when they
// get one.
bool SocketPolicyControl::MakeRoom() {
  if (by_cookie_.size() < kMaxSockets) return true;
  const auto idle = std::find_if(by_cookie_.begin(), by_cookie_.end(),
                                 [](const auto& entry) { return !entry.second.ends.has_value(); });
  if (idle == by_cookie_.end()) return false;
  Remove(idle);
  return true;
}

std::shared_ptr<Policy> SocketPolicyControl::MakePolicy(PolicySpec spec) {
  // Numbered as in Linux: from the SPD's counter, with direction values after its three.
  spec.index = path_.spd.NewIndex(kPolicyDirections + static_cast<uint32_t>(spec.direction));
  spec.of_socket = true;
  std::shared_ptr<Policy> policy(new Policy);
  policy->spec = std::move(spec);
  policy->add_time = clock_.WallSeconds();
  policy->number = next_number_++;
  return policy;
}

Status SocketPolicyControl::Change(SocketPolicyChange change) {
  CYGNET_RETURN_IF_ERROR(Check(change));
  if (sockets_ == nullptr) return {};  // no effect: nothing passes that the SPD does not allow
  auto at = by_cookie_.find(change.cookie);
  if (!change.spec) {
    if (at == by_cookie_.end()) return {};
    if (change.retold) {
      (void)Look(&at->second, change.cookie, change.port);
    } else {
      Remove(at);
    }
    return {};
  }
  if (at == by_cookie_.end()) {
    if (!MakeRoom()) return MakeError(Errc::kNoSpace, "too many sockets have policies");
    at = by_cookie_.try_emplace(change.cookie).first;
    at->second.family = change.family;
    at->second.proto = change.proto;
  }
  const std::size_t direction = At(change.spec->direction);
  std::shared_ptr<Policy>& policy = at->second.policies[direction];
  if (!change.retold || policy == nullptr || !SameWish(policy->spec, *change.spec)) {
    policy = MakePolicy(*std::move(change.spec));
    Install(&at->second, direction);
  }
  (void)Look(&at->second, change.cookie, change.port);
  return {};
}

// Inserts the new one first, so that one of the two is always in force.
void SocketPolicyControl::Install(Socket* socket, std::size_t direction) {
  std::shared_ptr<const SocketPolicy>& installed = socket->installed[direction];
  const std::shared_ptr<const SocketPolicy> old = std::move(installed);
  installed = nullptr;
  const Policy* const wish = socket->policies[direction].get();
  const bool off = wish != nullptr && socket->stranger && wish->spec.action == PolicyAction::kAllow;
  if (socket->ends && wish != nullptr && !off) {
    installed = std::make_shared<const SocketPolicy>(
        SocketPolicy{.ends = *socket->ends, .policy = socket->policies[direction]});
    path_.socket_policies.Insert(installed.get());
  }
  if (old != nullptr) path_.socket_policies.Remove(old);
  if (old != nullptr || installed != nullptr) path_.BumpGeneration();
}

void SocketPolicyControl::Place(Socket* socket, const std::optional<SocketEnds>& ends,
                                std::optional<uint32_t> stranger) {
  if (socket->ends == ends && socket->stranger == stranger) return;
  if (ends && socket->stranger != stranger) Show(*ends, stranger);
  socket->ends = ends;
  socket->stranger = stranger;
  for (const PolicyDirection direction : kDirections) Install(socket, At(direction));
}

void SocketPolicyControl::Remove(Sockets::iterator at) {
  Place(&at->second, std::nullopt);
  by_cookie_.erase(at);
}

void SocketPolicyControl::RemoveAll() {
  while (!by_cookie_.empty()) Remove(by_cookie_.begin());
}

std::optional<std::vector<HostSocket>> SocketPolicyControl::AllOf(uint8_t proto,
                                                                  uint16_t port) const {
  auto all = sockets_->ListBoth(proto, port);
  if (all) std::stable_sort(all->begin(), all->end(), ByPort);
  return all;
}

// The owner reports that the socket has this port. True: the kernel confirms it.
bool SocketPolicyControl::Look(Socket* socket, uint64_t cookie, uint16_t port) {
  if (port == 0) return false;
  const auto all = AllOf(socket->proto, port);
  if (!all) return false;
  const auto found = std::find_if(all->begin(), all->end(),
                                  [&](const HostSocket& s) { return s.cookie == cookie; });
  if (found == all->end()) return false;
  Place(socket, found->ends, StrangerTo(*found, *all));
  return true;
}

// A long list may miss a socket while others come and go, so a missing one is queried alone. A
// socket that is not found has lost its port, and its policies have no effect. Its end is a
// separate event.
void SocketPolicyControl::LookAtAll(bool some_have_ended) {
  std::set<uint8_t> protos;
  for (const auto& [cookie, socket] : by_cookie_) protos.insert(socket.proto);
  struct Seen {
    SocketEnds ends;
    std::optional<uint32_t> stranger;
  };
  std::map<uint64_t, Seen> found;
  for (const uint8_t proto : protos) {
    const auto all = AllOf(proto, 0);
    if (!all) continue;
    for (const HostSocket& socket : *all) {
      if (!by_cookie_.contains(socket.cookie)) continue;
      found.try_emplace(socket.cookie, Seen{socket.ends, StrangerTo(socket, *all)});
    }
  }
  for (auto at = by_cookie_.begin(); at != by_cookie_.end();) {
    const auto next = std::next(at);
    const auto seen = found.find(at->first);
    if (seen != found.end()) {
      Place(&at->second, seen->second.ends, seen->second.stranger);
    } else if (at->second.ends && !Look(&at->second, at->first, at->second.ends->local_port)) {
      if (some_have_ended) {
        Remove(at);
      } else {
        Place(&at->second, std::nullopt);
      }
    }
    at = next;
  }
}

void SocketPolicyControl::Tick() {
  if (!by_cookie_.empty()) LookAtAll(false);
}

void SocketPolicyControl::OnEnded() {
  if (sockets_ == nullptr) return;
  const EndedSockets ended = sockets_->DrainEnded();
  for (const uint64_t cookie : ended.cookies) {
    if (const auto at = by_cookie_.find(cookie); at != by_cookie_.end()) Remove(at);
  }
  if (ended.lost) LookAtAll(true);
}

std::vector<PolicyView> SocketPolicyControl::List() const {
  std::vector<std::shared_ptr<Policy>> all;
  for (const auto& [cookie, socket] : by_cookie_) {
    for (const auto& policy : socket.policies) {
      if (policy != nullptr) all.push_back(policy);
    }
  }
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a->number > b->number; });
  std::vector<PolicyView> views;
  for (const auto& policy : all) views.push_back(ViewOf(*policy));
  return views;
}

std::array<uint32_t, 2> SocketPolicyControl::Counts() const {
  std::array<uint32_t, 2> counts{};
  for (const auto& [cookie, socket] : by_cookie_) {
    for (const PolicyDirection direction : kDirections) {
      counts[At(direction)] += socket.policies[At(direction)] != nullptr ? 1 : 0;
    }
  }
  return counts;
}

}  // namespace cygnet
