#include "daemon/cluster/etcd_json.h"

#include <openssl/evp.h>

#include <charconv>
#include <nlohmann/json.hpp>

#include "base/plain_text.h"

namespace cygnet {
namespace {

using Json = nlohmann::json;

Error Unreadable(const char* what) {
  return MakeError(Errc::kInvalid, std::string("the store's answer cannot be read: ") + what);
}

// nullptr: there is no such member.
const Json* Member(const Json& object, const char* name) {
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

std::optional<std::string> BytesOf(const Json& object, const char* name) {
  const Json* const member = Member(object, name);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return std::nullopt;
  return FromBase64(member->get_ref<const std::string&>());
}

std::optional<bool> FlagOf(const Json& object, const char* name) {
  const Json* const member = Member(object, name);
  if (member == nullptr) return false;
  if (!member->is_boolean()) return std::nullopt;
  return member->get<bool>();
}

template <typename T>
std::optional<T> ParseInteger(const std::string& text) {
  T value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return value;
}

std::optional<std::vector<EtcdEntry>> EntriesOf(const Json& range) {
  std::vector<EtcdEntry> entries;
  const Json* const kvs = Member(range, "kvs");
  if (kvs == nullptr) return entries;
  if (!kvs->is_array()) return std::nullopt;
  for (const Json& kv : *kvs) {
    auto entry = EtcdEntryOf(kv);
    if (!entry) return std::nullopt;
    entries.push_back(*std::move(entry));
  }
  return entries;
}

struct Document {
  Json json;
  EtcdHeader header;
};

// An object with the header that each answer has.
Result<Document> Parse(std::string_view body) {
  Document document;
  document.json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!document.json.is_object()) return Unreadable("it is not an object of JSON");
  const Json* const inner = Member(document.json, "result");
  if (inner != nullptr) {
    if (!inner->is_object()) return Unreadable("\"result\" is not an object");
    Json moved = *inner;
    document.json = std::move(moved);
  }
  const Json* const header = Member(document.json, "header");
  const auto parsed = header != nullptr ? EtcdHeaderOf(*header) : std::nullopt;
  if (!parsed) return Unreadable("it has no header");
  document.header = *parsed;
  return document;
}

// --- Writing: base64 and integers need no escapes ---

void AddBytes(std::string* out, const char* name, std::string_view bytes) {
  *out += '"';
  *out += name;
  *out += "\":\"";
  *out += Base64(bytes);
  *out += '"';
}

void AddInteger(std::string* out, const char* name, int64_t value) {
  *out += '"';
  *out += name;
  *out += "\":\"";
  *out += std::to_string(value);
  *out += '"';
}

std::string OpBody(const EtcdOp& op) {
  std::string out = "{";
  AddBytes(&out, "key", op.key);
  if (op.kind == EtcdOp::Kind::kPut) {
    out += ',';
    AddBytes(&out, "value", op.value);
  }
  if (!op.range_end.empty()) {
    out += ',';
    AddBytes(&out, "range_end", op.range_end);
  }
  if (op.lease != 0) {
    out += ',';
    AddInteger(&out, "lease", op.lease);
  }
  if (op.limit != 0) {
    out += ',';
    AddInteger(&out, "limit", op.limit);
  }
  return out + "}";
}

void AddSteps(std::string* out, const char* name, const std::vector<EtcdOp>& steps) {
  *out += ",\"";
  *out += name;
  *out += "\":[";
  const char* comma = "";
  for (const EtcdOp& op : steps) {
    *out += comma;
    *out += op.kind == EtcdOp::Kind::kRange ? "{\"request_range\":"
            : op.kind == EtcdOp::Kind::kPut ? "{\"request_put\":"
                                            : "{\"request_delete_range\":";
    *out += OpBody(op) + "}";
    comma = ",";
  }
  *out += ']';
}

}  // namespace

// --- Requests ---

EtcdOp EtcdGetAll(const std::string& prefix) {
  // The first key behind all that begin with it; a prefix of 0xff alone has none.
  std::string end = prefix;
  while (!end.empty() && end.back() == '\xff') end.pop_back();
  if (end.empty()) {
    end.assign(1, '\0');
  } else {
    end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  }
  return {.key = prefix.empty() ? std::string(1, '\0') : prefix, .range_end = std::move(end)};
}

std::string EtcdTxnBody(const EtcdTxn& txn) {
  std::string out = "{\"compare\":[";
  const char* comma = "";
  for (const EtcdCompare& compare : txn.compares) {
    out += comma;
    out += compare.value ? "{\"target\":\"VALUE\"" : "{\"target\":\"MOD\"";
    out += ",\"result\":\"EQUAL\",";
    AddBytes(&out, "key", compare.key);
    out += ',';
    if (compare.value) {
      AddBytes(&out, "value", *compare.value);
    } else {
      AddInteger(&out, "mod_revision", compare.mod_revision);
    }
    out += '}';
    comma = ",";
  }
  out += ']';
  AddSteps(&out, "success", txn.then);
  AddSteps(&out, "failure", txn.otherwise);
  return out + "}";
}

std::string EtcdRangeBody(const EtcdOp& range) { return OpBody(range); }

std::string EtcdLeaseGrantBody(int64_t ttl_s, int64_t id) {
  std::string out = "{";
  AddInteger(&out, "TTL", ttl_s);
  if (id != 0) {
    out += ',';
    AddInteger(&out, "ID", id);
  }
  return out + "}";
}

std::string EtcdLeaseBody(int64_t id) {
  std::string out = "{";
  AddInteger(&out, "ID", id);
  return out + "}";
}

std::string Base64(std::string_view bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                                   reinterpret_cast<const unsigned char*>(bytes.data()),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::optional<std::string> FromBase64(std::string_view text) {
  if (text.empty()) return std::string();
  std::size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  // EVP_DecodeBlock skips space at both ends, and takes padding anywhere.
  const auto is_digit = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' ||
           c == '/';
  };
  for (const char c : text.substr(0, text.size() - padding)) {
    if (!is_digit(c)) return std::nullopt;
  }
  std::string out(text.size() / 4 * 3, '\0');
  if (text.size() % 4 != 0 ||
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(text.data()),
                      static_cast<int>(text.size())) != static_cast<int>(out.size())) {
    return std::nullopt;
  }
  out.resize(out.size() - padding);
  return out;
}

// --- Answers ---

std::optional<int64_t> EtcdIntegerOf(const Json& object, const char* member) {
  if (!object.is_object()) return std::nullopt;
  const Json* const value = Member(object, member);
  if (value == nullptr) return 0;
  if (value->is_string()) return ParseInteger<int64_t>(value->get_ref<const std::string&>());
  if (!value->is_number_integer()) return std::nullopt;
  if (value->is_number_unsigned() &&
      value->get<uint64_t>() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return std::nullopt;
  }
  return value->get<int64_t>();
}

std::optional<EtcdEntry> EtcdEntryOf(const Json& kv) {
  if (!kv.is_object()) return std::nullopt;
  auto key = BytesOf(kv, "key");
  auto value = BytesOf(kv, "value");
  const auto created = EtcdIntegerOf(kv, "create_revision");
  const auto changed = EtcdIntegerOf(kv, "mod_revision");
  const auto lease = EtcdIntegerOf(kv, "lease");
  if (!key || !value || !created || !changed || !lease) return std::nullopt;
  return EtcdEntry{.key = *std::move(key),
                   .value = *std::move(value),
                   .create_revision = *created,
                   .mod_revision = *changed,
                   .lease = *lease};
}

std::optional<EtcdHeader> EtcdHeaderOf(const Json& header) {
  if (!header.is_object()) return std::nullopt;
  const Json* const id = Member(header, "cluster_id");
  const auto revision = EtcdIntegerOf(header, "revision");
  if (id == nullptr || !id->is_string() || !revision || *revision < 0) return std::nullopt;
  const auto cluster = ParseInteger<uint64_t>(id->get_ref<const std::string&>());
  if (!cluster) return std::nullopt;
  return EtcdHeader{.cluster_id = *cluster, .revision = *revision};
}

Result<EtcdRangeAnswer> ParseEtcdRange(std::string_view body) {
  const auto document = Parse(body);
  if (!document) return document.error();
  auto entries = EntriesOf(document->json);
  const auto more = FlagOf(document->json, "more");
  if (!entries || !more) return Unreadable("an entry is malformed");
  return EtcdRangeAnswer{.header = document->header, .entries = *std::move(entries), .more = *more};
}

Result<EtcdTxnAnswer> ParseEtcdTxn(std::string_view body) {
  const auto document = Parse(body);
  if (!document) return document.error();
  const auto succeeded = FlagOf(document->json, "succeeded");
  if (!succeeded) return Unreadable("\"succeeded\" is not true or false");
  EtcdTxnAnswer answer{.header = document->header, .succeeded = *succeeded, .found = {}};
  const Json* const responses = Member(document->json, "responses");
  if (responses == nullptr) return answer;
  if (!responses->is_array()) return Unreadable("\"responses\" is not a list");
  for (const Json& response : *responses) {
    if (!response.is_object()) return Unreadable("a response is not an object");
    const Json* const range = Member(response, "response_range");
    auto entries = range == nullptr     ? std::optional(std::vector<EtcdEntry>())
                   : range->is_object() ? EntriesOf(*range)
                                        : std::nullopt;
    if (!entries) return Unreadable("an entry is malformed");
    answer.found.push_back(*std::move(entries));
  }
  return answer;
}

EtcdEntry EtcdTxnAnswer::FoundOne(std::size_t step) const {
  return step < found.size() && !found[step].empty() ? found[step].front() : EtcdEntry();
}

Result<EtcdLeaseAnswer> ParseEtcdLease(std::string_view body) {
  const auto document = Parse(body);
  if (!document) return document.error();
  const auto id = EtcdIntegerOf(document->json, "ID");
  const auto ttl = EtcdIntegerOf(document->json, "TTL");
  if (!id || !ttl) return Unreadable("its lease is malformed");
  return EtcdLeaseAnswer{.header = document->header, .id = *id, .ttl_s = *ttl};
}

Error ParseEtcdError(std::string_view body, long http_status) {
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  std::string message;
  int64_t code = 0;
  if (json.is_object()) {
    const Json* const text = Member(json, "message");
    if (text != nullptr && text->is_string()) message = text->get<std::string>();
    code = EtcdIntegerOf(json, "code").value_or(0);
  }
  if (message.empty()) message = "HTTP status " + std::to_string(http_status);
  message = PlainText(message);
  switch (code) {  // of gRPC
    case 5:
      return MakeError(Errc::kNoEntry, message);
    case 7:
    case 16:
      return MakeError(Errc::kAccess, message);
    case 8:  // its disk is full, the request is too large, or it has too many requests
      return MakeError(message.find("space exceeded") != std::string::npos ? Errc::kNoSpace
                       : message.find("larger than") != std::string::npos  ? Errc::kInvalid
                                                                           : Errc::kNetworkDown,
                       message);
    case 1:   // cancelled
    case 4:   // deadline
    case 13:  // internal
    case 14:  // unavailable
      return MakeError(Errc::kNetworkDown, message);
    default:
      return MakeError(http_status >= 500 ? Errc::kNetworkDown : Errc::kInvalid, message);
  }
}

}  // namespace cygnet
