// Which names of interfaces a configuration may not have, although the kernel finds an interface by
// them.
#pragma once

#include <string>

#include "base/result.h"

namespace cygnet {

// The name that the interface has itself. It differs from `name` if that is an alternative name of
// the interface: rules of nftables never match it. `name` if no interface has it.
std::string OwnNameOf(const std::string& name);

bool IsLoopback(const std::string& name);

// kInvalid: it is an alternative name, or that of the loopback interface; the text says so.
Status CheckInterfaceName(const std::string& name);

}  // namespace cygnet
