// IsolatedDriver: the host's half of a driver in a child process, behind the functions of
// struct cygnet_driver. If the process ends, a thread, the keeper, starts it again: for the stack
// this is a reset of the device.
#pragma once

#include <cygnet/driver.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "plugin/isolation/driver_life.h"
#include "plugin/isolation/driver_message.h"

namespace cygnet::isolation {

class IsolatedDriver {
 public:
  // As cygnet_driver.open. `described`: the child must still be what it was.
  static int32_t Open(const std::string& path, const IsolationSettings& settings,
                      const Description& described, const cygnet_driver_open& params, void** device,
                      cygnet_refusal* refusal);
  ~IsolatedDriver();

  // The packets of a worker: of the newest process, once those of the one before are back. Worker.
  IsolatedPort& port(uint32_t queue);
  int32_t PrepareWait(uint32_t queue);
  int wait_fd(uint32_t queue) const;

  // Why the process ended; empty: it runs. Any thread.
  std::string failure() const;
  // Ends the process: the host has found it breaking the contract. Any thread.
  void Fail(const std::string& why);
  // Does not wait for the time of the next start. Any thread.
  void Restart();

  // Functions of the table.
  void Close();
  const cygnet_caps* Caps() const { return &facts().caps; }
  void Identity(cygnet_identity* identity) const;
  void Status(cygnet_status* status) const;
  void Stats(cygnet_driver_stats* stats);
  void PortFacts(cygnet_port* port) const;
  int32_t InstallSa(const cygnet_sa& sa, uint32_t* handle, cygnet_refusal* refusal);
  int32_t OwnRefusal(const cygnet_sa& sa, cygnet_refusal* refusal);
  void ReleaseSa(uint32_t handle);
  uint32_t TakeErased(uint32_t* handles, uint32_t room);
  // Calls that have a handle of an SA alone.
  void OfHandle(Call call, uint32_t handle);
  void AdvanceEsn(uint32_t handle, uint64_t highest);

  // Packet offload.
  int32_t AddPolicy(const cygnet_policy& policy, uint32_t* handle, cygnet_refusal* refusal);
  void RemovePolicy(uint32_t handle);
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
  // Where a worker is.
  struct Seat {
    DriverLife* life = nullptr;
    UniqueFd renewed;  // eventfd: there is a newer life
  };

  explicit IsolatedDriver(const cygnet_driver_open& params);
  std::shared_ptr<DriverLife> life() const;
  int32_t Do(Call call, const ChildProcess::Put& put, const ChildProcess::Take& take) {
    return life()->child().Do(call, put, take);
  }
  // Of the first life; all others have the same.
  const DriverFacts& facts() const { return *facts_; }
  static cygnet_driver_stats Sum(const cygnet_driver_stats& past, const cygnet_driver_stats& now);
  uint32_t ListBytes(Call call, void* entries, uint32_t entry_bytes, uint32_t room);
  // Of an answer with a refusal; a positive one is a lie.
  int32_t Result(int32_t result) const { return result > 0 ? -EPROTO : result; }

  // False: another policy has it.
  bool NamePolicy(const std::shared_ptr<DriverLife>& life, uint32_t given, uint32_t* handle);
  void OnRing();

  // The keeper. With lock_ held: NoteEnd and MayStart.
  void Keep();
  void NoteEnd();
  bool MayStart() const;
  void Start();
  bool BeginAgain(std::unique_ptr<DriverLife>* born, std::string* problem);
  void TakeOver(std::unique_ptr<DriverLife> born);
  void EndKeeper();
  void Say(uint32_t level, const std::string& line) const;

  DriverOrder order_;
  cygnet_host own_host_{};  // rings here, then at the real one
  std::unique_ptr<DriverFacts> facts_;
  std::vector<Seat> seats_;
  std::atomic<DriverLife*> newest_{nullptr};

  mutable std::mutex lock_;  // guards what follows
  std::condition_variable changed_;
  std::shared_ptr<DriverLife> life_;
  std::shared_ptr<DriverLife> before_;  // until all workers have left it
  uint32_t resets_ = 0;                 // lives before this one, and their resets
  cygnet_driver_stats last_stats_{};    // of this life
  cygnet_driver_stats past_stats_{};    // sums of the lives before
  uint32_t mirror_ = 0;
  std::unordered_set<uint32_t> held_;        // handles whose keys are not reported as erased
  std::unordered_set<uint32_t> unreleased_;  // handles that packets may name
  std::unordered_map<uint32_t, uint32_t> policies_;  // the host's handle: the child's
  uint32_t next_policy_ = 1;
  bool asked_ = false;
  bool ending_ = false;
  uint64_t born_ns_ = 0;
  uint64_t start_at_ns_ = 0;  // 0: the life has not ended
  std::chrono::milliseconds wait_{0};
  std::thread keeper_;
};

}  // namespace cygnet::isolation
