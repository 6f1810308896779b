// Big-endian integers as types: a value read from the wire cannot be used as a number by accident.
// Conversions are explicit, the object representation is the wire representation, and the alignment
// is 1, so a header struct may lie at any address of a packet.
#pragma once

#include <bit>
#include <compare>
#include <concepts>
#include <cstdint>
#include <cstring>

namespace cygnet {

template <std::unsigned_integral T>
constexpr T ByteSwap(T v) {
  if constexpr (sizeof(T) == 2) {
    return __builtin_bswap16(v);
  } else if constexpr (sizeof(T) == 4) {
    return __builtin_bswap32(v);
  } else {
    static_assert(sizeof(T) == 8);
    return __builtin_bswap64(v);
  }
}

template <std::unsigned_integral T>
class BigEndian {
 public:
  BigEndian() = default;
  explicit BigEndian(T host) {
    const T wire = std::endian::native == std::endian::little ? ByteSwap(host) : host;
    std::memcpy(bytes_, &wire, sizeof(T));
  }
  T value() const {
    T wire;
    std::memcpy(&wire, bytes_, sizeof(T));
    return std::endian::native == std::endian::little ? ByteSwap(wire) : wire;
  }
  // The value with its bytes in wire order, for comparing or hashing without a swap.
  T raw() const {
    T wire;
    std::memcpy(&wire, bytes_, sizeof(T));
    return wire;
  }
  static BigEndian FromRaw(T wire) {
    BigEndian result;
    std::memcpy(result.bytes_, &wire, sizeof(T));
    return result;
  }
  bool operator==(const BigEndian&) const = default;

 private:
  uint8_t bytes_[sizeof(T)] = {};
};

using be16 = BigEndian<uint16_t>;
using be32 = BigEndian<uint32_t>;
using be64 = BigEndian<uint64_t>;
static_assert(sizeof(be16) == 2 && sizeof(be32) == 4 && sizeof(be64) == 8 && alignof(be64) == 1);

// Unaligned loads and stores in network order.
inline uint16_t LoadBe16(const uint8_t* p) {
  uint16_t v;
  std::memcpy(&v, p, 2);
  return ByteSwap(v);
}
inline uint32_t LoadBe32(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return ByteSwap(v);
}
inline void StoreBe16(uint8_t* p, uint16_t v) {
  v = ByteSwap(v);
  std::memcpy(p, &v, 2);
}
inline void StoreBe32(uint8_t* p, uint32_t v) {
  v = ByteSwap(v);
  std::memcpy(p, &v, 4);
}
inline void StoreBe64(uint8_t* p, uint64_t v) {
  v = ByteSwap(v);
  std::memcpy(p, &v, 8);
}
static_assert(std::endian::native == std::endian::little, "x86-64 first");

}  // namespace cygnet
