#include "plugin/plugin_contract.h"

#include "base/log.h"

namespace cygnet {

std::string PluginContract::breach() const {
  const std::lock_guard lock(mutex_);
  return breach_;
}

void PluginContract::Break(const std::string& what) {
  {
    const std::lock_guard lock(mutex_);
    if (broken_.exchange(true, std::memory_order_acq_rel)) return;
    breach_ = what;
    if (bell_ != nullptr) bell_->Ring();
  }
  Log(LogLevel::kError, name_ + " has broken the contract of drivers: " + what +
                            "; it is not used any more. Tell its vendor, and restart cygnetd to "
                            "open it again");
}

void PluginContract::SetBell(Doorbell* bell) {
  const std::lock_guard lock(mutex_);
  bell_ = bell;
}

void PluginContract::Ring() {
  const std::lock_guard lock(mutex_);
  if (bell_ != nullptr) bell_->Ring();
}

}  // namespace cygnet
