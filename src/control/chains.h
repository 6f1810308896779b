// Several state keepers, or journals, where the control plane has room for one.
#pragma once

#include <utility>
#include <vector>

#include "control/state_keeper.h"
#include "requests/control_event.h"

namespace cygnet {

// REQUIRES, for both: the members outlive the chain. nullptr is left out.
class StateKeeperChain final : public StateKeeper {
 public:
  explicit StateKeeperChain(std::vector<StateKeeper*> keepers) {
    for (StateKeeper* keeper : keepers) {
      if (keeper != nullptr) keepers_.push_back(keeper);
    }
  }
  void Keep(const ConstSaPtr& sa) override {
    for (StateKeeper* keeper : keepers_) keeper->Keep(sa);
  }
  void Update(const Sa& sa) override {
    for (StateKeeper* keeper : keepers_) keeper->Update(sa);
  }
  void Forget(const Sa& sa) override {
    for (StateKeeper* keeper : keepers_) keeper->Forget(sa);
  }

 private:
  std::vector<StateKeeper*> keepers_;
};

// In this order. If one refuses, those before it have prepared a change that does not come: put
// first who finds that by itself (ClusterSas).
class ChangeJournalChain final : public ChangeJournal {
 public:
  explicit ChangeJournalChain(std::vector<ChangeJournal*> journals) {
    for (ChangeJournal* journal : journals) {
      if (journal != nullptr) journals_.push_back(journal);
    }
  }
  Status Prepare(const ControlEvent& change) override {
    for (ChangeJournal* journal : journals_) CYGNET_RETURN_IF_ERROR(journal->Prepare(change));
    return {};
  }
  Status PrepareRestored(const ConstSaPtr& sa) override {
    for (ChangeJournal* journal : journals_) CYGNET_RETURN_IF_ERROR(journal->PrepareRestored(sa));
    return {};
  }
  void Note(const ControlEvent& change) override {
    for (ChangeJournal* journal : journals_) journal->Note(change);
  }

 private:
  std::vector<ChangeJournal*> journals_;
};

}  // namespace cygnet
