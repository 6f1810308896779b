// IsolatedEngine: the host's half of an engine in a child process, behind the functions of
// struct cygnet_engine.
#pragma once

#include <cygnet/engine.h>

#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "plugin/isolation/child_process.h"
#include "plugin/isolation/job_slots.h"

namespace cygnet::isolation {

class IsolatedQueue;

class IsolatedEngine {
 public:
  // As cygnet_engine.open. `described`: the child must still be what it was.
  static int32_t Open(const std::string& path, const IsolationSettings& settings,
                      const Description& described, const cygnet_host* host,
                      const cygnet_engine_config* config, void** engine, cygnet_refusal* refusal);
  ~IsolatedEngine();

  ChildProcess& child() { return *child_; }

  // Functions of the table.
  void Close();
  int32_t Identity(cygnet_identity* identity) const;
  int32_t Limits(cygnet_engine_limits* limits) const;
  uint32_t State() const;
  int32_t Supports(const cygnet_session_params& params);
  int32_t CreateSession(const cygnet_session_params& params, void** session,
                        cygnet_refusal* refusal);
  void DestroySession(IsolatedSession* session);
  int32_t CreateQueue(uint32_t number, void** queue);
  void DestroyQueue(IsolatedQueue* queue);

 private:
  explicit IsolatedEngine(std::unique_ptr<ChildProcess> child) : child_(std::move(child)) {}
  int32_t OpenChild(const cygnet_engine_config& config, cygnet_refusal* refusal);
  void ReadFacts();

  const std::unique_ptr<ChildProcess> child_;
  uint32_t queue_depth_ = 0;
  cygnet_engine_limits limits_{};
  bool has_identity_ = false;
  uint32_t simulated_ = 0;
  std::string model_, serial_, version_;

  mutable std::mutex lock_;  // guards the two below
  std::unordered_set<IsolatedQueue*> queues_;
  std::unordered_set<uint64_t> sessions_;  // pointers of the plug-in that are in use
};

}  // namespace cygnet::isolation
