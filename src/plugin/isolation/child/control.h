// The child's side of the control calls: requests come one at a time; events go to the host from
// any thread.
#pragma once

#include <cygnet/types.h>

#include "plugin/isolation/message.h"
#include "plugin/isolation/protocol.h"

namespace cygnet::isolation {

struct Request {
  Call call;
  Reader in;         // of a private copy; the page is wiped
  int fds[kMaxFds];  // the handler closes what it does not keep
  uint32_t fd_count;
  Signal signal;   // as it came
  uint8_t* bytes;  // the copy, wiped after the answer
  uint32_t length;
};

// Maps the page. False: the descriptors are not those of a host.
bool StartControl();
// The page, for the state.
ControlPage& Page();

// What the host gives the plug-in: log, bell, clock.
const cygnet_host* HostServices();
// Called in the main thread after each request, each ring and twice a second: shows the state.
void SetRefresh(void (*refresh)());

// Serves until the host closes its end. `handle` writes the answer's bytes and returns its result;
// if it sets *last, the loop ends after the answer.
void Serve(int32_t (*handle)(Request* request, Writer* answer, bool* last));

void SendEvent(EventKind kind, uint32_t level, const char* text);
// The plug-in broke its contract: tells the host and ends the process.
[[noreturn]] void Breach(const char* text);

inline cygnet_refusal NewRefusal() {
  cygnet_refusal refusal{};
  refusal.size = sizeof(refusal);
  return refusal;
}
// For answers of calls that may be refused.
void PutRefusal(Writer* answer, const cygnet_refusal& refusal);

}  // namespace cygnet::isolation
