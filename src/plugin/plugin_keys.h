// Keys of the configuration that name a plug-in, for devices and for the look-aside engine.
#pragma once

#include <string>
#include <vector>

#include "settings/fields.h"

namespace cygnet {

// An absolute path.
Codec<std::string> LibraryPath();
// The same, or nothing.
Codec<std::string> LibraryPathOrNone();
Codec<std::vector<std::string>> KeyValues();

}  // namespace cygnet
