// Announcer: who hears of changes, and who may refuse them: the journal before a change takes
// effect, the listener after. Control thread.
#pragma once

#include "base/result.h"
#include "requests/control_event.h"

namespace cygnet {

class Announcer {
 public:
  // `listener` nullptr: nobody is notified. `journal` nullptr: nothing outlives the daemon.
  Announcer(ControlListener* listener, ChangeJournal* journal)
      : listener_(listener), journal_(journal) {}

  // Before a change that a client asks for. An error refuses it.
  Status Prepare(const ControlEvent& change) const {
    return journal_ != nullptr ? journal_->Prepare(change) : Status{};
  }
  // Of a change that nobody may refuse.
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
