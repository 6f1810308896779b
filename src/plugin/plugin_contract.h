// PluginContract: whether a plug-in still keeps the contract, and its bell. The first breach ends
// it: from then on the plug-in gets nothing and nothing is taken from it.
#pragma once

#include <atomic>
#include <mutex>
#include <string>

#include "base/doorbell.h"

namespace cygnet {

class PluginContract {
 public:
  explicit PluginContract(std::string name) : name_(std::move(name)) {}

  // Any thread.
  bool broken() const { return broken_.load(std::memory_order_acquire); }
  // What broke it; empty: nothing did.
  std::string breach() const;
  // Logs the first breach and rings the bell. Any thread, rare.
  void Break(const std::string& what);

  void SetBell(Doorbell* bell);
  void Ring();

 private:
  const std::string name_;
  std::atomic<bool> broken_{false};
  mutable std::mutex mutex_;  // so that an old bell is not rung after SetBell
  std::string breach_;
  Doorbell* bell_ = nullptr;
};

}  // namespace cygnet
