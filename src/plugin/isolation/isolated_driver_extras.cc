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

// The frame that a packet has after the loopback. False: it does not fit.
bool TakeFrame(Reader* in, cygnet_packet* packet) {
  const auto now = in->Take<cygnet_packet>();
  const uint8_t* frame = in->Bytes(now.length);
  if (frame == nullptr) return false;
  const int64_t head = int64_t{packet->head} + now.head - kHeadroom;
  if (head < 0 || head + now.length > packet->capacity) return false;
  std::memcpy(packet->buffer + head, frame, now.length);
  packet->head = static_cast<uint32_t>(head);
  packet->length = now.length;
  packet->l3_offset = now.l3_offset;
  packet->handle = now.handle;
  packet->esn_high = now.esn_high;
  packet->sa_number = now.sa_number;
  packet->status = now.status;
  return true;
}

}  // namespace

int32_t IsolatedDriver::AddPolicy(const cygnet_policy& policy, uint32_t* handle,
                                  cygnet_refusal* refusal) {
  if (policy.template_count > kMaxTemplates) return -EOPNOTSUPP;
  uint32_t given = 0;
  const auto take = [&](Reader* in) {
    given = in->Take<uint32_t>();
    TakeRefusal(in, refusal);
  };
  const int32_t result = child_->Do(
      Call::kAddPolicy, [&](Writer* out) { PutPolicy(out, policy); }, take);
  if (result == 0) *handle = given;
  return Result(result);
}

void IsolatedDriver::Grant(uint32_t handle, const cygnet_numbers& block) {
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(block);
  };
  (void)child_->Do(Call::kGrant, put, nullptr);
}

void IsolatedDriver::SetLimits(uint32_t handle, const cygnet_limits& limits) {
  const auto put = [&](Writer* out) {
    out->Put(handle);
    out->Put(limits);
  };
  (void)child_->Do(Call::kSetLimits, put, nullptr);
}

int32_t IsolatedDriver::Read(uint32_t handle, cygnet_reading* reading) {
  cygnet_reading now{};
  const int32_t result = child_->Do(
      Call::kRead, [&](Writer* out) { out->Put(handle); },
      [&](Reader* in) { now = in->Take<cygnet_reading>(); });
  now.size = reading->size;
  if (result == 0) std::memcpy(reading, &now, std::min<std::size_t>(now.size, sizeof(now)));
  return Result(result);
}

int32_t IsolatedDriver::TakeState(uint32_t handle, cygnet_reading* reading, uint32_t* bitmap,
                                  uint32_t* words) {
  const uint32_t room = *words;
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
  const int32_t result = child_->Do(Call::kTakeState, put, take);
  if (result != 0) return Result(result);
  now.size = reading->size;
  std::memcpy(reading, &now, std::min<std::size_t>(now.size, sizeof(now)));
  *words = used;
  return 0;
}

int32_t IsolatedDriver::SetMirror(uint32_t n) {
  return Result(child_->Do(
      Call::kSetMirror, [&](Writer* out) { out->Put(n); }, nullptr));
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
      if (!TakeFrame(in, packets[i])) (void)in->Bytes(UINT32_MAX);
    }
  };
  return Result(child_->Do(Call::kLoop, put, take));
}

int32_t IsolatedDriver::Inject(const char* fault, cygnet_refusal* refusal) {
  return Result(child_->Do(
      Call::kInject, [&](Writer* out) { out->Text(fault); },
      [&](Reader* in) { TakeRefusal(in, refusal); }));
}

uint32_t IsolatedDriver::View(char* text, uint32_t room) {
  std::string view;
  const auto take = [&](Reader* in) {
    const char* all = in->Text();
    view = all == nullptr ? "" : all;
  };
  const int32_t result = child_->Do(
      Call::kView, [&](Writer* out) { out->Put(room); }, take);
  if (room > 0) {
    const std::size_t length = std::min<std::size_t>(view.size(), room - 1);
    std::memcpy(text, view.data(), length);
    text[length] = 0;
  }
  return result < 0 ? 0 : static_cast<uint32_t>(result);
}

}  // namespace cygnet::isolation
