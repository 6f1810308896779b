// Anyone can send ICMP errors. Whatever one contains, its effect must stay within bounds and
// concern an SA whose addresses and SPI it quotes. The input is an IP packet; `fix` in its first
// byte writes the ICMP checksum, which a fuzzer would not guess.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/endian.h"
#include "datapath/path_mtu.h"
#include "net/checksum.h"
#include "net/ip_protocol.h"
#include "support/test_sa.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

constexpr uint32_t kWireMtu = 1500;

struct World {
  std::vector<SaPtr> sas = {
      test::MakeSa({.spi = 0x1000}),
      test::MakeSa({.spi = 0x1000, .encap = test::NatT()}),
      test::MakeSa({.src = "2001:db8::1", .dst = "2001:db8::2", .spi = 0x1000}),
  };
  uint64_t now = 1'700'000'000;
};

void FixChecksum(const IpPacketView& ip, std::vector<uint8_t>* l3) {
  const uint32_t length = ip.total_length - ip.header_length;
  if (length < 8) return;
  uint8_t* icmp = l3->data() + ip.header_length;
  StoreBe16(icmp + 2, 0);
  const uint64_t pseudo =
      ip.flow.family == IpFamily::kV4
          ? 0
          : PseudoHeaderSum(ip.flow.saddr, ip.flow.daddr, IpFamily::kV6, kProtoIcmpv6, length);
  StoreBe16(icmp + 2, ChecksumFinish(ChecksumAdd({icmp, length}, pseudo)));
}

void Believe(World* world, const OuterError& error) {
  for (const auto& sa : world->sas) {
    OutboundSa* out = sa->outbound();
    if (!IsAbout(error, *out)) continue;
    CYGNET_CHECK((!error.spi.has_value() || error.spi == 0x1000u) &&
                 error.saddr == sa->spec().saddr && error.daddr == sa->spec().daddr);
    const uint32_t before = EffectivePathMtu(*out, kWireMtu, world->now);
    const bool learnt = LearnPathMtu(out, error.mtu, kWireMtu, world->now);
    const uint32_t after = EffectivePathMtu(*out, kWireMtu, world->now);
    const uint32_t floor = out->family == IpFamily::kV4 ? kMinPathMtuV4 : kMinIpv6Mtu;
    CYGNET_CHECK(learnt == (after < before) && after <= before && after >= floor);
    CYGNET_CHECK(EffectivePathMtu(*out, kWireMtu, world->now + kPathMtuSeconds) == kWireMtu);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static World* const world = new World;
  if (size < 2 || size > 2000) return 0;
  std::vector<uint8_t> l3(data + 1, data + size);
  const auto ip = ParseIpPacket(l3);
  if (!ip) return 0;
  if ((data[0] & 1) != 0) FixChecksum(*ip, &l3);
  const auto error = ParseOuterIcmp(*ip, l3);
  if (!error) return 0;
  CYGNET_CHECK(!ip->fragment && error->family == ip->flow.family);
  CYGNET_CHECK((error->kind == OuterError::Kind::kPacketTooBig) || error->mtu == 0);
  CYGNET_CHECK(!error->udp_encapsulated || error->spi != 0u);
  if (error->kind == OuterError::Kind::kPacketTooBig) {
    world->now += kPathMtuSeconds;  // forgets what was learnt before
    Believe(world, *error);
    Believe(world, *error);
  }
  return 0;
}
