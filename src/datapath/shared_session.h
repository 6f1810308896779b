// SharedSession: owns a session of an engine together with others: successive bindings of one half
// of an SA. The last owner has the key schedule wiped and tells the observer of keys. As
// std::shared_ptr, whose counts and deleter would take 48 bytes of each SA: the session has the
// count itself.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

#include "crypto/crypto_engine.h"

namespace cygnet {

class KeyObserver;

// Copies may be made and destroyed by any thread.
class SharedSession {
 public:
  SharedSession() = default;
  SharedSession(std::nullptr_t) {}                       // NOLINT: as a shared pointer
  SharedSession(std::unique_ptr<CryptoSession> session)  // NOLINT: as a shared pointer
      : SharedSession(std::move(session), nullptr, 0) {}
  // `keys`: is told when the key schedule is gone, that the key of this number has ended; nullptr:
  // nobody is.
  SharedSession(std::unique_ptr<CryptoSession> session, const std::shared_ptr<KeyObserver>& keys,
                uint64_t key);
  SharedSession(const SharedSession& other)
      : session_(other.session_), key_(other.key_), observer_(other.observer_) {
    if (session_ != nullptr) session_->owners_.Add();
  }
  SharedSession(SharedSession&& other) noexcept { Swap(&other); }
  SharedSession& operator=(SharedSession other) noexcept {
    Swap(&other);
    return *this;
  }
  ~SharedSession() {
    if (session_ != nullptr && session_->owners_.RemoveLast()) End();
  }

  CryptoSession* get() const { return session_; }
  void reset() { *this = nullptr; }
  friend bool operator==(const SharedSession& a, const SharedSession& b) {
    return a.session_ == b.session_;
  }
  friend bool operator==(const SharedSession& a, std::nullptr_t) { return a.session_ == nullptr; }

 private:
  void Swap(SharedSession* other) noexcept {
    std::swap(session_, other->session_);
    std::swap(key_, other->key_);
    std::swap(observer_, other->observer_);
  }
  void End() noexcept;

  CryptoSession* session_ = nullptr;
  // What its last owner tells, and whom: the number of the key, and the observer's seat
  // (shared_session.cc).
  std::array<uint16_t, 3> key_{};
  uint16_t observer_ = 0;
};
static_assert(sizeof(SharedSession) == 16);

}  // namespace cygnet
