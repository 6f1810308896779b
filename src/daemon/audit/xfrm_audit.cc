#include "daemon/audit/xfrm_audit.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <array>
#include <string_view>

#include "net/selector.h"
#include "xfrm/info_message.h"
#include "xfrm/migrate_message.h"
#include "xfrm/migrate_state_message.h"
#include "xfrm/policy_message.h"
#include "xfrm/sa_message.h"

namespace cygnet {
namespace {

constexpr std::array<std::string_view, kPolicyDirections> kDirections = {"in", "out", "fwd"};

std::string_view Name(PolicyDirection direction) {
  return kDirections[static_cast<std::size_t>(direction)];
}

std::string_view Name(PolicyAction action) {
  return action == PolicyAction::kAllow ? "allow" : "block";
}

std::string TemplateText(const Template& tmpl) {
  return fmt::format(" tmpl {} > {} proto {} reqid {}{}", ToString(tmpl.saddr, tmpl.family),
                     ToString(tmpl.daddr, tmpl.family), tmpl.proto, tmpl.reqid.value,
                     tmpl.optional ? " level use" : "");
}

std::string PolicyText(const PolicySpec& policy) {
  std::string text = fmt::format("dir {} {} action {} priority {}", Name(policy.direction),
                                 ToString(policy.selector), Name(policy.action), policy.priority);
  if (policy.index != 0) text += fmt::format(" index {}", policy.index);
  if (policy.type == PolicyType::kSub) text += " ptype sub";
  if (policy.mark_mask != 0) {
    text += fmt::format(" mark {:#x}/{:#x}", policy.mark_value, policy.mark_mask);
  }
  if (policy.if_id != 0) text += fmt::format(" if_id {:#x}", policy.if_id);
  for (const Template& tmpl : policy.templates) {
    text += TemplateText(tmpl);
  }
  if (policy.templates.empty() && policy.action == PolicyAction::kAllow) text += " (in clear)";
  return text;
}

std::string IdText(const PolicyId& id) {
  return id.index != 0 ? fmt::format("dir {} index {}", Name(id.direction), id.index)
                       : fmt::format("dir {} {}", Name(id.direction), ToString(id.selector));
}

// REQUIRES: the request was executed, so that it can be decoded. Likewise below.
std::string PolicyChange(const xfrm::Request& request, std::string_view verb) {
  const auto policy = xfrm::DecodePolicy(request);
  return policy ? fmt::format("policy {} {}", verb, PolicyText(*policy)) : std::string();
}

std::string Removal(const xfrm::Request& request) {
  const auto id = xfrm::DecodePolicyId(request);
  return id ? "policy delete " + IdText(*id) : std::string();
}

std::string Expiry(const xfrm::Request& request) {
  const auto expire = xfrm::DecodePolicyExpire(request);
  return expire ? "policy expire " + IdText(expire->id) : std::string();
}

bool IsHardExpiry(const xfrm::Request& request) {
  const auto expire = xfrm::DecodePolicyExpire(request);
  return expire && expire->hard;
}

std::string PolicyFlush(const xfrm::Request& request) {
  const auto type = xfrm::DecodeFlushPolicy(request);
  return type && *type == PolicyType::kSub ? "policy flush ptype sub" : "policy flush";
}

std::string Defaults(const xfrm::Request& request) {
  const auto actions = xfrm::DecodeDefaults(request);
  std::string text = "policy setdefault";
  for (std::size_t d = 0; d < actions.size(); ++d) {
    if (actions[d]) text += fmt::format(" {} {}", kDirections[d], Name(*actions[d]));
  }
  return text;
}

std::string Moved(const xfrm::Request& request) {
  const auto migration = xfrm::DecodeMigrate(request);
  if (!migration) return {};
  std::string text =
      fmt::format("migrate dir {} {}", Name(migration->direction), ToString(migration->selector));
  for (const MigrateEntry& entry : migration->entries) {
    text += fmt::format(" {} > {} to {} > {}", ToString(entry.old_saddr, entry.old_family),
                        ToString(entry.old_daddr, entry.old_family),
                        ToString(entry.new_saddr, entry.new_family),
                        ToString(entry.new_daddr, entry.new_family));
  }
  return text;
}

std::string MovedOne(const xfrm::Request& request) {
  const auto migration = xfrm::DecodeMigrateState(request);
  if (!migration) return {};
  const SaId& id = migration->id;
  return fmt::format("migrate state dst {} spi 0x{:08x} proto {} to {} > {} reqid {}",
                     ToString(id.daddr, id.family), id.spi.value, id.proto,
                     ToString(migration->new_saddr, migration->new_family),
                     ToString(migration->new_daddr, migration->new_family),
                     migration->new_reqid.value);
}

std::string KeysOf(const xfrm::Request& request) {
  const auto id = xfrm::DecodeSaId(request);
  if (!id) return {};
  return fmt::format("state get dst {} spi 0x{:08x} proto {}, with its keys",
                     ToString(id->daddr, id->family), id->spi.value, id->proto);
}

template <typename Text>
std::optional<ClientRecord> Record(ClientAct act, const xfrm::Request& request, Text text) {
  return ClientRecord{act, [&request, text] { return text(request); }};
}

}  // namespace

PeerId PeerOf(int fd) {
  ucred peer{};
  socklen_t size = sizeof(peer);
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return {};
  return {.uid = peer.uid, .pid = peer.pid};
}

std::optional<ClientRecord> RecordOf(const xfrm::Request& request) {
  switch (request.type) {
    case xfrm::RequestType::kNewPolicy:
      return Record(ClientAct::kPolicy, request,
                    [](const xfrm::Request& r) { return PolicyChange(r, "add"); });
    case xfrm::RequestType::kUpdPolicy:
      return Record(ClientAct::kPolicy, request,
                    [](const xfrm::Request& r) { return PolicyChange(r, "update"); });
    case xfrm::RequestType::kDelPolicy:
      return Record(ClientAct::kPolicy, request, Removal);
    case xfrm::RequestType::kPolExpire:
      if (!IsHardExpiry(request)) return std::nullopt;
      return Record(ClientAct::kPolicy, request, Expiry);
    case xfrm::RequestType::kFlushPolicy:
      return Record(ClientAct::kProtection, request, PolicyFlush);
    case xfrm::RequestType::kFlushSa:
      return Record(ClientAct::kProtection, request, [](const xfrm::Request& r) {
        return fmt::format("state flush proto {}", xfrm::DecodeFlushSa(r));
      });
    case xfrm::RequestType::kSetDefault:
      return Record(ClientAct::kProtection, request, Defaults);
    case xfrm::RequestType::kMigrate:
      return Record(ClientAct::kProtection, request, Moved);
    case xfrm::RequestType::kMigrateState:
      return Record(ClientAct::kProtection, request, MovedOne);
    case xfrm::RequestType::kGetSa:
      return Record(ClientAct::kKeys, request, KeysOf);
    default:
      return std::nullopt;
  }
}

ClientRecord RecordOf(const SocketPolicyChange& change) {
  std::string text = change.spec ? "policy of a socket: " + PolicyText(*change.spec)
                                 : "policies of a socket deleted";
  return {ClientAct::kPolicy, [text = std::move(text)] { return text; }};
}

}  // namespace cygnet
