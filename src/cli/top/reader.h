// Reader: reads the daemon in a thread of its own, so that keys are answered while it reads. It
// never reads so often that reading is more than a tenth of the time.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "cli/top/layout.h"
#include "client/operator_client.h"

namespace cygnet::top {

// The SA of a drill-down, as requests name it.
struct SaName {
  std::string spi;
  std::string dst;
  bool operator==(const SaName&) const = default;
};

// Makes views of successive readings.
class Source {
 public:
  // `sa_request`: which SAs.
  Source(OperatorConnector connect, Json sa_request)
      : connect_(std::move(connect)), sa_request_(std::move(sa_request)) {}

  // Blocks. An error is in the view. `about`: fills `detail`.
  View Read(const std::optional<SaName>& about, Detail* detail);

 private:
  using Clock = std::chrono::steady_clock;

  Status ReadAll(const std::optional<SaName>& about, Readings* readings, Detail* detail);
  void ReadDetail(const SaName& about, Detail* detail);
  View Fail(std::string why);

  const OperatorConnector connect_;
  const Json sa_request_;
  std::optional<OperatorClient> client_;
  std::optional<Taken> before_;
  Clock::time_point before_at_;
};

class Reader {
 public:
  struct Wanted {
    double delay = 1;
    bool paused = false;
    std::optional<SaName> about;
    bool operator==(const Wanted&) const = default;
  };
  struct Look {
    std::shared_ptr<const View> view;
    Detail detail;
    std::optional<SaName> about;  // that the detail is of
  };

  explicit Reader(Source source);
  // Does not wait for the thread: the daemon may hang. It ends with the process.
  ~Reader();

  // Readable when there is a new look.
  int event_fd() const;
  void Want(const Wanted& wanted);
  std::optional<Look> Take();

 private:
  struct Shared;
  static void Run(const std::shared_ptr<Shared>& shared, Source source);

  const std::shared_ptr<Shared> shared_;
};

}  // namespace cygnet::top
