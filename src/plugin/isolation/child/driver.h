// The driver in the child: control calls to the functions of the plug-in.
#pragma once

#include <cygnet/driver.h>

#include "plugin/isolation/child/control.h"

namespace cygnet::isolation {

// As TakeEngine. Not nullptr: the table is not complete, as the text tells.
const char* TakeDriver(const cygnet_driver* table, Description* description);
int32_t HandleDriver(Request* request, Writer* answer, bool* last);

}  // namespace cygnet::isolation
