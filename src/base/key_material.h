// KeyMaterial: secret bytes in locked memory that is left out of core dumps. It is wiped on
// destruction, is move-only, and cannot be printed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace cygnet {

class KeyMaterial {
 public:
  static constexpr std::size_t kMaxBytes = 256;  // a larger size is a bug of the caller

  KeyMaterial() = default;
  explicit KeyMaterial(std::span<const uint8_t> bytes);
  ~KeyMaterial();
  KeyMaterial(KeyMaterial&& other) noexcept;
  KeyMaterial& operator=(KeyMaterial&& other) noexcept;
  KeyMaterial(const KeyMaterial&) = delete;
  KeyMaterial& operator=(const KeyMaterial&) = delete;

  // Deep copy. Explicit because copies of keys must be rare.
  KeyMaterial Clone() const { return KeyMaterial(bytes()); }

  std::span<const uint8_t> bytes() const {
    return slot_ == nullptr ? std::span<const uint8_t>() : std::span(slot_ + kSizeBytes, size());
  }
  std::size_t size() const {
    uint16_t size = 0;
    if (slot_ != nullptr) std::memcpy(&size, slot_, kSizeBytes);
    return size;
  }
  bool empty() const { return slot_ == nullptr; }

  // Constant time in the contents.
  friend bool operator==(const KeyMaterial& a, const KeyMaterial& b);

  // Overwrites the bytes and frees the memory.
  void Wipe();

 private:
  static constexpr std::size_t kSizeBytes = 2;
  uint8_t* slot_ = nullptr;  // the size, then the bytes; nullptr: none
};

// Overwrites memory in a way that the compiler does not remove.
void SecureWipe(void* p, std::size_t n);

}  // namespace cygnet
