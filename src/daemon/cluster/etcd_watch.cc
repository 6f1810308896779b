#include "daemon/cluster/etcd_watch.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/plain_text.h"

namespace cygnet {
namespace {

using Json = nlohmann::json;

// More than etcd puts into one message.
constexpr std::size_t kMaxLine = 64u << 20;

Error Unreadable(const char* what) {
  return MakeError(Errc::kInvalid, std::string("the store's watch cannot be read: ") + what);
}

const Json* Member(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

std::string TextOf(const Json& object, const char* name) {
  const Json* const text = Member(object, name);
  if (text == nullptr || !text->is_string()) return {};
  return PlainText(text->get_ref<const std::string&>());
}

std::optional<EtcdChange> ChangeOf(const Json& event) {
  if (!event.is_object()) return std::nullopt;
  const Json* const kv = Member(event, "kv");
  auto entry = kv == nullptr ? std::nullopt : EtcdEntryOf(*kv);
  if (!entry) return std::nullopt;
  return EtcdChange{.removed = TextOf(event, "type") == "DELETE", .entry = *std::move(entry)};
}

}  // namespace

std::string EtcdWatchBody(const std::vector<std::string>& prefixes, int64_t revision) {
  std::string body;
  for (const std::string& prefix : prefixes) {
    const EtcdOp range = EtcdGetAll(prefix);
    body += "{\"create_request\":{\"key\":\"" + Base64(range.key) + "\",\"range_end\":\"" +
            Base64(range.range_end) + "\",\"start_revision\":\"" + std::to_string(revision) +
            "\"}}\n";
  }
  return body;
}

Result<EtcdWatchMessage> ParseEtcdWatch(std::string_view line) {
  const Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return Unreadable("a line is not an object of JSON");
  if (const Json* const error = Member(json, "error"); error != nullptr) {
    return ParseEtcdError(error->dump(-1, ' ', true, Json::error_handler_t::replace), 200);
  }
  const Json* const result = Member(json, "result");
  if (result == nullptr || !result->is_object()) return Unreadable("it has no result");
  const Json* const header = Member(*result, "header");
  const auto parsed = header == nullptr ? std::nullopt : EtcdHeaderOf(*header);
  if (!parsed) return Unreadable("it has no header");
  EtcdWatchMessage message{.header = *parsed};
  const Json* const canceled = Member(*result, "canceled");
  message.canceled = canceled != nullptr && canceled->is_boolean() && canceled->get<bool>();
  message.reason = TextOf(*result, "cancel_reason");
  const auto compacted = EtcdIntegerOf(*result, "compact_revision");
  if (!compacted) return Unreadable("a revision is malformed");
  message.compact_revision = *compacted;
  const Json* const events = Member(*result, "events");
  if (events == nullptr) return message;
  if (!events->is_array()) return Unreadable("its events are not a list");
  for (const Json& event : *events) {
    auto change = ChangeOf(event);
    if (!change) return Unreadable("an event is malformed");
    message.changes.push_back(*std::move(change));
  }
  return message;
}

Result<std::vector<EtcdWatchMessage>> EtcdWatchLines::Add(std::string_view bytes) {
  std::vector<EtcdWatchMessage> messages;
  rest_ += bytes;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = rest_.find('\n', begin)) != std::string::npos;) {
    const std::string_view line(rest_.data() + begin, end - begin);
    begin = end + 1;
    if (line.empty()) continue;
    auto message = ParseEtcdWatch(line);
    if (!message) return message.error();
    messages.push_back(*std::move(message));
  }
  rest_.erase(0, begin);
  if (rest_.size() > kMaxLine) return Unreadable("a line does not end");
  return messages;
}

}  // namespace cygnet
