#include "cli/top/reader.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include <csignal>
#include <utility>

namespace cygnet::top {
namespace {

int64_t NowMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

Status Ask(OperatorClient* client, const Json& request, std::vector<Json>* items) {
  return client->ForEachItem(request, [items](const Json& item) { items->push_back(item); });
}

}  // namespace

Status Source::ReadAll(const std::optional<SaName>& about, Readings* readings, Detail* detail) {
  if (!client_) {
    auto connected = connect_();
    if (!connected) return connected.error();
    client_ = *std::move(connected);
  }
  CYGNET_RETURN_IF_ERROR(Ask(&*client_, sa_request_, &readings->of(Reading::kSas)));
  CYGNET_RETURN_IF_ERROR(
      Ask(&*client_, {{"command", "dev"}, {"brief", true}}, &readings->of(Reading::kDevices)));
  CYGNET_RETURN_IF_ERROR(Ask(&*client_, RequestFor(Reading::kStat), &readings->of(Reading::kStat)));
  if (!about) return {};
  ReadDetail(*about, detail);
  return {};
}

// What fails here takes the detail, not the view.
void Source::ReadDetail(const SaName& about, Detail* detail) {
  detail->read = true;
  Status read =
      Ask(&*client_, {{"command", "sa"}, {"spi", about.spi}, {"dst", about.dst}}, &detail->sas);
  if (read) {
    read = Ask(&*client_, {{"command", "ledger"}, {"spi", about.spi}, {"dst", about.dst}},
               &detail->ledger);
  }
  if (read) return;
  detail->error = read.error().message;
  client_.reset();  // it may be in the middle of an answer
}

View Source::Fail(std::string why) {
  client_.reset();  // it may be in the middle of an answer
  before_.reset();
  View view;
  view.time_ms = NowMs();
  view.error = std::move(why);
  return view;
}

View Source::Read(const std::optional<SaName>& about, Detail* detail) {
  Readings readings;
  const Status read = ReadAll(about, &readings, detail);
  if (!read) return Fail(read.error().message);
  const auto at = Clock::now();
  try {
    Taken now = Taken::Of(readings);
    const std::chrono::duration<double> between = at - before_at_;
    View view = MakeView(readings, before_ ? &*before_ : nullptr, now, between.count(), NowMs());
    before_ = std::move(now);
    before_at_ = at;
    return view;
  } catch (const std::exception& error) {
    // A field has another type in another version of the daemon.
    return Fail(std::string("cygnetd's answer is not understood: ") + error.what());
  }
}

struct Reader::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  UniqueFd event_fd{eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  Wanted wanted;
  bool hurry = false;  // a drill-down wants its SA at once
  bool stopped = false;
  std::optional<Look> look;
};

void Reader::Run(const std::shared_ptr<Shared>& shared, Source source) {
  using Clock = std::chrono::steady_clock;
  std::unique_lock lock(shared->mutex);
  while (!shared->stopped) {
    const Wanted wanted = shared->wanted;
    shared->hurry = false;
    lock.unlock();
    const auto begin = Clock::now();
    Look look{.view = nullptr, .detail = {}, .about = wanted.about};
    View view = source.Read(wanted.about, &look.detail);
    const std::chrono::duration<double> took = Clock::now() - begin;
    const double least = 10 * took.count();
    if (least > wanted.delay) view.read_every = least;
    look.view = std::make_shared<const View>(std::move(view));
    lock.lock();
    shared->look = std::move(look);
    (void)eventfd_write(shared->event_fd.get(), 1);
    const auto due = [&] {
      const double seconds = shared->hurry ? least : std::max(shared->wanted.delay, least);
      return begin +
             std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    };
    while (!shared->stopped && (shared->wanted.paused || Clock::now() < due())) {
      if (shared->wanted.paused) {
        shared->changed.wait(lock);
      } else {
        shared->changed.wait_until(lock, due());
      }
    }
  }
}

// Signals are for the thread that has the terminal.
Reader::Reader(Source source) : shared_(std::make_shared<Shared>()) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread([shared = shared_, own = std::move(source)]() mutable {
    Run(shared, std::move(own));
  }).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Reader::~Reader() {
  const std::lock_guard lock(shared_->mutex);
  shared_->stopped = true;
  shared_->changed.notify_all();
}

int Reader::event_fd() const { return shared_->event_fd.get(); }

void Reader::Want(const Wanted& wanted) {
  const std::lock_guard lock(shared_->mutex);
  if (shared_->wanted == wanted) return;
  if (wanted.about && shared_->wanted.about != wanted.about) shared_->hurry = true;
  shared_->wanted = wanted;
  shared_->changed.notify_all();
}

std::optional<Reader::Look> Reader::Take() {
  const std::lock_guard lock(shared_->mutex);
  eventfd_t count;
  (void)eventfd_read(shared_->event_fd.get(), &count);
  return std::exchange(shared_->look, std::nullopt);
}

}  // namespace cygnet::top
