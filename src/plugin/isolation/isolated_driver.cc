#include "plugin/isolation/isolated_driver.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "plugin/isolation/driver_message.h"
#include "plugin/isolation/refusal.h"

namespace cygnet::isolation {
namespace {

std::string TextOf(const char* text) { return text == nullptr ? std::string() : text; }

// A struct of the host that may be older: no member behind its size is written.
template <typename T>
void Fill(T* to, const T& from) {
  const uint32_t size = to->size;
  std::memcpy(to, &from, std::min<std::size_t>(size, sizeof(T)));
  to->size = size;
}

}  // namespace

IsolatedDriver::IsolatedDriver(const cygnet_driver_open& params)
    : own_host_(*params.services->host), seats_(params.services->queues) {
  order_.name = TextOf(params.name);
  order_.wire = TextOf(params.wire);
  for (uint32_t i = 0; i < params.option_count; ++i) {
    order_.options.emplace_back(TextOf(params.options[i].key), TextOf(params.options[i].value));
  }
  order_.services = params.services;
  order_.host = &own_host_;
  own_host_.context = this;
  own_host_.log = [](void* driver, uint32_t level, const char* text) {
    const cygnet_host* host = static_cast<IsolatedDriver*>(driver)->order_.services->host;
    host->log(host->context, level, text);
  };
  own_host_.ring = [](void* driver) { static_cast<IsolatedDriver*>(driver)->OnRing(); };
}

int32_t IsolatedDriver::Open(const std::string& path, const IsolationSettings& settings,
                             const Description& described, const cygnet_driver_open& params,
                             void** device, cygnet_refusal* refusal) {
  std::unique_ptr<IsolatedDriver> opened(new IsolatedDriver(params));
  opened->order_.path = path;
  opened->order_.settings = settings;
  opened->order_.described = described;
  for (Seat& seat : opened->seats_) {
    seat.renewed = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!seat.renewed.valid()) return -errno;
  }
  std::unique_ptr<DriverLife> first;
  const int32_t result = DriverLife::Begin(opened->order_, &first, refusal);
  if (result != 0) return result;
  opened->facts_ = first->TakeFacts();
  for (Seat& seat : opened->seats_) seat.life = first.get();
  opened->TakeOver(std::move(first));
  opened->keeper_ = std::thread([self = opened.get()] { self->Keep(); });
  *device = opened.release();
  return 0;
}

IsolatedDriver::~IsolatedDriver() { EndKeeper(); }

void IsolatedDriver::Close() {
  EndKeeper();
  const auto last = life();
  last->port().EndWatch();
  (void)last->child().Do(Call::kClose, nullptr, nullptr);
}

// --- Workers ---

IsolatedPort& IsolatedDriver::port(uint32_t queue) {
  Seat& seat = seats_[queue];
  DriverLife* newest = newest_.load(std::memory_order_acquire);
  if (newest != seat.life && seat.life->port().IsOver(queue)) {
    std::exchange(seat.life, newest)->Leave();
    uint64_t count = 0;
    (void)!read(seat.renewed.get(), &count, sizeof(count));
  }
  return seat.life->port();
}

int32_t IsolatedDriver::PrepareWait(uint32_t queue) {
  IsolatedPort& now = port(queue);
  if (newest_.load() != seats_[queue].life) return 0;
  return now.PrepareWait(queue);
}

// The bell of a process that has ended would ring forever.
int IsolatedDriver::wait_fd(uint32_t queue) const {
  const Seat& seat = seats_[queue];
  const int bell = seat.life->port().wait_fd(queue);
  return bell >= 0 ? bell : seat.renewed.get();
}

// --- Facts ---

void IsolatedDriver::Identity(cygnet_identity* identity) const {
  identity->simulated = facts().simulated;
  identity->model = facts().model.c_str();
  identity->serial = facts().serial.c_str();
  identity->version = facts().version.c_str();
}

void IsolatedDriver::Status(cygnet_status* status) const {
  const std::lock_guard lock(lock_);
  const ChildProcess& child = life_->child();
  const uint64_t word = child.state();
  status->state = child.failed() ? uint32_t{CYGNET_STATE_FAILED} : static_cast<uint32_t>(word);
  status->resets = resets_ + static_cast<uint32_t>(word >> 32);
}

void IsolatedDriver::Stats(cygnet_driver_stats* stats) {
  cygnet_driver_stats now{};
  const auto life = this->life();
  const int32_t result = life->child().Do(
      Call::kStats, nullptr, [&](Reader* in) { now = in->Take<cygnet_driver_stats>(); });
  const std::lock_guard lock(lock_);
  if (result == 0 && life == life_) last_stats_ = now;
  Fill(stats, Sum(past_stats_, last_stats_));
}

// Slots in use are those of the process that runs; packets are those of all.
cygnet_driver_stats IsolatedDriver::Sum(const cygnet_driver_stats& past,
                                        const cygnet_driver_stats& now) {
  cygnet_driver_stats sum = now;
  for (const auto count : {&cygnet_driver_stats::sealed, &cygnet_driver_stats::opened,
                           &cygnet_driver_stats::auth_failed, &cygnet_driver_stats::passed_unknown,
                           &cygnet_driver_stats::refusals, &cygnet_driver_stats::dropped_stale,
                           &cygnet_driver_stats::returned, &cygnet_driver_stats::resets,
                           &cygnet_driver_stats::rx_packets, &cygnet_driver_stats::rx_bytes,
                           &cygnet_driver_stats::tx_packets, &cygnet_driver_stats::tx_bytes,
                           &cygnet_driver_stats::rx_dropped}) {
    sum.*count += past.*count;
  }
  return sum;
}

void IsolatedDriver::PortFacts(cygnet_port* port) const {
  cygnet_port now = facts().port;
  const auto life = this->life();
  const uint64_t word = life->child().port();
  now.mtu = static_cast<uint32_t>(word);
  now.link_up = !life->child().failed() && (word >> 32) == 1 ? 1 : 0;
  Fill(port, now);
}

// --- SAs ---

int32_t IsolatedDriver::InstallSa(const cygnet_sa& sa, uint32_t* handle, cygnet_refusal* refusal) {
  uint32_t given = 0;
  const auto take = [&](Reader* in) {
    given = in->Take<uint32_t>();
    TakeRefusal(in, refusal);
  };
  const auto life = this->life();
  const int32_t result = life->child().Do(
      Call::kInstallSa, [&](Writer* out) { PutSa(out, sa); }, take);
  if (result != 0) return Result(result);
  const std::lock_guard lock(lock_);
  if (life != life_) return -ENETDOWN;
  held_.insert(given);
  unreleased_.insert(given);
  *handle = given;
  return 0;
}

void IsolatedDriver::ReleaseSa(uint32_t handle) {
  {
    const std::lock_guard lock(lock_);
    unreleased_.erase(handle);
  }
  OfHandle(Call::kReleaseSa, handle);
}

// The memory of a process that has ended is the kernel's: no key is left in it.
uint32_t IsolatedDriver::TakeErased(uint32_t* handles, uint32_t room) {
  const auto life = this->life();
  uint32_t n = Take(Call::kTakeErased, handles, room);
  const std::lock_guard lock(lock_);
  if (n > room) return n;  // for the host to judge
  for (uint32_t i = 0; i < n; ++i) held_.erase(handles[i]);
  if (!life->child().gone() || life != life_) return n;
  while (n < room && !held_.empty()) handles[n++] = held_.extract(held_.begin()).value();
  return n;
}

int32_t IsolatedDriver::OwnRefusal(const cygnet_sa& sa, cygnet_refusal* refusal) {
  return Result(Do(
      Call::kOwnRefusal, [&](Writer* out) { PutSa(out, sa); },
      [&](Reader* in) { TakeRefusal(in, refusal); }));
}

void IsolatedDriver::OfHandle(Call call, uint32_t handle) {
  (void)Do(
      call, [&](Writer* out) { out->Put(handle); }, nullptr);
}

void IsolatedDriver::AdvanceEsn(uint32_t handle, uint64_t highest) {
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(highest);
  };
  (void)Do(Call::kAdvanceEsn, put, nullptr);
}

// --- Lists ---

uint32_t IsolatedDriver::ListBytes(Call call, void* entries, uint32_t entry_bytes, uint32_t room) {
  uint32_t copied = 0;
  const auto take = [&](Reader* in) {
    while (in->ok() && !in->done()) {
      // More than there is room for is a malformed answer.
      const uint8_t* entry = in->Bytes(copied == room ? UINT32_MAX : entry_bytes);
      if (entry == nullptr) return;
      std::memcpy(static_cast<uint8_t*>(entries) + std::size_t{copied++} * entry_bytes, entry,
                  entry_bytes);
    }
  };
  const auto life = this->life();
  const int32_t result = life->child().Do(
      call, [&](Writer* out) { out->Put(room); }, take);
  if (result < 0) return 0;
  if (copied == std::min(static_cast<uint32_t>(result), room)) return static_cast<uint32_t>(result);
  life->child().Fail("it returned a list that is not as long as it says");
  return 0;
}

}  // namespace cygnet::isolation
