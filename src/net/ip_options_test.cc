#include "net/ip_options.h"

#include <gtest/gtest.h>

#include "support/packet_builder.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::IpFields;

bool Refused(const IpFields& f, Addressee addressee = Addressee::kHost) {
  const Bytes packet = test::IpPacket(f, test::Pattern(30));
  const auto ip = ParseIpPacket(packet);
  EXPECT_TRUE(ip.has_value());
  return ip && HasRefusedOptions(*ip, packet, addressee);
}

bool RefusedV4(const Bytes& options) { return Refused({.options = options}); }

TEST(IpOptionsTest, SourceRoutesOfIpv4AreRefusedWherever) {
  for (const uint8_t kind : {uint8_t{131}, uint8_t{137}}) {
    const Bytes route = {kind, 7, 4, 10, 0, 0, 1, 0};
    EXPECT_TRUE(RefusedV4(route));
    EXPECT_TRUE(Refused({.options = route}, Addressee::kOther));
    EXPECT_TRUE(RefusedV4(Bytes{1, 1, 1, 1} + route));
  }
  EXPECT_FALSE(RefusedV4({}));
  EXPECT_FALSE(RefusedV4({148, 4, 0, 0}));             // router alert
  EXPECT_FALSE(RefusedV4({0, 131, 7, 4}));             // options after the end marker are ignored
  EXPECT_FALSE(RefusedV4({7, 7, 4, 0, 0, 0, 0, 0}));   // record route
  EXPECT_FALSE(RefusedV4({68, 8, 5, 0, 0, 0, 0, 0}));  // timestamp
}

TEST(IpOptionsTest, MalformedOptionsOfIpv4AreRefused) {
  EXPECT_TRUE(RefusedV4({148, 5, 0, 0}));
  EXPECT_TRUE(RefusedV4({148, 1, 0, 0}));
  EXPECT_TRUE(RefusedV4({148, 0, 0, 0}));
  EXPECT_TRUE(RefusedV4({1, 1, 1, 148}));
  EXPECT_TRUE(RefusedV4({7, 7, 3, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(RefusedV4({7, 7, 5, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(RefusedV4({68, 8, 4, 0, 0, 0, 0, 0}));
}

IpFields V6(uint8_t first, const Bytes& headers) {
  return {.src = "fd01::1", .dst = "fd02::1", .options = headers, .first_header = first};
}

TEST(IpOptionsTest, RoutingHeadersOfIpv6AreForTheHostToRefuse) {
  const Bytes left = {17, 2, 0, 1, 0, 0, 0, 0};
  for (uint8_t type = 0; type < 6; ++type) {
    Bytes header = left + Bytes(16, 1);
    header[2] = type;
    EXPECT_TRUE(Refused(V6(kProtoRouting, header))) << int{type};
    EXPECT_FALSE(Refused(V6(kProtoRouting, header), Addressee::kOther)) << int{type};
    header[3] = 0;
    EXPECT_EQ(Refused(V6(kProtoRouting, header)), type == 3 || type == 4) << int{type};
  }
}

TEST(IpOptionsTest, MalformedOptionsOfIpv6AreRefused) {
  const Bytes good = {17, 0, 5, 2, 0, 0, 1, 0};
  const Bytes bad = {17, 0, 5, 5, 0, 0, 0, 0};
  EXPECT_FALSE(Refused(V6(kProtoHopByHop, good)));
  EXPECT_FALSE(Refused(V6(kProtoDestOpts, good)));
  EXPECT_TRUE(Refused(V6(kProtoHopByHop, bad)));
  EXPECT_TRUE(Refused(V6(kProtoHopByHop, bad), Addressee::kOther));
  EXPECT_TRUE(Refused(V6(kProtoDestOpts, bad)));
  EXPECT_FALSE(Refused(V6(kProtoDestOpts, bad), Addressee::kOther));
  EXPECT_TRUE(Refused(V6(kProtoHopByHop, {17, 0, 0, 0, 0, 0, 0, 5})));
}

}  // namespace
}  // namespace cygnet
