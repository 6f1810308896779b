// LinkEvents: receives the kernel's events about network interfaces that appeared, disappeared or
// changed.
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"

struct mnl_socket;

namespace cygnet {

struct LinkChanges {
  std::vector<int> gone{};  // indices of interfaces that disappeared, even if reused since
  bool lost = false;        // the kernel dropped events
  bool any = false;
};

// Control thread.
class LinkEvents {
 public:
  static Result<std::unique_ptr<LinkEvents>> Create();
  // Readable when something changed; Drain returns what.
  int event_fd() const;
  LinkChanges Drain();

 private:
  LinkEvents() = default;
  struct Closer {
    void operator()(mnl_socket* s) const;
  };
  std::unique_ptr<mnl_socket, Closer> socket_;
};

}  // namespace cygnet
