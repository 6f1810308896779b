// Fragments IP packets by hand, independently of the code under test.
#pragma once

#include "support/packet_builder.h"

namespace cygnet::test {

// A piece of a datagram's data: bytes [begin, end). `more`: further fragments follow.
struct Cut {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool more = true;
};

inline Bytes Slice(const Bytes& bytes, const Cut& cut) {
  const auto at = [&](std::size_t n) { return bytes.begin() + static_cast<std::ptrdiff_t>(n); };
  return Bytes(at(cut.begin), at(cut.end));
}

// The IPv6 fragment header (RFC 8200 section 4.5).
inline Bytes FragmentHeader(uint8_t next, std::size_t offset, bool more, uint32_t id) {
  Bytes out = {next, 0, 0, 0, 0, 0, 0, 0};
  Put16(&out, 2, static_cast<uint32_t>(offset) | (more ? 1u : 0u));
  Put32(&out, 4, id);
  return out;
}

// One fragment of the packet whose headers `f` describes and whose data is `data`. IPv6:
// `f.options` precede the fragment header and must end in a header whose next-header byte is 44.
inline Bytes FragmentOf(IpFields f, const Bytes& data, const Cut& cut, uint32_t id = 0x1234) {
  const Bytes piece = Slice(data, cut);
  if (Addr(f.src).family == IpFamily::kV4) {
    f.id = static_cast<uint16_t>(id);
    f.fragment = static_cast<uint16_t>(cut.begin / 8 | (cut.more ? 0x2000u : 0u));
    return IpPacket(f, piece);
  }
  const uint8_t upper = f.proto;
  if (f.options.empty()) f.first_header = 44;
  f.options = f.options + FragmentHeader(upper, cut.begin, cut.more, id);
  return IpPacket(f, piece);
}

}  // namespace cygnet::test
