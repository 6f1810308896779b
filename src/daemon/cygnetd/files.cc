// The files that the daemon keeps: watched while it serves, so that what somebody does to one is
// mended at once. Without a watch they are looked at once a second, as they are with one.
#include "base/log.h"
#include "daemon/cygnetd/runtime.h"

namespace cygnet {

void Runtime::WatchFiles() {
  const Status watched = StartFileWatch();
  if (!watched) {
    Log(LogLevel::kWarning,
        "what is done to the restart file and the ledger is noticed within a "
        "second, not at once: " +
            watched.error().message);
  }
  LookAtFiles();  // what was done before the watch was there
}

Status Runtime::StartFileWatch() {
  if (restart_log_ == nullptr && ledger_file_ == nullptr) return {};
  auto watch = FileWatch::Create();
  if (!watch) return watch.error();
  file_watch_ = *std::move(watch);
  CYGNET_RETURN_IF_ERROR(
      poller_->Add(file_watch_->event_fd(), EPOLLIN, [this](uint32_t) { file_watch_->Drain(); }));
  if (restart_log_ != nullptr) {
    CYGNET_RETURN_IF_ERROR(
        file_watch_->Add(restart_log_->path(), [this] { restart_log_->Tick(); }));
  }
  if (ledger_file_ != nullptr) {
    CYGNET_RETURN_IF_ERROR(
        file_watch_->Add(ledger_file_->path(), [this] { ledger_file_->Sync(); }));
  }
  return {};
}

void Runtime::LookAtFiles() {
  if (file_watch_ != nullptr) file_watch_->Renew();
  if (restart_log_ != nullptr) restart_log_->Tick();
  if (ledger_file_ != nullptr) ledger_file_->Sync();
}

}  // namespace cygnet
