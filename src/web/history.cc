#include "web/history.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "base/text_file.h"
#include "base/unique_fd.h"

namespace cygnet::web {
namespace {

// How long samples of a length stay.
struct Level {
  int64_t step;
  int64_t keep;
};
constexpr int64_t kHour = 3600;
constexpr int64_t kDay = 24 * kHour;
constexpr std::array<Level, 3> kLevels = {
    {{History::kSampleSeconds, 26 * kHour}, {300, 8 * kDay}, {kHour, 31 * kDay}}};
constexpr int64_t kRetrySeconds = 60;
constexpr int kPageBytes = 4096;

struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

Statement Prepare(sqlite3* db, const char* sql) {
  sqlite3_stmt* statement = nullptr;
  sqlite3_prepare_v2(db, sql, -1, &statement, nullptr);
  return Statement(statement);
}

void BindText(const Statement& statement, int position, const std::string& text) {
  sqlite3_bind_text(statement.get(), position, text.data(), static_cast<int>(text.size()),
                    SQLITE_TRANSIENT);
}

std::string ColumnText(const Statement& statement, int column) {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement.get(), column));
  const int size = sqlite3_column_bytes(statement.get(), column);
  return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// SQLite would make the file readable for all.
Status MakeOwnFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat info {};
  if (!file.valid() || fstat(file.get(), &info) != 0) return FileError(path);
  return CheckOwner(path, info);
}

}  // namespace

void JoinSamples(const Json& more, Json* sum) {
  for (const auto& [name, value] : more.items()) {
    Json& place = (*sum)[name];
    if (value.is_object()) {
      if (!place.is_object()) place = Json::object();
      if (name != "gauges") {
        JoinSamples(value, &place);
        continue;
      }
      for (const auto& [gauge, now] : value.items()) {
        if (!now.is_number()) continue;
        const auto had = place.find(gauge);
        if (had == place.end() || !had->is_number() || had->get<double>() < now.get<double>()) {
          place[gauge] = now;
        }
      }
    } else if (value.is_number_unsigned() || value.is_number_integer()) {
      place = value.get<uint64_t>() + (place.is_number() ? place.get<uint64_t>() : 0);
    }
  }
}

History::History(std::string path) : path_(std::move(path)) {}
History::~History() = default;

Error History::LastError() const {
  const int code = sqlite3_errcode(db_.get()) & 0xff;
  std::string text = path_ + ": " + sqlite3_errmsg(db_.get());
  if (code == SQLITE_FULL) text += "; free disk space";
  return MakeError(code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? Errc::kInvalid : Errc::kIo,
                   std::move(text));
}

Status History::Run(const std::string& sql) {
  if (sqlite3_exec(db_.get(), sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return LastError();
}

Status History::Open() {
  CYGNET_RETURN_IF_ERROR(MakeOwnFile(path_));
  sqlite3* handle = nullptr;
  const int opened =
      sqlite3_open_v2(path_.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  db_.reset(handle);
  if (opened != SQLITE_OK) return LastError();
  sqlite3_busy_timeout(handle, 200);
  // A power cut may lose the last minutes, and nothing else.
  CYGNET_RETURN_IF_ERROR(Run("PRAGMA page_size = " + std::to_string(kPageBytes) +
                             "; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
                             "PRAGMA journal_size_limit = 4194304; PRAGMA max_page_count = " +
                             std::to_string(kMostBytes / kPageBytes)));
  return Run(
      "CREATE TABLE IF NOT EXISTS sample (level INTEGER, at INTEGER, body BLOB,"
      " PRIMARY KEY (level, at)) WITHOUT ROWID;"
      "CREATE TABLE IF NOT EXISTS mark (time_ms INTEGER, kind TEXT, subject TEXT, text TEXT,"
      " PRIMARY KEY (time_ms, kind, subject, text)) WITHOUT ROWID");
}

// A damaged file, so that a new one can be made.
bool History::PutAside() {
  db_.reset();
  if (std::rename(path_.c_str(), (path_ + ".damaged").c_str()) != 0) return false;
  for (const char* side : {"-wal", "-shm"}) std::remove((path_ + side).c_str());
  return true;
}

// Opens the file if it is not open. A file that is damaged is put aside.
bool History::Ready(int64_t at) {
  if (path_.empty()) return false;
  if (db_ != nullptr) return true;
  // A clock that was set back does not make the wait longer.
  if (at < retry_at_ && at >= retry_at_ - kRetrySeconds) return false;
  Status opened = Open();
  if (!opened && opened.error().code == Errc::kInvalid && PutAside()) opened = Open();
  if (opened) {
    error_.clear();
    return true;
  }
  db_.reset();
  error_ = opened.error().message;
  retry_at_ = at + kRetrySeconds;
  return false;
}

Status History::Join(int level, int64_t at, const Json& sample) {
  const int64_t start = at - at % kLevels[static_cast<std::size_t>(level)].step;
  Json sum = Json::object();
  {
    const Statement old = Prepare(db_.get(), "SELECT body FROM sample WHERE level = ? AND at = ?");
    if (old == nullptr) return LastError();
    sqlite3_bind_int(old.get(), 1, level);
    sqlite3_bind_int64(old.get(), 2, start);
    if (sqlite3_step(old.get()) == SQLITE_ROW) {
      Json had = Json::parse(ColumnText(old, 0), nullptr, /*allow_exceptions=*/false);
      if (had.is_object()) sum = std::move(had);
    }
  }
  JoinSamples(sample, &sum);
  const Statement row = Prepare(db_.get(), "INSERT OR REPLACE INTO sample VALUES (?, ?, ?)");
  if (row == nullptr) return LastError();
  sqlite3_bind_int(row.get(), 1, level);
  sqlite3_bind_int64(row.get(), 2, start);
  BindText(row, 3, Dump(sum));
  return sqlite3_step(row.get()) == SQLITE_DONE ? Status() : LastError();
}

Status History::Store(int64_t at, const Json& sample, const std::vector<Mark>& marks) {
  CYGNET_RETURN_IF_ERROR(Run("BEGIN IMMEDIATE"));
  for (std::size_t i = 0; i < kLevels.size(); ++i) {
    CYGNET_RETURN_IF_ERROR(Join(static_cast<int>(i), at, sample));
    CYGNET_RETURN_IF_ERROR(Run("DELETE FROM sample WHERE level = " + std::to_string(i) +
                               " AND at < " + std::to_string(at - kLevels[i].keep)));
  }
  for (const Mark& mark : marks) {
    const Statement row = Prepare(db_.get(), "INSERT OR IGNORE INTO mark VALUES (?, ?, ?, ?)");
    if (row == nullptr) return LastError();
    sqlite3_bind_int64(row.get(), 1, mark.time_ms);
    BindText(row, 2, mark.kind);
    BindText(row, 3, mark.subject);
    BindText(row, 4, mark.text.substr(0, 512));
    if (sqlite3_step(row.get()) != SQLITE_DONE) return LastError();
  }
  CYGNET_RETURN_IF_ERROR(
      Run("DELETE FROM mark WHERE time_ms < " + std::to_string((at - kLevels[2].keep) * 1000)));
  if (!marks.empty()) {
    CYGNET_RETURN_IF_ERROR(
        Run("DELETE FROM mark WHERE time_ms < (SELECT time_ms FROM mark ORDER BY time_ms DESC "
            "LIMIT 1 OFFSET " +
            std::to_string(kMostMarks) + ")"));
  }
  return Run("COMMIT");
}

void History::Add(int64_t at, const Json& sample, const std::vector<Mark>& marks) {
  const std::lock_guard lock(mutex_);
  if (!Ready(at)) return;
  const Status stored = Store(at, sample, marks);
  if (stored) return;
  error_ = stored.error().message;
  // Some damage shows only where the file is written.
  if (stored.error().code == Errc::kInvalid && PutAside()) return;
  db_.reset();  // rolls back
  retry_at_ = at + kRetrySeconds;
}

Json History::Since(int64_t from, int64_t now) {
  const std::lock_guard lock(mutex_);
  Json answer = {{"step", kSampleSeconds},
                 {"samples", Json::array()},
                 {"marks", Json::array()},
                 {"error", error_}};
  if (!Ready(now)) return answer;
  // Not more points than a page has room for.
  std::size_t level = 0;
  while (level + 1 < kLevels.size() && (now - from) / kLevels[level].step > 1000) ++level;
  answer["step"] = kLevels[level].step;
  const Statement rows = Prepare(
      db_.get(), "SELECT at, body FROM sample WHERE level = ? AND at >= ? ORDER BY at LIMIT 2000");
  if (rows == nullptr) return answer;
  sqlite3_bind_int64(rows.get(), 1, static_cast<int64_t>(level));
  sqlite3_bind_int64(rows.get(), 2, from);
  while (sqlite3_step(rows.get()) == SQLITE_ROW) {
    Json body = Json::parse(ColumnText(rows, 1), nullptr, /*allow_exceptions=*/false);
    if (!body.is_object()) continue;
    answer["samples"].push_back(
        Json::array({sqlite3_column_int64(rows.get(), 0), std::move(body)}));
  }
  const Statement marks =
      Prepare(db_.get(),
              "SELECT time_ms, kind, subject, text FROM mark WHERE time_ms >= ? "
              "ORDER BY time_ms DESC LIMIT 500");
  if (marks == nullptr) return answer;
  sqlite3_bind_int64(marks.get(), 1, from * 1000);
  while (sqlite3_step(marks.get()) == SQLITE_ROW) {
    answer["marks"].push_back(ToJson(Mark{.time_ms = sqlite3_column_int64(marks.get(), 0),
                                          .kind = ColumnText(marks, 1),
                                          .subject = ColumnText(marks, 2),
                                          .text = ColumnText(marks, 3)}));
  }
  return answer;
}

std::string History::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace cygnet::web
