// Packet offload and the optional parts of an isolated driver.
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>

#include "plugin/isolation/driver_message.h"
#include "plugin/isolation/isolated_driver.h"
#include "plugin/isolation/refusal.h"

namespace cygnet::isolation {
namespace {

// Names of drop reasons are valid as long as the process. A child gets room for a few.
const char* Lasting(const char* reason) {
  constexpr std::size_t kMost = 64;
  static std::mutex lock;
  static std::set<std::string> names;
  const std::lock_guard guard(lock);
  if (names.size() >= kMost && names.count(reason) == 0) return "out-device-error";
  return names.insert(std::string(reason).substr(0, kReasonBytes)).first->c_str();
}

}  // namespace

// Handles of policies are the host's own: one of a process that has ended names none of the next.
int32_t IsolatedDriver::AddPolicy(const cygnet_policy& policy, uint32_t* handle,
                                  cygnet_refusal* refusal) {
  if (policy.template_count > kMaxTemplates) return -EOPNOTSUPP;
  const auto life = this->life();
  uint32_t given = 0;
  const auto take = [&](Reader* in) {
    given = in->Take<uint32_t>();
    TakeRefusal(in, refusal);
  };
  const int32_t result = life->child().Do(
      Call::kAddPolicy, [&](Writer* out) { PutPolicy(out, policy); }, take);
  if (result != 0) return Result(result);
  if (NamePolicy(life, given, handle)) return 0;
  life->child().Fail("add_policy returned a handle that another policy has");
  return -ENETDOWN;
}

// False: another policy has it.
bool IsolatedDriver::NamePolicy(const std::shared_ptr<DriverLife>& life, uint32_t given,
                                uint32_t* handle) {
  const std::lock_guard lock(lock_);
  *handle = next_policy_++;
  if (life != life_) return true;  // ended meanwhile: the handle is void already
  const bool twice = std::any_of(policies_.begin(), policies_.end(),
                                 [given](const auto& row) { return row.second == given; });
  if (!twice) policies_[*handle] = given;
  return !twice;
}

void IsolatedDriver::RemovePolicy(uint32_t handle) {
  std::shared_ptr<DriverLife> life;
  uint32_t given = 0;
  {
    const std::lock_guard lock(lock_);
    const auto at = policies_.find(handle);
    if (at == policies_.end()) return;
    given = at->second;
    policies_.erase(at);
    life = life_;
  }
  (void)life->child().Do(
      Call::kRemovePolicy, [&](Writer* out) { out->Put(given); }, nullptr);
}

void IsolatedDriver::Grant(uint32_t handle, const cygnet_numbers& block) {
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(block);
  };
  (void)Do(Call::kGrant, put, nullptr);
}

void IsolatedDriver::SetLimits(uint32_t handle, const cygnet_limits& limits) {
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(limits);
  };
  (void)Do(Call::kSetLimits, put, nullptr);
}

int32_t IsolatedDriver::Read(uint32_t handle, cygnet_reading* reading) {
  cygnet_reading now{};
  const int32_t result = Do(
      Call::kRead, [&](Writer* out) { out->Put(handle); },
      [&](Reader* in) { now = in->Take<cygnet_reading>(); });
  now.size = reading->size;
  if (result == 0) std::memcpy(reading, &now, std::min<std::size_t>(now.size, sizeof(now)));
  return Result(result);
}

int32_t IsolatedDriver::TakeState(uint32_t handle, cygnet_reading* reading, uint32_t* bitmap,
                                  uint32_t* words) {
  const uint32_t room = std::min(*words, kMostWords);
  cygnet_reading now{};
  uint32_t used = 0;
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(room);
  };
  const auto take = [&](Reader* in) {
    now = in->Take<cygnet_reading>();
    used = in->Take<uint32_t>();
    const uint8_t* bits = in->Bytes(used > room ? UINT32_MAX : used * sizeof(uint32_t));
    if (bits != nullptr && used > 0) std::memcpy(bitmap, bits, used * sizeof(uint32_t));
  };
  const int32_t result = Do(Call::kTakeState, put, take);
  if (result != 0) return Result(result);
  now.size = reading->size;
  std::memcpy(reading, &now, std::min<std::size_t>(now.size, sizeof(now)));
  *words = used;
  return 0;
}

int32_t IsolatedDriver::SetMirror(uint32_t n) {
  const int32_t result = Do(
      Call::kSetMirror, [&](Writer* out) { out->Put(n); }, nullptr);
  const std::lock_guard lock(lock_);
  if (result == 0) mirror_ = n;
  return Result(result);
}

int32_t IsolatedDriver::Loop(const cygnet_sa& sa, cygnet_packet* const* packets, uint32_t n,
                             const char** reasons) {
  const auto put = [&](Writer* out) {
    PutSa(out, sa);
    out->Put(n);
    for (uint32_t i = 0; i < n; ++i) PutFrame(out, *packets[i]);
  };
  const auto take = [&](Reader* in) {
    for (uint32_t i = 0; in->ok() && !in->done() && i < n; ++i) {
      const char* reason = in->Text();
      reasons[i] = reason == nullptr ? nullptr : Lasting(reason);
      if (!TakeLoopedFrame(in, packets[i])) (void)in->Bytes(UINT32_MAX);
    }
  };
  return Result(Do(Call::kLoop, put, take));
}

int32_t IsolatedDriver::Inject(const char* fault, cygnet_refusal* refusal) {
  return Result(Do(
      Call::kInject, [&](Writer* out) { out->Text(fault); },
      [&](Reader* in) { TakeRefusal(in, refusal); }));
}

uint32_t IsolatedDriver::View(char* text, uint32_t room) {
  std::string view;
  const auto take = [&](Reader* in) {
    const char* all = in->Text();
    view = all == nullptr ? "" : all;
  };
  const int32_t result = Do(
      Call::kView, [&](Writer* out) { out->Put(room); }, take);
  if (room > 0) {
    const std::size_t length = std::min<std::size_t>(view.size(), room - 1);
    std::memcpy(text, view.data(), length);
    text[length] = 0;
  }
  return result < 0 ? 0 : static_cast<uint32_t>(result);
}

}  // namespace cygnet::isolation
