// The little of SQLite that the number store needs, with Status in place of codes.
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "base/result.h"

namespace cygnet {

class SqliteDatabase {
 public:
  // Creates the file if it does not exist, for this user alone. This process is its only user.
  static Result<SqliteDatabase> Open(const std::string& path);

  // For statements without values and without rows.
  Status Run(const char* sql);
  // "PATH: why", with what to do.
  Error LastError() const;
  sqlite3* handle() const { return db_.get(); }
  bool valid() const { return db_ != nullptr; }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::string path_;
  std::unique_ptr<sqlite3, Close> db_;
};

// A prepared statement. Bind its values by position, beginning with 1; then Step through the rows.
// It is ready for other values after the last row, or after Reset.
class SqliteStatement {
 public:
  SqliteStatement() = default;
  static Result<SqliteStatement> Prepare(const SqliteDatabase* db, const char* sql);

  SqliteStatement& Bind(int position, int64_t value);
  SqliteStatement& Bind(int position, std::span<const uint8_t> bytes);
  // True: there is a row. An error resets the statement.
  Result<bool> Step();
  // To the end, past all rows.
  Status Finish();
  void Reset();
  // Of the present row.
  int64_t Integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::span<const uint8_t> Bytes(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
  };
  const SqliteDatabase* db_ = nullptr;
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

}  // namespace cygnet
