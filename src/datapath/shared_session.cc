#include "datapath/shared_session.h"

#include <mutex>
#include <vector>

#include "base/check.h"
#include "datapath/bind_half.h"

namespace cygnet {
namespace {

// The observers of the sessions that exist: one in the daemon. A session has the number of a seat,
// in two bytes, instead of a shared pointer.
class Observers {
 public:
  // The seat for one more session; 0: nobody observes it.
  uint16_t Seat(const std::shared_ptr<KeyObserver>& keys) {
    if (keys == nullptr) return 0;
    const std::lock_guard lock(mutex_);
    std::size_t i = 0;
    while (i < seats_.size() && seats_[i].keys != keys) ++i;
    if (i == seats_.size()) {
      for (i = 0; i < seats_.size() && seats_[i].keys != nullptr;) ++i;
      if (i == seats_.size()) seats_.emplace_back();
      seats_[i].keys = keys;
    }
    ++seats_[i].sessions;
    CYGNET_CHECK(i < 0xffff);
    return static_cast<uint16_t>(i + 1);
  }
  // One session less. The observer of the last one is kept by the caller alone.
  std::shared_ptr<KeyObserver> Leave(uint16_t seat) {
    if (seat == 0) return nullptr;
    const std::lock_guard lock(mutex_);
    auto& [keys, sessions] = seats_[seat - 1];
    return --sessions == 0 ? std::move(keys) : keys;
  }

 private:
  struct Observed {
    std::shared_ptr<KeyObserver> keys;
    uint64_t sessions = 0;
  };
  std::mutex mutex_;
  std::vector<Observed> seats_;
};

Observers& AllObservers() {
  static auto* const observers = new Observers;  // never destroyed: sessions may outlive main
  return *observers;
}

}  // namespace

SharedSession::SharedSession(std::unique_ptr<CryptoSession> session,
                             const std::shared_ptr<KeyObserver>& keys, uint64_t key) {
  if (session == nullptr) return;
  observer_ = AllObservers().Seat(keys);
  CYGNET_CHECK(key >> 48 == 0);
  for (std::size_t i = 0; i < key_.size(); ++i) key_[i] = static_cast<uint16_t>(key >> 16 * i);
  session_ = session.release();
  session_->owners_.Add();
}

// The observer is told after the key schedule is gone.
void SharedSession::End() noexcept {
  delete session_;
  const auto keys = AllObservers().Leave(observer_);
  uint64_t key = 0;
  for (std::size_t i = 0; i < key_.size(); ++i) key |= uint64_t{key_[i]} << 16 * i;
  if (keys != nullptr) keys->Erased(key);
}

}  // namespace cygnet
