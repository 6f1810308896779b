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

// Two addresses, …:1 and …:2.
Bytes Routing(uint8_t type, uint8_t left, std::size_t addresses = 2) {
  Bytes header = {17, static_cast<uint8_t>(2 * addresses), type, left, 0, 0, 0, 0};
  for (uint8_t i = 1; i <= addresses; ++i) {
    Bytes address(16, 0);
    address[0] = 0xfd;
    address[15] = i;
    header = header + address;
  }
  return header;
}

FurtherWay WayOf(const IpFields& f) {
  const Bytes packet = test::IpPacket(f, test::Pattern(30));
  const auto ip = ParseIpPacket(packet);
  EXPECT_TRUE(ip.has_value());
  return ip ? FurtherWayOf(*ip, packet) : FurtherWay{};
}

TEST(IpOptionsTest, RoutingHeaderShowsTheFinalDestination) {
  EXPECT_FALSE(WayOf({}).left);
  for (const uint8_t type : {uint8_t{0}, uint8_t{2}, uint8_t{4}}) {
    const FurtherWay way = WayOf(V6(kProtoRouting, Routing(type, 1)));
    EXPECT_TRUE(way.left);
    EXPECT_EQ(way.final_one, test::Ip(type == 4 ? "fd00::1" : "fd00::2")) << int{type};
    EXPECT_FALSE(WayOf(V6(kProtoRouting, Routing(type, 0))).left) << "it is there";
  }
  for (const uint8_t type : {uint8_t{1}, uint8_t{3}, uint8_t{253}}) {
    const FurtherWay way = WayOf(V6(kProtoRouting, Routing(type, 1)));
    EXPECT_TRUE(way.left);
    EXPECT_EQ(way.final_one, std::nullopt) << int{type};
  }
  const FurtherWay none = WayOf(V6(kProtoRouting, Routing(4, 1, 0)));
  EXPECT_TRUE(none.left && !none.final_one.has_value()) << "too short";
  Bytes two = Routing(4, 1);
  two[0] = kProtoRouting;
  EXPECT_EQ(WayOf(V6(kProtoRouting, two + Routing(4, 1))).final_one, std::nullopt);
}

TEST(IpOptionsTest, SourceRouteShowsTheFinalDestination) {
  for (const uint8_t kind : {uint8_t{131}, uint8_t{137}}) {
    const Bytes route = {1, kind, 11, 4, 10, 0, 0, 1, 10, 0, 0, 2};
    EXPECT_TRUE(WayOf({.options = route}).left);
    EXPECT_EQ(WayOf({.options = route}).final_one, test::Ip("10.0.0.2"));
    Bytes done = route;
    done[3] = 12;
    EXPECT_FALSE(WayOf({.options = done}).left) << "it is there";
    const Bytes empty = {kind, 3, 4, 0};
    EXPECT_FALSE(WayOf({.options = empty}).left);
    const Bytes odd = {kind, 4, 4, 9};
    EXPECT_TRUE(WayOf({.options = odd}).left && !WayOf({.options = odd}).final_one.has_value());
  }
  EXPECT_FALSE(WayOf({.options = {148, 4, 0, 0}}).left);
  const Bytes hidden = {148, 0, 131, 7, 4, 10, 0, 0, 1, 0, 0, 0};
  EXPECT_TRUE(WayOf({.options = hidden}).left) << "behind an option that does not fit";
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
