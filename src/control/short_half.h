// ShortHalf: the name of one half of an SA in less memory, for tables of many. IPv4 addresses take
// four bytes each, and nothing needs to begin at eight bytes.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <utility>

#include "control/placement/report.h"

namespace cygnet {

class ShortHalf {
 public:
  ShortHalf() = default;
  explicit ShortHalf(const SaHalf& half)
      : spi_(half.spi),
        reqid_(half.reqid),
        family_(half.family),
        proto_(half.proto),
        half_(half.half) {
    const Fronts fronts{FrontOf(half.saddr), FrontOf(half.daddr)};
    is_long_ = WithFront(fronts[0]) != half.saddr || WithFront(fronts[1]) != half.daddr;
    if (is_long_) {
      words_ = std::bit_cast<Words>(new Addresses{half.saddr, half.daddr});
    } else {
      words_ = std::bit_cast<Words>(fronts);
    }
  }
  ShortHalf(ShortHalf&& other) noexcept { *this = std::move(other); }
  ShortHalf& operator=(ShortHalf&& other) noexcept {
    std::swap(words_, other.words_);
    const bool was_long = is_long_;
    is_long_ = other.is_long_;
    other.is_long_ = was_long;
    spi_ = other.spi_;
    reqid_ = other.reqid_;
    family_ = other.family_;
    proto_ = other.proto_;
    half_ = other.half_;
    return *this;
  }
  ~ShortHalf() {
    if (is_long_) delete addresses();
  }

  SaHalf Whole() const {
    const auto fronts = std::bit_cast<Fronts>(words_);
    return {.saddr = is_long_ ? addresses()->saddr : WithFront(fronts[0]),
            .daddr = is_long_ ? addresses()->daddr : WithFront(fronts[1]),
            .family = family_,
            .spi = spi_,
            .proto = proto_,
            .reqid = reqid_,
            .half = half_};
  }

 private:
  using Front = std::array<uint8_t, 4>;
  using Fronts = std::array<Front, 2>;
  using Words = std::array<uint32_t, 2>;
  struct Addresses {
    IpAddress saddr;
    IpAddress daddr;
  };
  static Front FrontOf(const IpAddress& address) {
    return {address.bytes[0], address.bytes[1], address.bytes[2], address.bytes[3]};
  }
  static IpAddress WithFront(const Front& front) { return IpAddress::V4(front.data()); }
  // REQUIRES: is_long_
  const Addresses* addresses() const { return std::bit_cast<const Addresses*>(words_); }

  Words words_{};  // the fronts of both addresses; is_long_: a pointer to the whole ones
  Spi spi_;
  Reqid reqid_;
  IpFamily family_ = IpFamily::kUnspec;
  uint8_t proto_ = 0;
  Half half_ : 1 = Half::kOutbound;
  bool is_long_ : 1 = false;
};
static_assert(sizeof(ShortHalf) == 20);

}  // namespace cygnet
