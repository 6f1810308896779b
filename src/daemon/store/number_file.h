// NumberFile: the number store in a file (numbers.store = "file"). What it answers is on the disk
// before. An SQLite database (decision 0024) with these tables:
//   era     number, secret      secrets of the identities, the newest has the largest number
//   row     id, kind (0: outbound, 1: inbound), value (last number given, or the mark), era, used
//           (count of changes then), sum (CRC-32C of id, kind and value)
//   state   name, value         version, id of this file, count of changes
// It has no key material: identities are keyed hashes (control/numbers/number_identity.h).
//
// PATH.lock has the id and the count of changes. A file that is behind it is an older copy. It is
// moved aside, as a damaged one is, and the store begins with a new secret: keys that come back get
// other IV masks, as if there had been no store.
//
// The table is bounded. Rows of SAs that ended are forgotten, the oldest first, and an outbound one
// that is forgotten ends the era: if its key comes back, its mask is another one.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/key_material.h"
#include "control/numbers/number_store.h"
#include "daemon/store/kept_file.h"
#include "daemon/store/sqlite.h"

namespace cygnet {

class NumberFile final : public NumberStore {
 public:
  struct Params {
    std::string path;
    uint64_t max_rows = 1u << 18;  // an SA has two
  };
  // Errc::kBusy: another process uses the file.
  static Result<std::unique_ptr<NumberFile>> Open(const Params& params);

  Result<NumberIdentity> Identify(const SaSpec& spec) override;
  void Retain(const NumberIdentity& identity) override;
  void Release(const NumberIdentity& identity) override;
  Result<NumberBlock> Outbound(const NumberId& id, uint64_t after, uint64_t count) override;
  Result<InboundMark> Inbound(const NumberId& id, uint64_t from, uint64_t up_to) override;
  Status ReturnOutbound(const NumberId& id, uint64_t used, uint64_t last) override;
  Status LowerInbound(const NumberId& id, uint64_t mark, uint64_t last) override;
  Status Together(const std::function<Status()>& steps) override;
  std::string fault() const override { return fault_; }

  const std::string& path() const { return params_.path; }
  // Why the store began anew at this start; empty: it did not.
  const std::string& loss() const { return loss_; }

 private:
  enum class Kind : int { kOutbound = 0, kInbound = 1 };
  using RowKey = std::pair<Kind, NumberId>;
  struct Known {
    NumberIdentity identity;
    bool is_whole = false;  // it has both rows
  };
  struct Era {
    int64_t number = 0;
    KeyMaterial secret;
  };

  explicit NumberFile(Params params) : params_(std::move(params)) {}
  Status OpenDatabase();
  Status ReadState();
  Status CheckRows();
  std::string JudgeAnchor() const;
  Status BeginAnew(const std::string& why);
  Status Create();
  Status AddEra();
  Status Prepare();
  void Close();
  Status CountRows();
  Result<Known> Lookup(const SaSpec& spec);
  Status MakeRoom();
  void Anchor();
  Result<std::optional<uint64_t>> Read(Kind kind, const NumberId& id);
  Status Write(Kind kind, const NumberId& id, uint64_t value);
  Status LowerIfLast(Kind kind, const NumberId& id, uint64_t value, uint64_t last);
  Status Remember(Status status);

  const Params params_;
  WriterLock lock_;  // outlives the database: closing its file ends the database's locks
  SqliteDatabase db_;
  SqliteStatement begin_, commit_, rollback_, change_, read_, write_, count_;
  std::vector<Era> eras_;  // the newest first
  std::map<RowKey, uint32_t> live_;
  uint64_t id_ = 0;
  uint64_t changes_ = 0;
  uint64_t rows_ = 0;
  int depth_ = 0;
  std::string fault_;
  std::string loss_;
};

}  // namespace cygnet
