#include "base/key_material.h"

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/locked_memory.h"

namespace cygnet {
namespace {

// Keys come from arenas of locked pages, so that 100,000 keys do not cost 100,000 locked pages.
// Few slot sizes, because nearly every key is short. A key longer than kMaxBytes is a bug (none
// exists today).
constexpr std::size_t kSizeBytes = 2;
// The smallest have room for the size and a key of 16 or 32 bytes with its salt of 4.
constexpr std::array<std::size_t, 5> kSlots = {24, 40, 56, 72, KeyMaterial::kMaxBytes + 16};
constexpr std::size_t kArenaBytes = 64 * 1024;

// Index in kSlots.
constexpr std::size_t SlotFor(std::size_t bytes) {
  std::size_t i = 0;
  while (kSlots[i] < bytes + kSizeBytes) ++i;
  return i;
}

std::atomic<std::size_t> g_unlocked_bytes{0};

class LockedArena {
 public:
  explicit LockedArena(std::size_t slot) : slot_(slot) {}
  uint8_t* Take() {
    const std::lock_guard lock(mutex_);
    if (free_ == nullptr) Grow();
    uint8_t* slot = free_;
    std::memcpy(&free_, LinkOf(slot), sizeof(free_));
    return slot;
  }
  // Overwrites the slot.
  void Give(uint8_t* slot) {
    SecureWipe(slot, slot_);
    const std::lock_guard lock(mutex_);
    Link(slot);
  }

 private:
  // A free slot has the next one at its end, over what was wiped.
  uint8_t* LinkOf(uint8_t* slot) const { return slot + slot_ - sizeof(free_); }
  void Link(uint8_t* slot) {
    std::memcpy(LinkOf(slot), &free_, sizeof(free_));
    free_ = slot;
  }
  void Grow() {
    void* p =
        mmap(nullptr, kArenaBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CYGNET_CHECK(p != MAP_FAILED);
    // RLIMIT_MEMLOCK may forbid locking to an ordinary user. The pages still stay out of core
    // dumps; UnlockedKeyBytes() reports them.
    if (mlock(p, kArenaBytes) != 0) g_unlocked_bytes.fetch_add(kArenaBytes);
    (void)madvise(p, kArenaBytes, MADV_DONTDUMP);
    auto* base = static_cast<uint8_t*>(p);
    for (std::size_t offset = 0; offset + slot_ <= kArenaBytes; offset += slot_) {
      Link(base + offset);
    }
  }

  const std::size_t slot_;
  std::mutex mutex_;
  uint8_t* free_ = nullptr;
};

LockedArena& ArenaFor(std::size_t bytes) {
  // Never destroyed: keys may outlive main.
  static const auto* const arenas = new std::array<LockedArena*, kSlots.size()>{
      new LockedArena(kSlots[0]), new LockedArena(kSlots[1]), new LockedArena(kSlots[2]),
      new LockedArena(kSlots[3]), new LockedArena(kSlots[4])};
  return *(*arenas)[SlotFor(bytes)];
}

}  // namespace

std::size_t UnlockedKeyBytes() { return g_unlocked_bytes.load(); }

void SecureWipe(void* p, std::size_t n) { explicit_bzero(p, n); }

KeyMaterial::KeyMaterial(std::span<const uint8_t> bytes) {
  if (bytes.empty()) {
    return;
  }
  CYGNET_CHECK(bytes.size() <= kMaxBytes);
  slot_ = ArenaFor(bytes.size()).Take();
  const auto size = static_cast<uint16_t>(bytes.size());
  std::memcpy(slot_, &size, kSizeBytes);
  std::memcpy(slot_ + kSizeBytes, bytes.data(), size);
}

KeyMaterial::~KeyMaterial() { Wipe(); }

KeyMaterial::KeyMaterial(KeyMaterial&& other) noexcept
    : slot_(std::exchange(other.slot_, nullptr)) {}

KeyMaterial& KeyMaterial::operator=(KeyMaterial&& other) noexcept {
  if (this != &other) {
    Wipe();
    slot_ = std::exchange(other.slot_, nullptr);
  }
  return *this;
}

void KeyMaterial::Wipe() {
  if (slot_ == nullptr) return;
  LockedArena& arena = ArenaFor(size());
  arena.Give(std::exchange(slot_, nullptr));
}

bool operator==(const KeyMaterial& a, const KeyMaterial& b) {
  if (a.size() != b.size()) return false;
  const std::span<const uint8_t> x = a.bytes();
  const std::span<const uint8_t> y = b.bytes();
  unsigned diff = 0;
  for (std::size_t i = 0; i < x.size(); ++i) diff |= static_cast<unsigned>(x[i] ^ y[i]);
  return diff == 0;
}

}  // namespace cygnet
