#include "daemon/audit.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/log.h"

namespace cygnet {
namespace {

constexpr std::string_view kNames[] = {"placement", "key", "device", "fips", "guard", "command"};
static_assert(std::size(kNames) == static_cast<std::size_t>(AuditKind::kCount));

std::string HalfText(const SaHalf& half) {
  return fmt::format("{} SA to {} spi 0x{:08x}", half.inbound ? "inbound" : "outbound",
                     ToString(half.daddr, half.family), half.spi.value);
}

void AddHalf(const SaHalf& half, AuditRecord* record) {
  record->fields.emplace_back("CYGNET_DIRECTION", half.inbound ? "in" : "out");
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

Audit::Audit(std::vector<std::unique_ptr<AuditSink>> sinks, const Clock* clock, AuditLimits limits)
    : clock_(clock), limits_(limits) {
  SetSinks(std::move(sinks));
  for (Bucket& bucket : buckets_) {
    bucket = {.tokens = limits_.burst, .filled_ns = clock_->MonotonicNs()};
  }
}

void Audit::Placement(const PlacementEntry& entry) {
  AuditRecord record =
      Record(AuditKind::kPlacement, fmt::format("{}: {}{}{} ({}: {})", HalfText(entry.half),
                                                entry.effective, entry.where.empty() ? "" : " ",
                                                entry.where, entry.reason, entry.explanation));
  AddHalf(entry.half, &record);
  record.success = entry.effective != "blocked";
  record.warning = !record.success;
  record.fields.emplace_back("CYGNET_REQUESTED", entry.requested);
  record.fields.emplace_back("CYGNET_REQUESTED_BY", entry.requested_by);
  record.fields.emplace_back("CYGNET_EFFECTIVE", entry.effective);
  record.fields.emplace_back("CYGNET_WHERE", entry.where);
  record.fields.emplace_back("CYGNET_REASON", entry.reason);
  Submit(std::move(record));
}

void Audit::Key(const KeyEntry& entry) {
  const bool ended = entry.until != 0;
  const char* what = !ended         ? "was given the key of"
                     : entry.erased ? "has erased the key of"
                                    : "held the key of";
  AuditRecord record =
      Record(AuditKind::kKey,
             fmt::format("{} {} {} the {}{}{}", entry.holder_kind, entry.holder, what,
                         HalfText(entry.half), entry.note.empty() ? "" : ": ", entry.note));
  record.success = !ended || entry.erased;
  record.warning = !record.success;
  AddHalf(entry.half, &record);
  record.fields.emplace_back("CYGNET_KEY", !ended ? "given" : entry.erased ? "erased" : "ended");
  record.fields.emplace_back("CYGNET_HOLDER", entry.holder);
  record.fields.emplace_back("CYGNET_HOLDER_KIND", entry.holder_kind);
  record.fields.emplace_back("CYGNET_HOLDER_IDENTITY", entry.identity);
  Submit(std::move(record));
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
  AuditRecord record = Record(AuditKind::kGuard,
                              fmt::format("device {}: the guard stopped {} packets at the wire: {}",
                                          device, count, reason));
  record.success = false;
  record.warning = true;
  record.fields = {{"CYGNET_DEVICE", device},
                   {"CYGNET_REASON", reason},
                   {"CYGNET_PACKETS", std::to_string(count)}};
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
  sinks_.clear();
  for (auto& sink : sinks) sinks_.push_back({.sink = std::move(sink)});
}

void Audit::Tick() {
  for (std::size_t i = 0; i < buckets_.size(); ++i) TellSuppressed(static_cast<AuditKind>(i));
}

bool Audit::TakeToken(Bucket* bucket) {
  const uint64_t now = clock_->MonotonicNs();
  const double seconds = static_cast<double>(now - bucket->filled_ns) / 1e9;
  bucket->tokens = std::min(limits_.burst, bucket->tokens + seconds * limits_.per_second);
  bucket->filled_ns = now;
  if (bucket->tokens < 1) return false;
  bucket->tokens -= 1;
  return true;
}

void Audit::Submit(AuditRecord record) {
  TellSuppressed(record.kind);
  Bucket& bucket = buckets_[static_cast<std::size_t>(record.kind)];
  if (bucket.suppressed != 0 || !TakeToken(&bucket)) {
    ++bucket.suppressed;
    return;
  }
  record.fields.emplace_back("CYGNET_EVENT", Name(record.kind));
  WriteAll(record);
}

void Audit::TellSuppressed(AuditKind kind) {
  Bucket& bucket = buckets_[static_cast<std::size_t>(kind)];
  if (bucket.suppressed == 0 || !TakeToken(&bucket)) return;
  AuditRecord record =
      Record(kind, fmt::format("{} records of kind {} suppressed: too many at once",
                               bucket.suppressed, Name(kind)));
  record.warning = true;
  record.fields = {{"CYGNET_SUPPRESSED", std::to_string(bucket.suppressed)},
                   {"CYGNET_EVENT", std::string(Name(kind))}};
  bucket.suppressed = 0;
  WriteAll(record);
}

void Audit::WriteAll(const AuditRecord& record) {
  for (Sink& row : sinks_) {
    const Status written = row.sink->Write(record);
    if (!written && !row.failed) {
      Log(LogLevel::kWarning,
          fmt::format("audit: {} takes no records: {}", row.sink->name(), written.error().message));
    }
    row.failed = !written;
  }
}

}  // namespace cygnet
