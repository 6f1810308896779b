// LedgerAnchor: keeps in the lock file how far the ledger's chain got. An older copy of the ledger
// is whole and does not show its age, but it never got that far: the next daemon finds out. It does
// not find out if somebody put back the lock file of that time, too; a signed head in the audit
// trail shows that.
#pragma once

#include <optional>
#include <string>

#include "chain/hash_chain.h"
#include "daemon/store/kept_file.h"

namespace cygnet {

class LedgerAnchor {
 public:
  // REQUIRES: `lock` outlives the anchor.
  LedgerAnchor(std::string boot, WriterLock* lock) : boot_(std::move(boot)), lock_(lock) {}

  // REQUIRES, for all functions below: the lock is taken.
  struct Mark {
    ChainHead head;
    bool this_boot = false;  // else a power loss may have taken what had not reached the disk
  };
  // nullopt: the lock file does not say it.
  std::optional<Mark> Read() const;
  // Failure is harmless, since a chain that got further passes. Does nothing if it says so already.
  void Reached(const ChainHead& head);

 private:
  const std::string boot_;
  WriterLock* const lock_;
  std::string said_;
};

}  // namespace cygnet
