// What etcd's JSON gateway (/v3/...) reads and writes, as values. Keys and values are any bytes:
// the gateway has them in base64. Integers of 64 bits are strings there, and what is 0, false or
// empty is left out.
//
// Answers come from outside: whatever the bytes are, a parser returns an answer or an error.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace cygnet {

// Of each answer. All of a store's revisions are numbered in one sequence.
struct EtcdHeader {
  uint64_t cluster_id = 0;
  int64_t revision = 0;
};

struct EtcdEntry {
  std::string key;
  std::string value;
  int64_t create_revision = 0;
  int64_t mod_revision = 0;  // 0: there is no such key
  int64_t lease = 0;
};

// --- Requests ---

// A step of a transaction, or a request of its own.
struct EtcdOp {
  enum class Kind : uint8_t { kRange, kPut, kDelete };
  Kind kind = Kind::kRange;
  std::string key;
  std::string value{};      // kPut
  std::string range_end{};  // kRange, kDelete: all keys from `key` up to before it; empty: one key
  int64_t lease = 0;        // kPut
  int64_t limit = 0;        // kRange: entries; 0: all
};

inline EtcdOp EtcdPut(std::string key, std::string value, int64_t lease = 0) {
  return {
      .kind = EtcdOp::Kind::kPut, .key = std::move(key), .value = std::move(value), .lease = lease};
}
inline EtcdOp EtcdDelete(std::string key) {
  return {.kind = EtcdOp::Kind::kDelete, .key = std::move(key)};
}
inline EtcdOp EtcdGet(std::string key) { return {.key = std::move(key)}; }
// All keys that begin with `prefix`.
EtcdOp EtcdGetAll(const std::string& prefix);

// "The key has this mod_revision", 0: it does not exist. A transaction whose keys are compared so
// takes effect once, also if it is sent again after a lost answer.
struct EtcdCompare {
  std::string key;
  int64_t mod_revision = 0;
  std::optional<std::string> value{};  // compared instead of the revision
};

struct EtcdTxn {
  std::vector<EtcdCompare> compares{};  // all must hold
  std::vector<EtcdOp> then{};
  std::vector<EtcdOp> otherwise{};
};
// etcd takes no more compares, and no more steps of one kind, unless --max-txn-ops says so.
inline constexpr std::size_t kEtcdMaxTxnOps = 128;

// Bodies for POST; the path is in the comment.
std::string EtcdTxnBody(const EtcdTxn& txn);                // /v3/kv/txn
std::string EtcdRangeBody(const EtcdOp& range);             // /v3/kv/range
std::string EtcdLeaseGrantBody(int64_t ttl_s, int64_t id);  // /v3/lease/grant, id 0: etcd chooses
std::string EtcdLeaseBody(int64_t id);                      // /v3/lease/keepalive, /v3/lease/revoke
std::string Base64(std::string_view bytes);
std::optional<std::string> FromBase64(std::string_view text);  // strict

// --- Answers ---

struct EtcdRangeAnswer {
  EtcdHeader header;
  std::vector<EtcdEntry> entries;
  bool more = false;  // the limit left some out
};

struct EtcdTxnAnswer {
  EtcdHeader header;
  bool succeeded = false;  // the compares held, `then` was done; if not, `otherwise`
  // One for each step that was done. What a range found; empty for the others.
  std::vector<std::vector<EtcdEntry>> found;

  // What step `step` found of one key; an entry with mod_revision 0 if there is none.
  EtcdEntry FoundOne(std::size_t step) const;
};

struct EtcdLeaseAnswer {
  EtcdHeader header;
  int64_t id = 0;
  int64_t ttl_s = 0;  // keepalive: 0 if the lease is gone
};

Result<EtcdRangeAnswer> ParseEtcdRange(std::string_view body);
// `steps`: how many of the branch must be there is unknown before; each answer has one for each.
Result<EtcdTxnAnswer> ParseEtcdTxn(std::string_view body);
// Of grant and of keepalive, which wraps it in "result".
Result<EtcdLeaseAnswer> ParseEtcdLease(std::string_view body);
// Why etcd refused: the body of an answer whose HTTP status is not 200.
Error ParseEtcdError(std::string_view body, long http_status);

// For the watch stream (etcd_watch): a "kv" object, and a "header" object.
std::optional<EtcdEntry> EtcdEntryOf(const nlohmann::json& kv);
std::optional<EtcdHeader> EtcdHeaderOf(const nlohmann::json& header);
// A 64-bit integer: a string, or a number; a member that is not there is 0.
std::optional<int64_t> EtcdIntegerOf(const nlohmann::json& object, const char* member);

}  // namespace cygnet
