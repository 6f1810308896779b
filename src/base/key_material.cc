#include "base/key_material.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/locked_memory.h"

namespace cygnet {
namespace {

// Keys come from arenas of locked pages, so that 100,000 keys do not cost 100,000 locked pages.
// There are two slot sizes, because nearly every key is short. A key longer than kMaxBytes is a bug
// (none exists today).
constexpr std::size_t kShortSlot = 64;
constexpr std::size_t kArenaBytes = 256 * 1024;

constexpr std::size_t SlotFor(std::size_t bytes) {
  return bytes <= kShortSlot ? kShortSlot : KeyMaterial::kMaxBytes;
}

std::atomic<std::size_t> g_unlocked_bytes{0};

class LockedArena {
 public:
  explicit LockedArena(std::size_t slot) : slot_(slot) {}
  uint8_t* Take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      Grow();
    }
    uint8_t* slot = free_.back();
    free_.pop_back();
    return slot;
  }
  void Give(uint8_t* slot) {
    const std::lock_guard lock(mutex_);
    free_.push_back(slot);
  }

 private:
  void Grow() {
    void* p =
        mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CYGNET_CHECK(p != MAP_FAILED);
    // RLIMIT_MEMLOCK may forbid locking to an ordinary user. The pages still stay out of core
    // dumps; UnlockedKeyBytes() reports them.
    if (mlock(p, kArenaBytes) != 0) g_unlocked_bytes.fetch_add(kArenaBytes);
    (void)madvise(p, kArenaBytes, MADV_DONTDUMP);
    auto* base = static_cast<uint8_t*>(p);
    for (std::size_t offset = 0; offset < kArenaBytes; offset += slot_) {
      free_.push_back(base + offset);
    }
  }

  const std::size_t slot_;
  std::mutex mutex_;
  std::vector<uint8_t*> free_;
};

LockedArena& ArenaFor(std::size_t bytes) {
  // Never destroyed: keys may outlive main.
  static LockedArena* const short_keys = new LockedArena(kShortSlot);
  static LockedArena* const long_keys = new LockedArena(KeyMaterial::kMaxBytes);
  return SlotFor(bytes) == kShortSlot ? *short_keys : *long_keys;
}

}  // namespace

std::size_t UnlockedKeyBytes() { return g_unlocked_bytes.load(); }

void SecureWipe(void* p, std::size_t n) { explicit_bzero(p, n); }

KeyMaterial::KeyMaterial(std::span<const uint8_t> bytes) {
  if (bytes.empty()) {
    return;
  }
  CYGNET_CHECK(bytes.size() <= kMaxBytes);
  data_ = ArenaFor(bytes.size()).Take();
  size_ = bytes.size();
  std::memcpy(data_, bytes.data(), size_);
}

KeyMaterial::~KeyMaterial() { Wipe(); }

KeyMaterial::KeyMaterial(KeyMaterial&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

KeyMaterial& KeyMaterial::operator=(KeyMaterial&& other) noexcept {
  if (this != &other) {
    Wipe();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void KeyMaterial::Wipe() {
  if (data_ != nullptr) {
    SecureWipe(data_, SlotFor(size_));
    ArenaFor(size_).Give(std::exchange(data_, nullptr));
    size_ = 0;
  }
}

bool operator==(const KeyMaterial& a, const KeyMaterial& b) {
  if (a.size_ != b.size_) {
    return false;
  }
  unsigned diff = 0;
  for (std::size_t i = 0; i < a.size_; ++i) {
    diff |= static_cast<unsigned>(a.data_[i] ^ b.data_[i]);
  }
  return diff == 0;
}

}  // namespace cygnet
