#include "plugin/plugin_contract.h"

#include "base/log.h"

namespace cygnet {

std::string PluginContract::breach() const {
  const std::lock_guard lock(mutex_);
  return breach_;
}

void PluginContract::Break(const std::string& what) {
  {
    const std::lock_guard lock(end_mutex_);
    if (end_) {
      Note(what);
      return end_(std::string(kBrokeContract) + what);
    }
  }
  if (broken_.exchange(true, std::memory_order_acq_rel)) return;
  Note(what);
  Ring();
  Log(LogLevel::kError, name_ + " has broken the contract of drivers: " + what +
                            "; it is not used any more. Tell its vendor, and restart cygnetd to "
                            "open it again");
}

void PluginContract::Note(const std::string& what) {
  const std::lock_guard lock(mutex_);
  if (breach_.empty()) breach_ = what;
}

void PluginContract::SetEndProcess(EndProcess end) {
  const std::lock_guard lock(end_mutex_);
  end_ = std::move(end);
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
