// IsolatedDriver: the host's half of a driver in a child process, behind the functions of
// struct cygnet_driver.
#pragma once

#include <cygnet/driver.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "plugin/isolation/child_process.h"
#include "plugin/isolation/isolated_port.h"

namespace cygnet::isolation {

class IsolatedDriver {
 public:
  // As cygnet_driver.open. `described`: the child must still be what it was.
  static int32_t Open(const std::string& path, const IsolationSettings& settings,
                      const Description& described, const cygnet_driver_open& params, void** device,
                      cygnet_refusal* refusal);
  ~IsolatedDriver();

  IsolatedPort& port() { return *port_; }

  // Functions of the table.
  void Close();
  const cygnet_caps* Caps() const { return &caps_; }
  void Identity(cygnet_identity* identity) const;
  void Status(cygnet_status* status) const;
  void Stats(cygnet_driver_stats* stats);
  void PortFacts(cygnet_port* port) const;
  int32_t InstallSa(const cygnet_sa& sa, uint32_t* handle, cygnet_refusal* refusal);
  int32_t OwnRefusal(const cygnet_sa& sa, cygnet_refusal* refusal);
  // Calls that have a handle alone.
  void OfHandle(Call call, uint32_t handle);
  void AdvanceEsn(uint32_t handle, uint64_t highest);

  // Packet offload.
  int32_t AddPolicy(const cygnet_policy& policy, uint32_t* handle, cygnet_refusal* refusal);
  void Grant(uint32_t handle, const cygnet_numbers& block);
  void SetLimits(uint32_t handle, const cygnet_limits& limits);
  int32_t Read(uint32_t handle, cygnet_reading* reading);
  int32_t TakeState(uint32_t handle, cygnet_reading* reading, uint32_t* bitmap, uint32_t* words);
  int32_t SetMirror(uint32_t n);

  // Optional parts.
  int32_t Loop(const cygnet_sa& sa, cygnet_packet* const* packets, uint32_t n,
               const char** reasons);
  int32_t Inject(const char* fault, cygnet_refusal* refusal);
  uint32_t View(char* text, uint32_t room);
  // Calls that fill a list. Returns what the plug-in returned, and writes no more than `room`.
  template <typename T>
  uint32_t List(Call call, T* entries, uint32_t room) {
    return ListBytes(call, entries, sizeof(T), std::min(room, kMostEntries));
  }
  // Lists that are taken piece by piece: the host goes on while it gets all that it asked for.
  template <typename T>
  uint32_t Take(Call call, T* entries, uint32_t room) {
    for (uint32_t n = 0;;) {
      const uint32_t asked = std::min(room - n, kMostEntries);
      const uint32_t got = ListBytes(call, entries + n, sizeof(T), asked);
      if (got > asked) return room + 1;  // for the host to judge
      n += got;
      if (got < asked || n == room) return n;
    }
  }

 private:
  // So that the answer fits into the page.
  static constexpr uint32_t kMostEntries = 512;

  explicit IsolatedDriver(std::unique_ptr<ChildProcess> child) : child_(std::move(child)) {}
  int32_t OpenChild(const cygnet_driver_open& params, cygnet_refusal* refusal);
  void TakeFacts(Reader* in);
  uint32_t ListBytes(Call call, void* entries, uint32_t entry_bytes, uint32_t room);
  // Of an answer with a refusal; a positive one is a lie.
  int32_t Result(int32_t result) const { return result > 0 ? -EPROTO : result; }

  const std::unique_ptr<ChildProcess> child_;
  std::unique_ptr<IsolatedPort> port_;

  // Facts that do not change while the device is open.
  cygnet_caps caps_{};
  std::string kernel_driver_;
  std::vector<cygnet_algorithm_caps> algorithms_;
  std::vector<std::string> names_;  // of algorithms_
  uint32_t simulated_ = 0;
  std::string model_, serial_, version_;
  cygnet_port port_facts_{};
};

}  // namespace cygnet::isolation
