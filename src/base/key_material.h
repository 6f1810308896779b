// KeyMaterial: secret bytes in locked memory that is left out of core dumps. It is wiped on
// destruction, is move-only, and cannot be printed.
#pragma once

#include <cstddef>
#include <cstdint>
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

  std::span<const uint8_t> bytes() const { return {data_, size_}; }
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Constant time in the contents.
  friend bool operator==(const KeyMaterial& a, const KeyMaterial& b);

  // Overwrites the bytes and frees the memory.
  void Wipe();

 private:
  uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

// Overwrites memory in a way that the compiler does not remove.
void SecureWipe(void* p, std::size_t n);

}  // namespace cygnet
