// Requests and answers of control calls, as bytes. Only headers: the child is linked to no C++
// library.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

namespace cygnet::isolation {

// Length of a text that is NULL.
inline constexpr uint32_t kNoText = UINT32_MAX;

class Writer {
 public:
  Writer(uint8_t* bytes, uint32_t room) : bytes_(bytes), room_(room) {}

  // False: the room was too small.
  bool ok() const { return ok_; }
  uint32_t size() const { return size_; }

  void Bytes(const void* from, uint32_t length) {
    if (!ok_ || length > room_ - size_) {
      ok_ = false;
      return;
    }
    if (length != 0) std::memcpy(bytes_ + size_, from, length);
    size_ += length;
  }
  template <typename T>
  void Put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    Bytes(&value, sizeof(value));
  }
  // NULL stays NULL.
  void Text(const char* text) {
    const uint32_t length = text == nullptr ? kNoText : static_cast<uint32_t>(std::strlen(text));
    Put(length);
    if (text != nullptr) Bytes(text, length + 1);
  }

 private:
  uint8_t* bytes_;
  uint32_t room_;
  uint32_t size_ = 0;
  bool ok_ = true;
};

// Reads what a Writer wrote, or whatever a hostile child wrote instead: what is missing is 0, and
// ok() is false.
class Reader {
 public:
  Reader(const uint8_t* bytes, uint32_t length) : bytes_(bytes), left_(length) {}

  bool ok() const { return ok_; }
  // True if everything was read.
  bool done() const { return ok_ && left_ == 0; }

  // Points into the message. nullptr: it is shorter.
  const uint8_t* Bytes(uint32_t length) {
    if (!ok_ || length > left_) {
      ok_ = false;
      return nullptr;
    }
    const uint8_t* at = bytes_;
    bytes_ += length;
    left_ -= length;
    return at;
  }
  template <typename T>
  T Take() {
    static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>);
    T value{};
    if (const uint8_t* at = Bytes(sizeof(T))) std::memcpy(&value, at, sizeof(T));
    return value;
  }
  // Points into the message, ends with a zero byte and has none before. nullptr: no text.
  const char* Text() {
    const auto length = Take<uint32_t>();
    if (!ok_ || length == kNoText) return nullptr;
    const uint8_t* at = length == UINT32_MAX - 1 ? nullptr : Bytes(length + 1);
    if (at == nullptr || at[length] != 0 || std::memchr(at, 0, length) != nullptr) {
      ok_ = false;
      return nullptr;
    }
    return reinterpret_cast<const char*>(at);
  }

 private:
  const uint8_t* bytes_;
  uint32_t left_;
  bool ok_ = true;
};

}  // namespace cygnet::isolation
