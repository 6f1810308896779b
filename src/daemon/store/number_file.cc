#include "daemon/store/number_file.h"

#include <algorithm>

#include "daemon/store/number_row.h"

namespace cygnet {
namespace {

constexpr const char* kDamagedRow =
    ": a row is damaged; restart cygnetd, which begins a new file, and rekey the SAs";

}  // namespace

// --- Changes ---

Status NumberFile::Together(const std::function<Status()>& steps) {
  if (depth_ != 0) return steps();
  Status status = begin_.Finish();
  if (!status) return Remember(status);
  depth_ = 1;
  status = steps();
  depth_ = 0;
  if (status) {
    status = change_.Bind(1, Signed(changes_ + 1)).Finish();
  }
  if (status) status = commit_.Finish();
  if (!status) {
    (void)rollback_.Finish();  // SQLite may have done it already
    (void)CountRows();
    return Remember(status);
  }
  ++changes_;
  Anchor();
  return Remember({});
}

Status NumberFile::Remember(Status status) {
  fault_ = status ? std::string() : status.error().message;
  return status;
}

Result<std::optional<uint64_t>> NumberFile::Read(Kind kind, const NumberId& id) {
  read_.Bind(1, id).Bind(2, static_cast<int64_t>(kind));
  const auto row = read_.Step();
  if (!row) return row.error();
  if (!*row) return std::optional<uint64_t>();
  const uint64_t value = Unsigned(read_.Integer(0));
  const int64_t sum = read_.Integer(1);
  read_.Reset();
  if (sum != SumOf(id, static_cast<int64_t>(kind), value))
    return MakeError(Errc::kInvalid, params_.path + kDamagedRow);
  return std::optional(value);
}

// A new row belongs to the present era: Identify makes names of another one only for rows there
// are.
Status NumberFile::Write(Kind kind, const NumberId& id, uint64_t value) {
  const auto known = Read(kind, id);
  if (!known) return known.error();
  if (!known->has_value()) ++rows_;
  return write_.Bind(1, id)
      .Bind(2, static_cast<int64_t>(kind))
      .Bind(3, Signed(value))
      .Bind(4, eras_.front().number)
      .Bind(5, Signed(changes_))
      .Bind(6, SumOf(id, static_cast<int64_t>(kind), value))
      .Finish();
}

Result<NumberBlock> NumberFile::Outbound(const NumberId& id, uint64_t after, uint64_t count) {
  NumberBlock block;
  const Status status = Together([&]() -> Status {
    const auto given = Read(Kind::kOutbound, id);
    if (!given) return given.error();
    const uint64_t last = std::max(given->value_or(0), after);
    const uint64_t left = ~uint64_t{0} - last;
    if (left == 0) return MakeError(Errc::kRange, "all 2^64 numbers of the key are given");
    block = {last + 1, last + std::min(count, left)};
    return Write(Kind::kOutbound, id, block.last);
  });
  if (!status) return status.error();
  return block;
}

Result<InboundMark> NumberFile::Inbound(const NumberId& id, uint64_t from, uint64_t up_to) {
  InboundMark answer;
  const Status status = Together([&]() -> Status {
    const auto mark = Read(Kind::kInbound, id);
    if (!mark) return mark.error();
    const uint64_t now = mark->value_or(0);
    answer.raised = now == from;
    answer.mark = answer.raised ? up_to : now;
    return up_to > now && answer.raised ? Write(Kind::kInbound, id, up_to) : Status();
  });
  if (!status) return status.error();
  return answer;
}

Status NumberFile::ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) {
  return LowerIfLast(Kind::kOutbound, id, used, last);
}

Status NumberFile::LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) {
  return LowerIfLast(Kind::kInbound, id, mark, last);
}

Status NumberFile::LowerIfLast(Kind kind, const NumberId& id, uint64_t value, uint64_t last) {
  return Together([&]() -> Status {
    const auto now = Read(kind, id);
    if (!now) return now.error();
    if (*now != std::optional(last) || value >= last) return {};
    return Write(kind, id, value);
  });
}

// --- Names ---

Result<NumberIdentity> NumberFile::Identify(const SaSpec& spec) {
  auto known = Lookup(spec);
  if (known && !known->is_whole && rows_ >= params_.max_rows) {
    CYGNET_RETURN_IF_ERROR(MakeRoom());
    known = Lookup(spec);
  }
  if (!known) return Remember(known.error()).error();
  return known->identity;
}

// The names that it had, each from the era of its row; without a row those of the present era.
Result<NumberFile::Known> NumberFile::Lookup(const SaSpec& spec) {
  NumberIdentity identity = IdentityOf(spec, eras_.front().secret);
  bool out = false;
  bool in = false;
  for (auto era = eras_.begin(); era != eras_.end() && !(out && in); ++era) {
    const NumberIdentity then = IdentityOf(spec, era->secret);
    const auto sent = Read(Kind::kOutbound, then.outbound);
    if (!sent) return sent.error();
    if (!out && sent->has_value()) {
      identity.outbound = then.outbound;
      identity.iv_mask = then.iv_mask;
      out = true;
    }
    const auto mark = Read(Kind::kInbound, then.inbound);
    if (!mark) return mark.error();
    if (!in && mark->has_value()) {
      identity.inbound = then.inbound;
      in = true;
    }
  }
  return Known{.identity = identity, .is_whole = out && in};
}

void NumberFile::Retain(const NumberIdentity& identity) {
  ++live_[{Kind::kOutbound, identity.outbound}];
  ++live_[{Kind::kInbound, identity.inbound}];
}

void NumberFile::Release(const NumberIdentity& identity) {
  for (const RowKey& key :
       {RowKey{Kind::kOutbound, identity.outbound}, RowKey{Kind::kInbound, identity.inbound}}) {
    const auto it = live_.find(key);
    if (it != live_.end() && --it->second == 0) live_.erase(it);
  }
}

// --- Bounds ---

Status NumberFile::CountRows() {
  const auto row = count_.Step();
  if (!row) return row.error();
  rows_ = Unsigned(count_.Integer(0));
  count_.Reset();
  return {};
}

// Forgets an eighth of the rows, at least one.
Status NumberFile::MakeRoom() {
  const Status made = Together([this]() -> Status {
    auto oldest = SqliteStatement::Prepare(&db_, "SELECT id, kind FROM row ORDER BY used");
    if (!oldest) return oldest.error();
    std::vector<RowKey> forget;
    auto more = oldest->Step();
    for (; more.has_value() && *more && forget.size() <= params_.max_rows / 8;
         more = oldest->Step()) {
      RowKey key{static_cast<Kind>(oldest->Integer(1)), {}};
      const auto id = oldest->Bytes(0);
      if (id.size() == key.second.size()) std::copy(id.begin(), id.end(), key.second.begin());
      if (live_.count(key) == 0) forget.push_back(key);
    }
    if (!more) return more.error();
    oldest->Reset();
    if (forget.empty()) {
      return MakeError(Errc::kNoSpace, params_.path + ": it has " + std::to_string(rows_) +
                                           " rows, all of living SAs; delete SAs");
    }
    auto erase = SqliteStatement::Prepare(&db_, "DELETE FROM row WHERE id = ?1 AND kind = ?2");
    if (!erase) return erase.error();
    for (const auto& [kind, id] : forget) {
      CYGNET_RETURN_IF_ERROR(erase->Bind(1, id).Bind(2, static_cast<int64_t>(kind)).Finish());
    }
    CYGNET_RETURN_IF_ERROR(AddEra());
    return db_.Run(
        "DELETE FROM era WHERE number NOT IN (SELECT era FROM row) AND number < "
        "(SELECT max(number) FROM era)");
  });
  // What was rolled back is not in memory either.
  CYGNET_RETURN_IF_ERROR(ReadState());
  CYGNET_RETURN_IF_ERROR(CountRows());
  return made;
}

}  // namespace cygnet
