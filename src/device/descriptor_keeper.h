// DescriptorKeeper: descriptors that outlive the process, by name, so that packets wait in the
// kernel's queues during a restart. Control thread.
#pragma once

#include <string>

#include "base/unique_fd.h"

namespace cygnet {

class DescriptorKeeper {
 public:
  virtual ~DescriptorKeeper() = default;
  // What an earlier process left under this name. Invalid: nothing.
  virtual UniqueFd Take(const std::string& name) = 0;
  // From now on, `fd` outlives this process in place of what had this name.
  virtual void Keep(const std::string& name, int fd) = 0;
  // Returns when nobody holds the descriptor of this name any more but this process.
  virtual void Discard(const std::string& name) = 0;
};

}  // namespace cygnet
