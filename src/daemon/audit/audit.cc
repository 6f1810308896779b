#include "daemon/audit/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr std::string_view kNames[] = {"placement",  "key",     "device", "fips",
                                       "guard",      "command", "policy", "protection",
                                       "keys-shown", "cluster", "ledger"};
static_assert(std::size(kNames) == static_cast<std::size_t>(AuditKind::kCount));

std::string HalfText(const SaHalf& half) {
  return fmt::format("{} SA to {} spi 0x{:08x}", IsInbound(half.half) ? "inbound" : "outbound",
                     ToString(half.daddr, half.family), half.spi.value);
}

void AddHalf(const SaHalf& half, AuditRecord* record) {
  record->fields.emplace_back("CYGNET_DIRECTION", Name(half.half));
  record->fields.emplace_back("CYGNET_SA_SPI", fmt::format("0x{:08x}", half.spi.value));
  record->fields.emplace_back("CYGNET_SA_SRC", ToString(half.saddr, half.family));
  record->fields.emplace_back("CYGNET_SA_DST", ToString(half.daddr, half.family));
  record->fields.emplace_back("CYGNET_SA_REQID", std::to_string(half.reqid.value));
}

AuditRecord Record(AuditKind kind, std::string message) {
  return {.kind = kind, .message = std::move(message), .fields = {}};
}

}  // namespace

std::string_view Name(AuditKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::string Describe(const PlacementEntry& entry) {
  return fmt::format("{}: {}{}{} ({}: {}){}{}", HalfText(entry.half), entry.effective,
                     entry.where.empty() ? "" : " ", entry.where, entry.reason, entry.explanation,
                     entry.really.empty() ? "" : ", really ", entry.really);
}

std::string Describe(const KeyEntry& entry) {
  const char* what = entry.until_ms == 0 ? "was given the key of"
                     : entry.erased      ? "has erased the key of"
                                         : "held the key of";
  return fmt::format("{} {} {} the {}{}{}", entry.holder_kind, entry.holder, what,
                     HalfText(entry.half), entry.note.empty() ? "" : ": ", entry.note);
}

Audit::Audit(std::vector<std::unique_ptr<AuditSink>> sinks, const Clock* clock, AuditLimits limits)
    : clock_(clock), limits_(limits) {
  SetSinks(std::move(sinks));
  for (std::size_t i = 0; i < buckets_.size(); ++i) {
    const bool policies = static_cast<AuditKind>(i) == AuditKind::kPolicy;
    buckets_[i] = {.tokens = policies ? limits_.policies_burst : limits_.burst,
                   .filled_ns = clock_->MonotonicNs()};
  }
}

// Gives a slow journal a moment; then the rest is lost, and that is logged.
Audit::~Audit() {
  constexpr int kTries = 50;
  for (int i = 0; i < kTries && Owes(); ++i) {
    for (Sink& row : sinks_) Send(&row);
    if (Owes()) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  if (Owes()) {
    Log(LogLevel::kError, fmt::format("audit: {} records could not be written", waiting()));
  }
}

void Audit::Placement(const PlacementEntry& entry) {
  if (!Admits(AuditKind::kPlacement)) return;
  AuditRecord record = Record(AuditKind::kPlacement, Describe(entry));
  AddHalf(entry.half, &record);
  record.success = entry.effective != "blocked";
  record.warning = !record.success || !entry.really.empty();
  record.fields.emplace_back("CYGNET_REQUESTED", entry.requested);
  record.fields.emplace_back("CYGNET_REQUESTED_BY", entry.requested_by);
  record.fields.emplace_back("CYGNET_EFFECTIVE", entry.effective);
  record.fields.emplace_back("CYGNET_WHERE", entry.where);
  record.fields.emplace_back("CYGNET_REASON", entry.reason);
  Write(std::move(record));
}

void Audit::Key(const KeyEntry& entry) {
  if (!Admits(AuditKind::kKey)) return;
  const bool ended = entry.until_ms != 0;
  AuditRecord record = Record(AuditKind::kKey, Describe(entry));
  record.success = !ended || entry.erased;
  record.warning = !record.success;
  AddHalf(entry.half, &record);
  record.fields.emplace_back("CYGNET_KEY", !ended ? "given" : entry.erased ? "erased" : "ended");
  record.fields.emplace_back("CYGNET_HOLDER", entry.holder);
  record.fields.emplace_back("CYGNET_HOLDER_KIND", entry.holder_kind);
  record.fields.emplace_back("CYGNET_HOLDER_IDENTITY", entry.identity);
  Write(std::move(record));
}

void Audit::Device(const std::string& name, const std::string& state,
                   const std::string& explanation) {
  AuditRecord record =
      Record(AuditKind::kDevice, fmt::format("device {}: {} ({})", name, state, explanation));
  record.success = state == "up";
  record.warning = !record.success;
  record.fields = {{"CYGNET_DEVICE", name}, {"CYGNET_STATE", state}};
  Submit(std::move(record));
}

void Audit::Fips(const FipsRow& row) {
  AuditRecord record =
      Record(AuditKind::kFips, fmt::format("FIPS mode: {} {} is {} the boundary{}{}", row.kind,
                                           row.name, row.inside ? "inside" : "outside",
                                           row.explanation.empty() ? "" : ": ", row.explanation));
  record.success = row.inside;
  record.warning = !row.inside;
  record.fields = {{"CYGNET_FIPS_KIND", row.kind},
                   {"CYGNET_FIPS_NAME", row.name},
                   {"CYGNET_FIPS_IDENTITY", row.identity},
                   {"CYGNET_FIPS_CERTIFICATE", row.certificate},
                   {"CYGNET_REASON", row.reason}};
  Submit(std::move(record));
}

void Audit::GuardHit(const std::string& device, const std::string& reason, uint64_t count) {
  AuditRecord record = Record(
      AuditKind::kGuard, fmt::format("device {}: the seal guard stopped {} packets at the wire: {}",
                                     device, count, reason));
  record.success = false;
  record.warning = true;
  record.fields = {{"CYGNET_DEVICE", device},
                   {"CYGNET_REASON", reason},
                   {"CYGNET_PACKETS", std::to_string(count)}};
  Submit(std::move(record));
}

void Audit::WrongPackets(const std::string& device, Half half, uint64_t count,
                         const std::string& what, const std::string& evidence) {
  AuditRecord record = Record(
      AuditKind::kGuard,
      fmt::format("device {}: shadow verification found {} wrong packets ({}): {}; evidence: {}",
                  device, count, Name(half), what, evidence));
  record.success = false;
  record.warning = true;
  record.fields = {{"CYGNET_DEVICE", device},
                   {"CYGNET_REASON", IsInbound(half) ? "in-verify" : "out-verify"},
                   {"CYGNET_DIRECTION", std::string(Name(half))},
                   {"CYGNET_PACKETS", std::to_string(count)},
                   {"CYGNET_EXPLANATION", what},
                   {"CYGNET_EVIDENCE", evidence}};
  Submit(std::move(record));
}

void Audit::Command(const std::string& text, uint32_t uid, int32_t pid) {
  AuditRecord record =
      Record(AuditKind::kCommand, fmt::format("operator (uid {}, pid {}): {}", uid, pid, text));
  record.fields = {{"CYGNET_COMMAND", text},
                   {"CYGNET_PEER_UID", std::to_string(uid)},
                   {"CYGNET_PEER_PID", std::to_string(pid)}};
  Submit(std::move(record));
}

void Audit::SetSinks(std::vector<std::unique_ptr<AuditSink>> sinks) {
  for (Sink& row : sinks_) Send(&row);
  if (waiting() > 0) {
    Log(LogLevel::kError, fmt::format("audit: {} records could not be written", waiting()));
  }
  sinks_.clear();
  for (auto& sink : sinks) sinks_.push_back({.sink = std::move(sink)});
}

void Audit::Client(const ClientRecord& done, const PeerId& peer) {
  const AuditKind kind = done.act == ClientAct::kPolicy       ? AuditKind::kPolicy
                         : done.act == ClientAct::kProtection ? AuditKind::kProtection
                                                              : AuditKind::kKeysShown;
  const bool admitted = Admits(kind);
  const bool watched = watcher_ && listens_();
  if (!admitted && !watched) return;
  std::string text = done.text();
  AuditRecord record =
      Record(kind, fmt::format("client (uid {}, pid {}): {}", peer.uid, peer.pid, text));
  record.warning = kind != AuditKind::kPolicy;
  record.fields = {{"CYGNET_REQUEST", std::move(text)},
                   {"CYGNET_PEER_UID", std::to_string(peer.uid)},
                   {"CYGNET_PEER_PID", std::to_string(peer.pid)}};
  if (watched) watcher_(record);
  if (admitted) Write(std::move(record));
}

void Audit::Protection(const std::string& text) {
  AuditRecord record = Record(AuditKind::kProtection, text);
  record.success = false;
  record.warning = true;
  Submit(std::move(record));
}

void Audit::Cluster(const std::string& group, const std::string& event, const std::string& text) {
  AuditRecord record = Record(AuditKind::kCluster, text);
  record.success = event == "gained" || event == "owner" || event == "given";
  record.warning = !record.success;
  record.fields = {{"CYGNET_GROUP", group}, {"CYGNET_STATE", event}};
  Submit(std::move(record));
}

void Audit::LedgerHead(const std::string& host, uint64_t number, const std::string& hash,
                       const std::string& key) {
  AuditRecord record = Record(AuditKind::kLedger,
                              fmt::format("head of the ledger of {}: {}@{}, {}", host, hash, number,
                                          key.empty() ? "not signed" : "signed by key " + key));
  record.success = !key.empty();
  record.warning = !record.success;
  record.fields = {{"CYGNET_LEDGER_RECORD", std::to_string(number)},
                   {"CYGNET_LEDGER_HEAD", hash},
                   {"CYGNET_LEDGER_KEY", key}};
  Submit(std::move(record));
}

uint64_t Audit::waiting() const {
  uint64_t sum = 0;
  for (const Sink& row : sinks_) sum += row.waiting.size();
  return sum;
}

uint64_t Audit::lost() const {
  uint64_t sum = 0;
  for (const Sink& row : sinks_) sum += row.lost;
  return sum;
}

void Audit::Tick() {
  for (Sink& row : sinks_) Send(&row);
  for (std::size_t i = 0; i < buckets_.size(); ++i) NotifySuppressed(static_cast<AuditKind>(i));
}

bool Audit::TakeToken(AuditKind kind) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  const bool policies = kind == AuditKind::kPolicy;
  const uint64_t now = clock_->MonotonicNs();
  const double seconds = static_cast<double>(now - bucket.filled_ns) / 1e9;
  bucket.tokens = std::min(
      policies ? limits_.policies_burst : limits_.burst,
      bucket.tokens + seconds * (policies ? limits_.policies_per_second : limits_.per_second));
  bucket.filled_ns = now;
  if (bucket.tokens < 1) return false;
  bucket.tokens -= 1;
  return true;
}

void Audit::Submit(AuditRecord record) {
  if (watcher_) watcher_(record);
  if (Admits(record.kind)) Write(std::move(record));
}

bool Audit::Admits(AuditKind kind) {
  NotifySuppressed(kind);
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  if (bucket.suppressed == 0 && TakeToken(kind)) return true;
  ++bucket.suppressed;
  ++suppressed_;
  return false;
}

void Audit::Write(AuditRecord record) {
  record.fields.emplace_back("CYGNET_EVENT", Name(record.kind));
  WriteAll(record);
}

void Audit::NotifySuppressed(AuditKind kind) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  if (bucket.suppressed == 0 || !TakeToken(kind)) return;
  AuditRecord record =
      Record(kind, fmt::format("{} records of kind {} suppressed: too many at once",
                               bucket.suppressed, Name(kind)));
  record.warning = true;
  record.fields = {{"CYGNET_SUPPRESSED", std::to_string(bucket.suppressed)},
                   {"CYGNET_EVENT", std::string(Name(kind))}};
  bucket.suppressed = 0;
  WriteAll(record);
}

// Keeps the order: waiting records go first. To a sink that fails they go with Tick, as in Flush.
void Audit::WriteAll(const AuditRecord& record) {
  for (Sink& row : sinks_) {
    row.waiting.push_back(record);
    if (!row.failed) Send(&row);
    MakeRoom(&row);
  }
}

// While a sink has not accepted anything (no journal, or none yet), only the newest few records
// wait for it, and the others do not count as lost.
void Audit::MakeRoom(Sink* row) {
  constexpr std::size_t kUntilThere = 256;
  if (!row->worked && row->waiting.size() > kUntilThere) row->waiting.pop_front();
  if (row->waiting.size() <= limits_.waiting) return;
  row->waiting.pop_back();
  ++row->untold;
  if (row->lost++ > 0) return;
  Log(LogLevel::kError,
      fmt::format("audit: {} does not accept records and the queue is full: records are lost",
                  row->sink->name()));
}

bool Audit::Owes() const {
  return std::any_of(sinks_.begin(), sinks_.end(),
                     [](const Sink& row) { return row.worked && !row.waiting.empty(); });
}

// Each turn of the loop: a queue that was full for a moment. A sink that fails otherwise (there is
// no journal) is tried by Tick, because each try makes the record's bytes anew.
void Audit::Flush() {
  for (Sink& row : sinks_) {
    if (!row.failed) Send(&row);
  }
}

void Audit::Send(Sink* row) {
  while (!row->waiting.empty()) {
    const Status written = row->sink->Write(row->waiting.front());
    if (!written && written.error().code != Errc::kInvalid) {
      // A queue that is full for a moment is normal.
      if (!row->failed && written.error().code != Errc::kAgain) {
        Log(LogLevel::kWarning, fmt::format("audit: {} does not accept records: {}; they wait",
                                            row->sink->name(), written.error().message));
        row->failed = true;
      }
      return;
    }
    row->lost += written ? 0 : 1;
    row->untold += written ? 0 : 1;
    row->failed = false;
    row->worked = true;
    row->waiting.pop_front();
    if (row->waiting.empty() && row->untold > 0) {
      row->waiting.push_back(LossRecord(*row));
      row->untold = 0;
    }
  }
}

AuditRecord Audit::LossRecord(const Sink& row) {
  AuditRecord record = Record(AuditKind::kProtection,
                              fmt::format("{} audit records were lost: {} did not accept them",
                                          row.untold, row.sink->name()));
  record.success = false;
  record.warning = true;
  record.fields = {{"CYGNET_LOST", std::to_string(row.untold)}, {"CYGNET_EVENT", "lost"}};
  return record;
}

}  // namespace cygnet
