// Monitor: the one thread that reads the daemon, and what it read last, for all who look. It reads
// once a second while pages are open, seldom otherwise, and never so often that reading is more
// than a tenth of the time.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "web/history.h"
#include "web/reader.h"
#include "web/view.h"

namespace cygnet::web {

// What was read at one time. Does not change.
struct Look {
  uint64_t number = 0;
  std::chrono::steady_clock::time_point when;
  std::string view;   // JSON
  std::string error;  // why the daemon could not be read; the readings are empty then
  Readings readings;
};

class Monitor {
 public:
  Monitor(ReaderClient reader, History* history) : reader_(std::move(reader)), history_(history) {}

  // Reads until Stop, or until the reader has ended; false in that case.
  bool Run();
  void Stop();
  bool stopped() const { return stopped_; }

  // The look after `number`; nullptr: none within `patience`, or the end.
  std::shared_ptr<const Look> After(uint64_t number, std::chrono::milliseconds patience);
  // A look that is not older than a second, if the daemon answers in time; else the last one.
  std::shared_ptr<const Look> Fresh();

  // While one exists, the daemon is read each second.
  class Watcher {
   public:
    // `most` at a time; else valid() is false.
    Watcher(Monitor* monitor, int most) : monitor_(monitor) {
      if (monitor_->watchers_.fetch_add(1) >= most) valid_ = false;
      monitor_->Wake();
    }
    ~Watcher() { monitor_->watchers_.fetch_sub(1); }
    Watcher(const Watcher&) = delete;
    Watcher& operator=(const Watcher&) = delete;
    bool valid() const { return valid_; }

   private:
    Monitor* const monitor_;
    bool valid_ = true;
  };

 private:
  static constexpr std::chrono::milliseconds kWatched{1000};
  static constexpr std::chrono::milliseconds kUnwatched{10'000};
  static constexpr std::size_t kMarks = 100;

  void Wake();
  // False: the reader has ended.
  bool LookOnce();
  Status ReadAll(Readings* readings);
  void MakeViewOf(Look* look, int64_t time_ms);
  void KeepHistory(const Look& look, const Counts& counts, int64_t time_ms);
  void Publish(std::shared_ptr<Look> look);

  ReaderClient reader_;
  History* const history_;
  std::atomic<int> watchers_{0};

  // The thread of Run.
  std::shared_ptr<const Look> last_good_;
  std::optional<Counts> counts_;
  std::chrono::steady_clock::time_point counted_at_;
  std::optional<Counts> stored_;
  int64_t stored_at_ = 0;
  std::deque<Mark> marks_;       // the latest, for the page
  std::vector<Mark> new_marks_;  // since the last sample

  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable wake_;
  std::shared_ptr<const Look> look_;
  bool wanted_ = false;
  std::atomic<bool> stopped_{false};
};

}  // namespace cygnet::web
