#include "web/monitor.h"

#include <algorithm>
#include <exception>

#include "client/json_fields.h"

namespace cygnet::web {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

int64_t NowMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// What happened between two counts, and how things stand, for the history.
Json SampleOf(const Counts& before, const Counts& now, const Readings& readings) {
  Json sample = {{"packets", 0}, {"bytes", 0}, {"drops", Json::object()}};
  uint64_t packets = 0;
  uint64_t bytes = 0;
  for (const auto& [key, counted] : now.sas) {
    const auto was = before.sas.find(key);
    packets += Rise(was == before.sas.end() ? 0 : was->second.packets, counted.packets);
    bytes += Rise(was == before.sas.end() ? 0 : was->second.bytes, counted.bytes);
  }
  sample["packets"] = packets;
  sample["bytes"] = bytes;
  for (const auto& [reason, count] : now.drops) {
    const auto was = before.drops.find(reason);
    const uint64_t rise = Rise(was == before.drops.end() ? 0 : was->second, count);
    if (rise > 0) sample["drops"][reason] = rise;
  }
  constexpr std::size_t kMostDevices = 16;
  Json gauges = {{"sas", readings.of(Reading::kSas).size()}};
  std::size_t devices = 0;
  for (const Json& device : readings.of(Reading::kDevices)) {
    const Json& offload = Child(device, "offload");
    if (!offload.value("capable", false) || ++devices > kMostDevices) continue;
    gauges["slots " + Text(device, "name")] = Number(offload, "slots_used");
  }
  sample["gauges"] = std::move(gauges);
  return sample;
}

}  // namespace

void Monitor::Wake() {
  const std::lock_guard lock(mutex_);
  wanted_ = true;
  wake_.notify_all();
}

void Monitor::Stop() {
  const std::lock_guard lock(mutex_);
  stopped_ = true;
  wake_.notify_all();
  changed_.notify_all();
}

bool Monitor::Run() {
  for (;;) {
    const auto begin = steady_clock::now();
    if (!LookOnce()) {
      Stop();
      return false;
    }
    const auto took = std::chrono::duration_cast<milliseconds>(steady_clock::now() - begin);
    // At least so long after the beginning, whoever waits.
    const auto soonest = begin + std::max(kWatched, 10 * took);
    std::unique_lock lock(mutex_);
    wanted_ = false;
    wake_.wait_until(lock, std::max(begin + kUnwatched, soonest),
                     [&] { return stopped_ || wanted_ || watchers_.load() > 0; });
    wake_.wait_until(lock, soonest, [&] { return stopped_.load(); });
    if (stopped_) return true;
  }
}

Status Monitor::ReadAll(Readings* readings) {
  for (std::size_t i = 0; i < kReadings; ++i) {
    const auto reading = static_cast<Reading>(i);
    CYGNET_RETURN_IF_ERROR(reader_.Read(reading, &readings->of(reading)));
  }
  return {};
}

bool Monitor::LookOnce() {
  auto look = std::make_shared<Look>();
  const Status read = ReadAll(&look->readings);
  if (!read && read.error().code == Errc::kNoSuchProcess) return false;
  look->when = steady_clock::now();
  const int64_t time_ms = NowMs();
  if (!read) look->error = read.error().message;
  if (look->error.empty()) {
    try {
      MakeViewOf(look.get(), time_ms);
    } catch (const std::exception& error) {
      // A field has another type in another version of the daemon.
      look->error = std::string("cygnetd's answer is not understood: ") + error.what();
    }
  }
  if (!look->error.empty()) {
    look->readings = Readings();
    look->view = Dump({{"time_ms", time_ms}, {"daemon", {{"up", false}, {"error", look->error}}}});
    counts_.reset();
    stored_.reset();
  }
  Publish(std::move(look));
  return true;
}

void Monitor::MakeViewOf(Look* look, int64_t time_ms) {
  Counts now = Counts::Of(look->readings);
  const std::chrono::duration<double> between = look->when - counted_at_;
  const Readings* before = last_good_ == nullptr ? nullptr : &last_good_->readings;
  for (Mark& mark : MarksSince(before, look->readings, time_ms)) {
    new_marks_.push_back(mark);
    marks_.push_back(std::move(mark));
    if (marks_.size() > kMarks) marks_.pop_front();
  }
  Json view = MakeView({.readings = &look->readings,
                        .before = counts_ ? &*counts_ : nullptr,
                        .now = &now,
                        .seconds = counts_ ? between.count() : 0.0,
                        .time_ms = time_ms});
  KeepHistory(*look, now, time_ms);
  view["history_error"] = history_->error();
  view["marks"] = Json::array();
  for (const Mark& mark : marks_) view["marks"].push_back(ToJson(mark));
  look->view = Dump(view);
  counts_ = std::move(now);
  counted_at_ = look->when;
}

void Monitor::KeepHistory(const Look& look, const Counts& counts, int64_t time_ms) {
  constexpr std::size_t kMostNewMarks = 500;
  const int64_t slot = time_ms / 1000 / History::kSampleSeconds * History::kSampleSeconds;
  if (new_marks_.size() > kMostNewMarks) {
    new_marks_.erase(new_marks_.begin(),
                     new_marks_.end() - static_cast<std::ptrdiff_t>(kMostNewMarks));
  }
  if (stored_ && slot <= stored_at_ && slot > stored_at_ - History::kSampleSeconds) return;
  if (stored_) {
    history_->Add(slot, SampleOf(*stored_, counts, look.readings), new_marks_);
    new_marks_.clear();
  }
  stored_ = counts;
  stored_at_ = slot;
}

void Monitor::Publish(std::shared_ptr<Look> look) {
  const std::lock_guard lock(mutex_);
  look->number = look_ == nullptr ? 1 : look_->number + 1;
  if (look->error.empty()) last_good_ = look;
  look_ = std::move(look);
  changed_.notify_all();
}

std::shared_ptr<const Look> Monitor::After(uint64_t number, std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, patience,
                    [&] { return stopped_ || (look_ != nullptr && look_->number > number); });
  return !stopped_ && look_ != nullptr && look_->number > number ? look_ : nullptr;
}

std::shared_ptr<const Look> Monitor::Fresh() {
  constexpr milliseconds kPatience{3000};
  std::unique_lock lock(mutex_);
  const auto oldest = steady_clock::now() - kWatched;
  const auto fresh = [&] { return stopped_ || (look_ != nullptr && look_->when > oldest); };
  if (!fresh()) {
    wanted_ = true;
    wake_.notify_all();
    changed_.wait_for(lock, kPatience, fresh);
  }
  return look_;
}

}  // namespace cygnet::web
