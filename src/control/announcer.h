// Announcer: asks the journal before a change takes effect, and notifies the listener after it.
// Control thread.
#pragma once

#include "base/result.h"
#include "requests/control_event.h"

namespace cygnet {

class Announcer {
 public:
  // `listener` nullptr: nobody is notified. `journal` nullptr: nothing outlives the daemon.
  Announcer(ControlListener* listener, ChangeJournal* journal)
      : listener_(listener), journal_(journal) {}

  // Before a change that a client requests. An error refuses the change.
  Status Prepare(const ControlEvent& change) const {
    return journal_ != nullptr ? journal_->Prepare(change) : Status{};
  }
  Status PrepareRestored(const ConstSaPtr& sa) const {
    return journal_ != nullptr ? journal_->PrepareRestored(sa) : Status{};
  }
  // For a change that cannot be refused.
  void Note(const ControlEvent& change) const {
    if (journal_ != nullptr) journal_->Note(change);
  }
  void Notify(const ControlEvent& event, const RequestOrigin& origin = {}) const {
    if (listener_ != nullptr) listener_->OnControlEvent(event, origin);
  }
  bool WantsAcquire() const { return listener_ != nullptr && listener_->WantsAcquire(); }
  bool WantsAevents() const { return listener_ != nullptr && listener_->WantsAevents(); }

 private:
  ControlListener* const listener_;
  ChangeJournal* const journal_;
};

}  // namespace cygnet
