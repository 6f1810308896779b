// Watchdog: finds a thread of the child that does not come back from the plug-in. Each thread of
// the child counts its turns in shared memory; one that is silent for kLooks looks is stuck.
// Counting looks instead of time forgives a machine that stood still.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace cygnet::isolation {

class Watchdog {
 public:
  // A stuck engine fails before its host gives up its jobs, which takes the whole patience.
  static constexpr uint32_t kLooksInPatience = 8;
  static constexpr uint32_t kLooks = 6;

  // Any thread. `beat`: in memory of the child, valid until Remove returns. `what`: names the
  // thread. While `excused` is true, something else limits the time; nullptr: never.
  void Add(const std::atomic<uint32_t>* beat, std::string what,
           const std::atomic<bool>* excused = nullptr);
  void Remove(const std::atomic<uint32_t>* beat);

  // One look at all threads. Returns the name of one that is stuck.
  std::optional<std::string> Look();

 private:
  struct Row {
    const std::atomic<uint32_t>* beat;
    std::string what;
    const std::atomic<bool>* excused;
    uint32_t last;
    uint32_t silent = 0;  // looks since the count last changed
  };

  std::mutex lock_;
  std::vector<Row> rows_;
};

}  // namespace cygnet::isolation
