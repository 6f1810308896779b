// A peer that holds the keys may seal anything. The result must be a packet that policy admits, or
// a drop. The first byte selects one of the SAs, whose payload is the rest, or a raw frame from the
// wire or the host.
#include <cstddef>
#include <cstdint>

#include "base/check.h"
#include "net/ethernet.h"
#include "support/esp_oracle.h"
#include "support/test_host.h"

namespace {

using namespace cygnet;  // NOLINT: a single-file program

constexpr unsigned kTransport6 = 3;  // index in World::sas

struct World {
  PacketPools pools{1024, 8};  // more than the worker keeps in stock
  test::TestHost host{&pools};
  std::vector<SaPtr> sas;
  uint64_t seq = 0;

  World() {
    host.SetAddresses({"192.0.2.2", "2001:db8::2", "10.2.0.1"});
    const test::SaOptions options[] = {
        {.spi = 0x1000, .window = 0},
        {.spi = 0x1001, .mode = SaMode::kTransport, .window = 0},
        {.src = "2001:db8::1", .dst = "2001:db8::2", .spi = 0x1002, .window = 0},
        {.src = "2001:db8::1",
         .dst = "2001:db8::2",
         .spi = 0x1003,
         .mode = SaMode::kTransport,
         .window = 0},
        {.spi = 0x1004, .flags = kSaFlagDecapDscp, .window = 0, .encap = test::NatT()},
    };
    for (const test::SaOptions& o : options) {
      sas.push_back(host.Add(o));
      for (const char* any : {"0.0.0.0/0", "::/0"}) {
        Template tmpl = test::TemplateFor(o);
        tmpl.spi = Spi(o.spi);
        for (const PolicyDirection d :
             {PolicyDirection::kIn, PolicyDirection::kForward, PolicyDirection::kOut}) {
          host.AddPolicy(test::MakePolicy(d, any, any, {tmpl}, PolicyAction::kAllow, o.spi));
        }
      }
    }
  }
};

// A fragment may wait for others, or release waiting ones when it is dropped.
bool IsFragment(const test::Bytes& frame) {
  const auto type = ParseEtherType(frame);
  if (!type || !type->IsIp()) return false;
  const auto ip = ParseIpPacket(std::span<const uint8_t>(frame).subspan(type->l3_offset));
  return ip && ip->fragment;
}

// Same for the content of an SA: opened fragments wait, too (RFC 4301, section 7).
bool IsInnerFragment(const test::Bytes& inner) {
  const auto ip = ParseIpPacket(inner);
  return ip && ip->fragment;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, std::size_t size) {
  static World world;  // lives until exit: RcuHash hides its nodes from a leak checker
  if (size == 0 || size > 1400) return 0;
  const test::Bytes rest(data + 1, data + size);
  const uint64_t before = world.host.AllDrops();
  const unsigned choice = data[0] % 8;
  if (choice < world.sas.size()) {
    const SaSpec& spec = world.sas[choice]->spec();
    world.host.FromWire(test::SealedFrame(spec, ++world.seq & 0xffffffff, rest));
  } else if (choice == 5) {
    world.host.FromHost(rest);
  } else {
    world.host.FromWire(rest);
  }
  world.host.Run();
  const std::vector<test::Bytes> to_host = world.host.ToHost();
  const std::vector<test::Bytes> to_wire = world.host.ToWire();
  const uint64_t drops = world.host.AllDrops() - before;
  // One packet went in and must be in exactly one place. (A discarded keep-alive is in none; a drop
  // may send an error to the sender.)
  const bool sealed = choice < world.sas.size();
  const bool extended = choice == kTransport6;  // its payload may begin with a fragment header
  const bool fragment = sealed ? extended || IsInnerFragment(rest) : IsFragment(rest);
  if (!fragment) {
    CYGNET_CHECK(to_host.size() <= 1 && to_wire.size() <= 1 && drops <= 1);
    CYGNET_CHECK(to_host.size() + to_wire.size() + drops <= 2);
  }
  if (sealed) {
    CYGNET_CHECK((fragment || to_host.size() + drops == 1) && to_wire.empty());
    if (!to_host.empty()) {
      CYGNET_CHECK(ParseIpPacket(std::span<const uint8_t>(to_host[0]).subspan(14)).has_value());
    }
  }
  DataPathEvent event;
  while (world.host.path.events[0]->Pop({&event, 1}) == 1) {
  }
  return 0;
}
