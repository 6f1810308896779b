// The engine in the child: control calls to the functions of the plug-in.
#pragma once

#include <cygnet/engine.h>

#include "plugin/isolation/child/control.h"

namespace cygnet::isolation {

// Takes the functions of a table that may be older, or of another version. nullptr: the plug-in
// refused the host.
void TakeEngine(const cygnet_engine* table, Description* description);
// One control call.
int32_t HandleEngine(Request* request, Writer* answer, bool* last);

}  // namespace cygnet::isolation
