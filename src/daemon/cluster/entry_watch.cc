#include "daemon/cluster/entry_watch.h"

#include <algorithm>
#include <utility>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr int64_t kPage = 500;
constexpr uint32_t kPageTimeoutMs = 2000;
constexpr uint64_t kRetryNs = 300'000'000;
constexpr const char* kPolicies = "policy/";
constexpr const char* kSas = "sa/";

// What follows the last SA.
std::string EndOf(const std::string& prefix) { return EtcdGetAll(prefix + kSas).range_end; }

}  // namespace

EntryWatch::EntryWatch(EtcdCalls* calls, std::string prefix, Tell tell)
    : calls_(*calls), prefix_(std::move(prefix)), tell_(std::move(tell)) {}

void EntryWatch::Tick(uint64_t now_ns) {
  now_ns_ = now_ns;
  // A member of the store that no longer answers others may keep a stream open without a word.
  if (stream_ != 0 && endpoint_ != calls_.endpoint()) Close(/*reload=*/false);
  if (now_ns < retry_ns_ || loading_ || stream_ != 0) return;
  if (loaded_) {
    Open();
    return;
  }
  loading_ = true;
  next_revision_ = 0;
  seen_.clear();
  Load(prefix_ + kPolicies);
}

void EntryWatch::Restart() {
  ++generation_;
  loading_ = false;
  retry_ns_ = 0;
  Close(/*reload=*/true);
  // Revisions of another store say nothing: each entry is told again.
  for (auto& [key, revision] : known_) revision = 0;
}

void EntryWatch::Load(const std::string& from) {
  EtcdOp range{.key = from, .range_end = EndOf(prefix_), .limit = kPage};
  calls_.Start("/v3/kv/range", EtcdRangeBody(range), kPageTimeoutMs,
               [this, generation = generation_](const Result<std::string>& body) {
                 if (generation == generation_) OnPage(body);
               });
}

void EntryWatch::OnPage(const Result<std::string>& body) {
  const auto page = body ? ParseEtcdRange(*body) : Result<EtcdRangeAnswer>(body.error());
  if (!page) {
    loading_ = false;
    retry_ns_ = now_ns_ + kRetryNs;
    return;
  }
  // Later pages may be newer; what changes meanwhile is told once more by the stream.
  if (next_revision_ == 0) next_revision_ = page->header.revision + 1;
  for (const EtcdEntry& entry : page->entries) {
    seen_.insert(entry.key);
    Change({.removed = false, .entry = entry});
  }
  if (page->more && !page->entries.empty()) {
    Load(page->entries.back().key + '\0');
    return;
  }
  EndLoad();
}

void EntryWatch::EndLoad() {
  std::vector<std::string> gone;
  for (const auto& [key, revision] : known_) {
    if (!seen_.contains(key)) gone.push_back(key);
  }
  for (const std::string& key : gone) Change({.removed = true, .entry = {.key = key, .value = {}}});
  seen_.clear();
  loading_ = false;
  loaded_ = true;
  tell_({.kind = ClusterEvent::Kind::kEntriesRead});
  Open();
}

void EntryWatch::Open() {
  endpoint_ = calls_.endpoint();
  lines_ = EtcdWatchLines();
  stream_ = calls_.Stream(
      "/v3/watch", EtcdWatchBody({prefix_ + kPolicies, prefix_ + kSas}, next_revision_),
      [this](std::string_view bytes) { OnData(bytes); },
      [this](const Result<std::string>&) { Close(/*reload=*/false); });
}

void EntryWatch::OnData(std::string_view bytes) {
  auto messages = lines_.Add(bytes);
  if (!messages) {
    Log(LogLevel::kWarning,
        "cluster: " + messages.error().message + "; all entries are read again");
    Close(/*reload=*/true);
    return;
  }
  for (const EtcdWatchMessage& message : *messages) {
    if (message.canceled || message.compact_revision != 0) {
      Close(/*reload=*/true);
      return;
    }
    for (const EtcdChange& change : message.changes) Change(change);
  }
}

void EntryWatch::Change(const EtcdChange& change) {
  const EtcdEntry& entry = change.entry;
  if (!entry.key.starts_with(prefix_)) return;
  const auto known = known_.find(entry.key);
  if (change.removed) {
    if (known == known_.end()) return;
    known_.erase(known);
  } else {
    if (known != known_.end() && known->second >= entry.mod_revision) return;
    known_[entry.key] = entry.mod_revision;
  }
  ClusterEvent event;
  event.kind = ClusterEvent::Kind::kEntry;
  event.key = entry.key.substr(prefix_.size());
  if (!change.removed) event.value = entry.value;
  tell_(std::move(event));
}

void EntryWatch::Close(bool reload) {
  if (stream_ != 0) calls_.Stop(std::exchange(stream_, 0));
  if (reload && std::exchange(loaded_, false)) {
    tell_({.kind = ClusterEvent::Kind::kEntriesUnread});
  }
  retry_ns_ = std::max(retry_ns_, now_ns_ + kRetryNs);
}

}  // namespace cygnet
