// Shared by the interposing files. They are compiled without _FORTIFY_SOURCE, whose inline wrappers
// would replace our definitions.
#pragma once

#include "shim/real_calls.h"
#include "shim/socket_table.h"

#define CYGNET_EXPORT extern "C" __attribute__((visibility("default")))
