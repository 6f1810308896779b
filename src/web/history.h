// History: samples and marks of a month, in an SQLite file that does not grow beyond its limit. A
// sample is an object of numbers, which are summed when samples are joined; in its member "gauges"
// the largest counts. What cannot be stored is not: the rest of the program goes on without.
#pragma once

#include <sqlite3.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/operator_client.h"
#include "web/marks.h"

namespace cygnet::web {

class History {
 public:
  static constexpr int64_t kSampleSeconds = 10;
  static constexpr int64_t kMostBytes = 48 << 20;
  static constexpr std::size_t kMostMarks = 20'000;

  // `path` empty: nothing is stored.
  explicit History(std::string path);
  ~History();

  // `at`: seconds since 1970. If the file cannot be written, it is tried again a minute later.
  void Add(int64_t at, const Json& sample, const std::vector<Mark>& marks);

  // {"step": seconds, "samples": [[at, sample] …], "marks": […]}, from the finest level that covers
  // the time.
  Json Since(int64_t from, int64_t now);

  // Why nothing is stored; empty: all is well.
  std::string error() const;

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };

  bool Ready(int64_t at);
  bool PutAside();
  Status Open();
  Status Run(const std::string& sql);
  Status Store(int64_t at, const Json& sample, const std::vector<Mark>& marks);
  Status Join(int level, int64_t at, const Json& sample);
  Error LastError() const;

  const std::string path_;
  mutable std::mutex mutex_;
  std::unique_ptr<sqlite3, Close> db_;
  std::string error_;
  int64_t retry_at_ = 0;
};

// Joins `more` into `sum`.
void JoinSamples(const Json& more, Json* sum);

}  // namespace cygnet::web
