#include "daemon/store/sqlite.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/text_file.h"
#include "base/unique_fd.h"

namespace cygnet {
namespace {

// SQLite would make the file readable for all.
Status MakeOwnFile(const std::string& path) {
  const UniqueFd file(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.valid()) return FileError(path);
  struct stat info {};
  if (fstat(file.get(), &info) != 0) return FileError(path);
  const Status own = CheckOwner(path, info);
  return own ? Status() : MakeError(Errc::kAccess, own.error().message);
}

const char* WhatToDo(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return "; free disk space";
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
      return "; make it writable for cygnetd";
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return "; end the program that has it open";
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return "; restart cygnetd, which begins a new file, and rekey the SAs";
    default:
      return "";
  }
}

Errc CodeOf(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Errc::kNoSpace;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Errc::kBusy;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Errc::kInvalid;
    default:
      return Errc::kIo;
  }
}

}  // namespace

Result<SqliteDatabase> SqliteDatabase::Open(const std::string& path) {
  CYGNET_RETURN_IF_ERROR(MakeOwnFile(path));
  SqliteDatabase db;
  db.path_ = path;
  sqlite3* handle = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &handle,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW, nullptr);
  db.db_.reset(handle);
  if (opened != SQLITE_OK) return db.LastError();
  (void)sqlite3_extended_result_codes(handle, 1);
  return db;
}

Status SqliteDatabase::Run(const char* sql) {
  if (sqlite3_exec(db_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) return LastError();
  return {};
}

Error SqliteDatabase::LastError() const {
  const int code = sqlite3_errcode(db_.get());
  return MakeError(CodeOf(code), path_ + ": " + sqlite3_errmsg(db_.get()) + WhatToDo(code));
}

Result<SqliteStatement> SqliteStatement::Prepare(const SqliteDatabase* db, const char* sql) {
  SqliteStatement statement;
  statement.db_ = db;
  sqlite3_stmt* handle = nullptr;
  if (sqlite3_prepare_v3(db->handle(), sql, -1, SQLITE_PREPARE_PERSISTENT, &handle, nullptr) !=
      SQLITE_OK) {
    return db->LastError();
  }
  statement.statement_.reset(handle);
  return statement;
}

SqliteStatement& SqliteStatement::Bind(int position, int64_t value) {
  CYGNET_CHECK(sqlite3_bind_int64(statement_.get(), position, value) == SQLITE_OK);
  return *this;
}

SqliteStatement& SqliteStatement::Bind(int position, std::span<const uint8_t> bytes) {
  CYGNET_CHECK(sqlite3_bind_blob(statement_.get(), position, bytes.data(),
                                 static_cast<int>(bytes.size()), SQLITE_TRANSIENT) == SQLITE_OK);
  return *this;
}

Result<bool> SqliteStatement::Step() {
  const int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    const Error error = db_->LastError();
    Reset();
    return error;
  }
  Reset();
  return false;
}

Status SqliteStatement::Finish() {
  for (;;) {
    const auto more = Step();
    if (!more) return more.error();
    if (!*more) return {};
  }
}

void SqliteStatement::Reset() {
  (void)sqlite3_reset(statement_.get());  // repeats the error of Step
}

std::span<const uint8_t> SqliteStatement::Bytes(int column) const {
  const auto* bytes = static_cast<const uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column))};
}

}  // namespace cygnet
