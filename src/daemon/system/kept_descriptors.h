// KeptDescriptors: descriptors that the service manager holds for the next process (FDSTORE of
// sd_notify(3), LISTEN_FDS of sd_listen_fds(3)). systemd and `cygnetd --supervise` are the same to
// it. Control thread.
#pragma once

#include <map>
#include <string>

#include "daemon/system/service_manager.h"
#include "device/descriptor_keeper.h"

namespace cygnet {

// Zeroes what `fd` holds, if it is memory (memfd): others have no contents of ours.
void WipeMemory(int fd);

class KeptDescriptors final : public DescriptorKeeper {
 public:
  // Takes the descriptors that the environment names and removes the variables from it. `manager`
  // must outlive this; without a service manager nothing is kept.
  static KeptDescriptors FromEnvironment(ServiceManager* manager);

  // A service manager listens. It may still be set up to keep nothing.
  bool works() const { return manager_->listens(); }
  UniqueFd Take(const std::string& name) override;
  void Keep(const std::string& name, int fd) override;
  void Discard(const std::string& name) override;
  // Discards what nobody took: it belongs to an earlier configuration. Memory is wiped.
  void DiscardRest();
  // Returns when the service manager has all that was given to Keep.
  Status Settle() { return manager_->Barrier(); }

 private:
  explicit KeptDescriptors(ServiceManager* manager) : manager_(manager) {}

  ServiceManager* manager_;
  std::multimap<std::string, UniqueFd> left_;
};

}  // namespace cygnet
