// DriverLife: one life of an isolated driver: its process, its packets, and what it says of itself.
// A driver whose process has ended gets another life.
#pragma once

#include <cygnet/driver.h>

#include <atomic>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "plugin/isolation/child_process.h"
#include "plugin/isolation/isolated_port.h"

namespace cygnet::isolation {

// What a driver says once, when it is opened. Its pointers are valid as long as this, which does
// not move.
struct DriverFacts {
  DriverFacts() = default;
  DriverFacts(const DriverFacts&) = delete;
  DriverFacts& operator=(const DriverFacts&) = delete;

  void Take(Reader* in);
  bool SameAs(const DriverFacts& other) const;

  cygnet_caps caps{};
  std::string kernel_driver;
  std::vector<cygnet_algorithm_caps> algorithms;
  std::vector<std::string> names;  // of `algorithms`
  uint32_t simulated = 0;
  std::string model, serial, version;
  cygnet_port port{};
};

// What `open` got, for every life.
struct DriverOrder {
  std::string path;
  IsolationSettings settings;
  Description described;  // the child must still be this
  std::string name, wire;
  std::vector<std::pair<std::string, std::string>> options;
  const cygnet_driver_host* services;
  const cygnet_host* host;  // for lines and rings of the child
};

class DriverLife {
 public:
  // As cygnet_driver.open. The child ends with the thread that calls this.
  static int32_t Begin(const DriverOrder& order, std::unique_ptr<DriverLife>* life,
                       cygnet_refusal* refusal);
  ~DriverLife();

  ChildProcess& child() { return *child_; }
  IsolatedPort& port() { return *port_; }
  const DriverFacts& facts() const { return *facts_; }
  std::unique_ptr<DriverFacts> TakeFacts() { return std::move(facts_); }

  // A worker has got all packets of its queue back and does not come again.
  void Leave() { left_.fetch_add(1, std::memory_order_release); }
  bool AllHaveLeft() const { return left_.load(std::memory_order_acquire) == queues_; }

 private:
  explicit DriverLife(std::unique_ptr<ChildProcess> child, uint32_t queues)
      : child_(std::move(child)), queues_(queues) {}
  int32_t Open(const DriverOrder& order, cygnet_refusal* refusal);

  const std::unique_ptr<ChildProcess> child_;
  const uint32_t queues_;
  std::atomic<uint32_t> left_{0};
  std::unique_ptr<IsolatedPort> port_;  // uses the child
  std::unique_ptr<DriverFacts> facts_ = std::make_unique<DriverFacts>();
};

}  // namespace cygnet::isolation
