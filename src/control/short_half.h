// ShortHalf: the name of one half of an SA in less memory, for tables of many. IPv4 addresses take
// four bytes each.
#pragma once

#include <array>
#include <cstdint>

#include "base/boxed.h"
#include "control/placement/report.h"

namespace cygnet {

class ShortHalf {
 public:
  ShortHalf() = default;
  explicit ShortHalf(const SaHalf& half)
      : saddr_(FrontOf(half.saddr)),
        daddr_(FrontOf(half.daddr)),
        spi_(half.spi),
        reqid_(half.reqid),
        family_(half.family),
        proto_(half.proto),
        half_(half.half) {
    if (WithFront(saddr_) == half.saddr && WithFront(daddr_) == half.daddr) return;
    whole_ = Addresses{half.saddr, half.daddr};
  }
  SaHalf Whole() const {
    return {.saddr = whole_ ? whole_->saddr : WithFront(saddr_),
            .daddr = whole_ ? whole_->daddr : WithFront(daddr_),
            .family = family_,
            .spi = spi_,
            .proto = proto_,
            .reqid = reqid_,
            .half = half_};
  }

 private:
  using Front = std::array<uint8_t, 4>;
  struct Addresses {
    IpAddress saddr;
    IpAddress daddr;
  };
  static Front FrontOf(const IpAddress& address) {
    return {address.bytes[0], address.bytes[1], address.bytes[2], address.bytes[3]};
  }
  static IpAddress WithFront(const Front& front) { return IpAddress::V4(front.data()); }

  Boxed<Addresses> whole_;  // if they are longer
  Front saddr_{};
  Front daddr_{};
  Spi spi_;
  Reqid reqid_;
  IpFamily family_ = IpFamily::kUnspec;
  uint8_t proto_ = 0;
  Half half_ = Half::kOutbound;
};
static_assert(sizeof(ShortHalf) == 32);

}  // namespace cygnet
