// ChildProcess: the process of one isolated plug-in, its control calls and its events.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "plugin/isolation/isolation.h"
#include "plugin/isolation/message.h"
#include "plugin/isolation/protocol.h"
#include "plugin/isolation/shared_memory.h"
#include "plugin/isolation/watchdog.h"

namespace cygnet::isolation {

class ChildProcess {
 public:
  // Starts `plugin` and reads its description. The error says why it does not load.
  static Result<std::unique_ptr<ChildProcess>> Start(const char* kind, const std::string& plugin,
                                                     const IsolationSettings& settings);
  // Kills the child if it still runs.
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  const Description& description() const { return description_; }
  // name, version, vendor, help.
  const std::vector<std::string>& texts() const { return texts_; }
  // Once; for the log and reports: what protects the host, and what does not.
  std::string Protection() const;
  pid_t pid() const { return pid_; }

  // Where lines and rings of the plug-in go, and failures. nullptr: nowhere; afterwards the former
  // host is not called any more.
  void SetHost(const cygnet_host* host);
  void Ring();

  // --- Failure; any thread ---
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  // CLOCK_MONOTONIC, when it failed.
  uint64_t failed_at_ns() const { return failed_at_ns_.load(std::memory_order_relaxed); }
  std::string failure() const;
  // The process has ended, and with it the memory that it had for itself.
  bool gone() const { return gone_.load(std::memory_order_acquire); }
  // Kills the child, logs and rings. The first reason stays.
  void Fail(const std::string& why);

  // Of threads that are stuck in the plug-in: then the child fails.
  Watchdog* watchdog() { return &watchdog_; }

  // --- Control calls; any thread, one at a time ---
  using Put = std::function<void(Writer*)>;
  using Take = std::function<void(Reader*)>;
  // The answer's result; -ENETDOWN if the child has failed, or fails by this call. `take` reads the
  // answer, of which the host has its own copy; it must read all of it. `fds`: at most kMaxFds.
  int32_t Do(Call call, const Put& put, const Take& take, std::span<const int> fds = {});

  // As the child wrote it last; any value.
  uint64_t state() const { return page().state.load(std::memory_order_acquire); }
  uint64_t port() const { return page().port.load(std::memory_order_acquire); }

 private:
  ChildProcess(std::string plugin, const IsolationSettings& settings, SharedMemory page);
  Status Spawn(const char* kind, const IsolationSettings& settings);
  Status ReadDescription();
  ControlPage& page() const { return *static_cast<ControlPage*>(page_.data()); }
  bool SendRequest(const Signal& signal, std::span<const int> fds);
  // False: it did not come in time, or is not the answer to `request`.
  bool ReceiveAnswer(const Signal& request, std::chrono::milliseconds patience, Signal* answer);
  void Watch();
  void LookForStuckThreads();
  // False: too many for now.
  bool ReadEvents();
  void Accept(const Event& event);
  void WaitForEnd();
  void Reap();

  const std::string plugin_;
  const std::chrono::milliseconds open_patience_;
  const std::chrono::milliseconds patience_;
  const SharedMemory page_;
  pid_t pid_ = -1;
  UniqueFd pidfd_, control_, events_, stop_;
  Description description_{};
  std::vector<std::string> texts_;

  std::mutex control_lock_;  // guards the page's bytes and the two below
  uint32_t sequence_ = 0;
  std::vector<uint8_t> answer_;

  mutable std::mutex failure_lock_;  // guards failure_
  std::string failure_;
  std::atomic<bool> failed_{false};
  std::atomic<bool> gone_{false};
  std::atomic<bool> closing_{false};  // the child may end
  std::atomic<bool> ending_{false};   // the host ends it
  std::atomic<uint64_t> failed_at_ns_{0};

  std::mutex reap_lock_;
  std::mutex host_lock_;  // held while the host is called
  const cygnet_host* host_ = nullptr;

  Watchdog watchdog_;
  std::atomic<bool> in_call_{false};  // the patience of a control call runs
  uint64_t next_look_ns_ = 0;
  std::thread watch_;
};

}  // namespace cygnet::isolation
