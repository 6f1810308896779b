// NumberFile: opening the file, and beginning anew.
#include <sys/random.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>

#include "base/log.h"
#include "base/random.h"
#include "base/text_file.h"
#include "daemon/store/number_file.h"
#include "daemon/store/number_row.h"

namespace cygnet {
namespace {

constexpr int64_t kVersion = 1;

// Nobody else opens the file, so SQLite needs no shared memory beside it. What COMMIT has returned
// is on the disk.
constexpr const char* kSettings =
    "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
    "PRAGMA secure_delete = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;";
constexpr const char* kTables =
    "CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;"
    "CREATE TABLE era (number INTEGER PRIMARY KEY, secret BLOB NOT NULL) STRICT;"
    "CREATE TABLE row (id BLOB NOT NULL, kind INTEGER NOT NULL, value INTEGER NOT NULL,"
    " era INTEGER NOT NULL, used INTEGER NOT NULL, sum INTEGER NOT NULL, PRIMARY KEY (id, kind)) "
    "STRICT, WITHOUT ROWID;";

bool Exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

std::string NoteText(uint64_t id, uint64_t changes) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "numbers %016" PRIx64 " %016" PRIx64 "\n", id, changes);
  return text.data();
}

}  // namespace

// --- Opening ---

Result<std::unique_ptr<NumberFile>> NumberFile::Open(const Params& params) {
  auto file = std::unique_ptr<NumberFile>(new NumberFile(params));
  CYGNET_RETURN_IF_ERROR(file->lock_.Take(params.path));
  const std::string note = file->lock_.Note();
  if (!Exists(params.path)) {
    CYGNET_RETURN_IF_ERROR(file->BeginAnew(note.empty() ? "" : "it is missing"));
  } else if (const Status opened = file->OpenDatabase(); !opened) {
    const Errc code = opened.error().code;
    if (code != Errc::kInvalid) return opened.error();  // unreadable is not damaged
    CYGNET_RETURN_IF_ERROR(file->BeginAnew("it is damaged (" + opened.error().message + ")"));
  } else if (const std::string old = file->JudgeAnchor(); !old.empty()) {
    CYGNET_RETURN_IF_ERROR(file->BeginAnew(old));
  }
  // Nothing is given before the disk takes a change.
  CYGNET_RETURN_IF_ERROR(file->Together([] { return Status(); }));
  return file;
}

Status NumberFile::OpenDatabase() {
  auto db = SqliteDatabase::Open(params_.path);
  if (!db) return db.error();
  db_ = *std::move(db);
  CYGNET_RETURN_IF_ERROR(db_.Run(kSettings));
  auto check = SqliteStatement::Prepare(
      &db_, "SELECT count(*) FROM pragma_quick_check(2) WHERE quick_check <> 'ok'");
  if (!check) return check.error();
  const auto row = check->Step();
  if (!row) return row.error();
  if (check->Integer(0) != 0) return MakeError(Errc::kInvalid, "its pages do not fit together");
  check->Reset();
  CYGNET_RETURN_IF_ERROR(ReadState());
  CYGNET_RETURN_IF_ERROR(CheckRows());
  return Prepare();
}

Status NumberFile::CheckRows() {
  auto rows = SqliteStatement::Prepare(&db_, "SELECT id, kind, value, sum FROM row");
  if (!rows) return MakeError(Errc::kInvalid, rows.error().message);
  for (;;) {
    const auto more = rows->Step();
    if (!more) return more.error();
    if (!*more) return {};
    const uint64_t value = Unsigned(rows->Integer(2));
    if (rows->Bytes(0).size() != NumberId().size() ||
        rows->Integer(3) != SumOf(rows->Bytes(0), rows->Integer(1), value)) {
      return MakeError(Errc::kInvalid, "a row is damaged");
    }
  }
}

Status NumberFile::ReadState() {
  auto state = SqliteStatement::Prepare(
      &db_, "SELECT value FROM state WHERE name IN ('changes', 'id', 'version') ORDER BY name");
  if (!state) return MakeError(Errc::kInvalid, state.error().message);
  std::vector<int64_t> values;
  for (auto more = state->Step(); more.has_value() && *more; more = state->Step()) {
    values.push_back(state->Integer(0));
  }
  if (values.size() != 3) return MakeError(Errc::kInvalid, "its tables are incomplete");
  if (values[2] != kVersion) {
    return MakeError(Errc::kNotSupported, params_.path + ": version " + std::to_string(values[2]) +
                                              " of the number store is newer than this cygnetd; "
                                              "install the version that wrote it, or move it away");
  }
  changes_ = Unsigned(values[0]);
  id_ = Unsigned(values[1]);
  auto eras = SqliteStatement::Prepare(&db_, "SELECT number, secret FROM era ORDER BY number DESC");
  if (!eras) return MakeError(Errc::kInvalid, eras.error().message);
  eras_.clear();
  for (auto more = eras->Step(); more.has_value() && *more; more = eras->Step()) {
    const auto secret = eras->Bytes(1);
    if (secret.size() != kNumberSecretBytes) return MakeError(Errc::kInvalid, "a secret is cut");
    eras_.push_back({.number = eras->Integer(0), .secret = KeyMaterial(secret)});
  }
  if (eras_.empty()) return MakeError(Errc::kInvalid, "it has no secret");
  return {};
}

Status NumberFile::Prepare() {
  const std::pair<SqliteStatement*, const char*> all[] = {
      {&begin_, "BEGIN IMMEDIATE"},
      {&commit_, "COMMIT"},
      {&rollback_, "ROLLBACK"},
      {&change_, "UPDATE state SET value = ?1 WHERE name = 'changes'"},
      {&read_, "SELECT value, sum FROM row WHERE id = ?1 AND kind = ?2"},
      {&write_,
       "INSERT INTO row (id, kind, value, era, used, sum) VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON "
       "CONFLICT (id, kind) DO UPDATE SET value = excluded.value, used = excluded.used, sum = "
       "excluded.sum"},
      {&count_, "SELECT count(*) FROM row"},
  };
  for (const auto& [statement, sql] : all) {
    auto prepared = SqliteStatement::Prepare(&db_, sql);
    if (!prepared) return prepared.error();
    *statement = *std::move(prepared);
  }
  return CountRows();
}

// An older copy is whole, but it has fewer changes than the lock file says. A file that has more is
// right: the process ended between the two.
std::string NumberFile::JudgeAnchor() const {
  const std::string note = lock_.Note();
  uint64_t id = 0;
  uint64_t changes = 0;
  if (std::sscanf(note.c_str(), "numbers %" SCNx64 " %" SCNx64, &id, &changes) != 2 ||
      NoteText(id, changes) != note) {
    return params_.path + ".lock does not say how far it got";
  }
  if (id != id_) return "it is another file than the one that was used last";
  return changes > changes_ ? "it is an older copy" : std::string();
}

// The old file is kept for those who want to know what happened.
Status NumberFile::BeginAnew(const std::string& why) {
  Close();
  if (!why.empty()) {
    loss_ = why;
    Log(LogLevel::kError, params_.path + ": " + why +
                              ". The numbers of all SAs before this start are unknown: the store "
                              "begins anew, with other IV masks for all keys. SAs that are set up "
                              "by hand begin with number 1; rekey them");
    for (const char* suffix : {"", "-wal", "-journal"}) {
      const std::string from = params_.path + suffix;
      const std::string to = params_.path + ".damaged" + suffix;
      if (rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) return FileError(from);
    }
    lock_.ReleaseData();
  }
  auto db = SqliteDatabase::Open(params_.path);
  if (!db) return db.error();
  db_ = *std::move(db);
  CYGNET_RETURN_IF_ERROR(db_.Run(kSettings));
  CYGNET_RETURN_IF_ERROR(Create());
  return Prepare();
}

Status NumberFile::Create() {
  id_ = RandomWord();
  changes_ = 0;
  CYGNET_RETURN_IF_ERROR(db_.Run("BEGIN IMMEDIATE"));
  CYGNET_RETURN_IF_ERROR(db_.Run(kTables));
  auto insert = SqliteStatement::Prepare(
      &db_, "INSERT INTO state VALUES ('version', ?1), ('id', ?2), ('changes', 0)");
  if (!insert) return insert.error();
  CYGNET_RETURN_IF_ERROR(insert->Bind(1, kVersion).Bind(2, Signed(id_)).Finish());
  eras_.clear();
  CYGNET_RETURN_IF_ERROR(AddEra());
  CYGNET_RETURN_IF_ERROR(db_.Run("COMMIT"));
  Anchor();
  return {};
}

void NumberFile::Close() {
  for (SqliteStatement* statement :
       {&begin_, &commit_, &rollback_, &change_, &read_, &write_, &count_}) {
    *statement = SqliteStatement();
  }
  db_ = SqliteDatabase();
}

Status NumberFile::AddEra() {
  std::array<uint8_t, kNumberSecretBytes> bytes{};
  CYGNET_CHECK(getrandom(bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  Era era{.number = eras_.empty() ? 1 : eras_.front().number + 1, .secret = KeyMaterial(bytes)};
  auto insert = SqliteStatement::Prepare(&db_, "INSERT INTO era VALUES (?1, ?2)");
  Status status = insert ? insert->Bind(1, era.number).Bind(2, bytes).Finish() : insert.error();
  SecureWipe(bytes.data(), bytes.size());
  if (status) eras_.insert(eras_.begin(), std::move(era));
  return status;
}

// If it fails, the next start takes this file as it is: it got further.
void NumberFile::Anchor() { (void)lock_.SetNote(NoteText(id_, changes_)); }

}  // namespace cygnet
