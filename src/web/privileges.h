// Giving up what the server does not need.
#pragma once

#include <string>

#include "base/result.h"

namespace cygnet::web {

// What a process keeps. The reader keeps CAP_NET_ADMIN, by which cygnetd knows its clients.
enum class Keep { kNothing, kNetAdmin };

// Root becomes `user`; then every capability but the one to keep is gone for good, for this process
// and its children, and other processes of the user cannot look into it.
Status DropPrivileges(const std::string& user, Keep keep);

}  // namespace cygnet::web
