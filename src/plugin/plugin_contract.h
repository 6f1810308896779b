// PluginContract: whether a plug-in still keeps the contract, and its bell. The first breach ends
// it: from then on the plug-in gets nothing and nothing is taken from it. A plug-in in a process of
// its own loses that process instead, and begins again with another one.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <string>

#include "base/doorbell.h"

namespace cygnet {

inline constexpr char kBrokeContract[] = "it broke the contract of drivers: ";

class PluginContract {
 public:
  explicit PluginContract(std::string name) : name_(std::move(name)) {}

  // Any thread.
  bool broken() const { return broken_.load(std::memory_order_acquire); }
  // What broke it first; empty: nothing did.
  std::string breach() const;
  // Logs the first breach and rings the bell. Any thread, rare.
  void Break(const std::string& what);

  // Ends the process of the plug-in and says why. nullptr: it has none; the former function is not
  // called any more.
  using EndProcess = std::function<void(const std::string& why)>;
  void SetEndProcess(EndProcess end);

  void SetBell(Doorbell* bell);
  void Ring();

 private:
  void Note(const std::string& what);

  const std::string name_;
  std::atomic<bool> broken_{false};
  mutable std::mutex mutex_;  // so that an old bell is not rung after SetBell
  std::string breach_;
  Doorbell* bell_ = nullptr;
  std::mutex end_mutex_;  // held while end_ is called
  EndProcess end_;
};

}  // namespace cygnet
