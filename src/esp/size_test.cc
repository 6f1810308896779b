// Lengths: what fits a path, for every layout, mode and pair of families, and the meaning of each
// byte.
#include "esp/size.h"

#include <gtest/gtest.h>

#include <numeric>

#include "esp/overhead.h"
#include "support/esp_fixture.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Families;
using test::Frame;
using test::IpFields;
using test::LayoutCase;
using test::Pattern;
using test::SaOptions;

constexpr SaMode kModes[] = {SaMode::kTunnel, SaMode::kTransport, SaMode::kBeet};

struct Variant {
  SaPtr sa;
  const LayoutCase* layout;
  const Families* families;
  SaMode mode;
  bool udp;
  std::string Text() const {
    return std::string(layout->name) + ", " + families->name + ", mode " +
           std::to_string(static_cast<int>(mode)) + (udp ? ", UDP" : "");
  }
};

std::vector<Variant> Variants() {
  std::vector<Variant> all;
  for (const LayoutCase& layout : test::Layouts()) {
    for (const Families& families : test::kFamilies) {
      for (const SaMode mode : kModes) {
        if (mode == SaMode::kTransport && families.inner6() != families.outer6()) continue;
        for (const bool udp : {false, true}) {
          SaOptions o = test::OptionsFor(families, mode);
          if (udp) o.encap = test::NatT();
          all.push_back({test::MakeSaWith(layout, o), &layout, &families, mode, udp});
        }
      }
    }
  }
  return all;
}

IpFields Inner(const Variant& v) {
  const bool outside = v.mode == SaMode::kTransport;
  return {.src = outside ? v.families->outer_src : v.families->inner_src,
          .dst = outside ? v.families->outer_dst : v.families->inner_dst};
}

// Linux's xfrm_state_mtu with its x->props.header_len (esp4.c, esp6.c), written from the kernel's
// source.
uint32_t KernelMtu(const Variant& v, uint32_t mtu) {
  const bool outer6 = v.families->outer6();
  uint32_t header_len = 8u + v.layout->iv + (v.udp ? 8 : 0);
  uint32_t net_adj = 0;
  if (v.mode == SaMode::kTunnel) {
    header_len += outer6 ? 40 : 20;
  } else {
    net_adj = outer6 ? 40 : 20;
    if (v.mode == SaMode::kBeet && !v.families->inner6()) header_len += outer6 ? 28 : 8;
  }
  const uint32_t blk = v.layout->align;
  return ((mtu - header_len - v.layout->icv_bits / 8 - net_adj) & ~(blk - 1)) + net_adj - 2;
}

bool IsFourInSix(const Variant& v) { return !v.families->inner6() && v.families->outer6(); }

// Values of a Linux 6.1 host, and the space that its BEET 6-in-4 leaves unused.
TEST(InnerMtuTest, BeetOfMixedFamilies) {
  for (const Variant& v : Variants()) {
    if (v.mode != SaMode::kBeet || v.udp || v.layout->align != 16 || v.layout->iv != 16 ||
        v.layout->icv_bits != 128) {
      continue;
    }
    if (IsFourInSix(v)) {
      EXPECT_EQ(esp::InnerMtu(*v.sa->outbound(), 1500, 20), 1430u) << v.Text();
    }
    if (v.families->inner6() && !v.families->outer6()) {
      EXPECT_EQ(esp::InnerMtu(*v.sa->outbound(), 1500, 40), 1478u) << v.Text();
    }
  }
}

TEST(InnerMtuTest, WorkedExampleOfTheReference) {
  EXPECT_EQ(esp::InnerMtu(*test::MakeSa()->outbound(), 1500, 20), 1446u);
}

// BEET: 4-in-6 the kernel's value may be a few bytes too large, and then the outer packet is
// fragmented; with IPv6 inside it is what fits; 4-in-4 it is the smaller of the two.
TEST(InnerMtuTest, IsTheKernelsOrWhatFits) {
  int corrected = 0;
  for (const Variant& v : Variants()) {
    const uint32_t header = v.families->inner6() ? 40 : 20;
    for (uint32_t mtu = 1280; mtu <= 1312; ++mtu) {
      uint32_t expected = KernelMtu(v, mtu);
      if (v.mode == SaMode::kBeet && v.families->inner6()) {
        while (esp::WireLength(*v.sa->outbound(), expected + 1, header) <= mtu) ++expected;
      }
      if (v.mode != SaMode::kBeet || !IsFourInSix(v)) {
        while (esp::WireLength(*v.sa->outbound(), expected, header) > mtu) --expected;
      }
      if (expected != KernelMtu(v, mtu)) {
        ++corrected;
        EXPECT_EQ(v.mode, SaMode::kBeet) << v.Text();
      }
      EXPECT_EQ(esp::InnerMtu(*v.sa->outbound(), mtu, header), expected)
          << v.Text() << " mtu " << mtu;
    }
  }
  EXPECT_GT(corrected, 0);
}

TEST(InnerMtuTest, NoPathIsTooSmallToAskFor) {
  const auto sa = test::MakeSa();
  for (uint32_t mtu = 0; mtu <= 20 + 16 + 16 + 2; ++mtu) {
    EXPECT_EQ(esp::InnerMtu(*sa->outbound(), mtu, 20), 0u) << mtu;
  }
  EXPECT_EQ(esp::InnerMtu(*sa->outbound(), 56, 20), 2u);
  for (const Variant& v : Variants()) {
    for (uint32_t mtu = 0; mtu < 200; ++mtu) {
      EXPECT_LE(esp::InnerMtu(*v.sa->outbound(), mtu, 20), mtu) << v.Text();
    }
  }
}

TEST(InnerMtuTest, LargestThatFitsFitsAndOneMoreDoesNot) {
  for (const Variant& v : Variants()) {
    const uint32_t header = v.families->inner6() ? 40 : 20;
    for (const uint32_t path : {1280u, 1281u, 1285u, 1290u, 1295u}) {
      const uint32_t mtu = esp::InnerMtu(*v.sa->outbound(), path, header);
      for (uint32_t inner = mtu - 2; inner <= mtu + 1; ++inner) {
        const auto built =
            test::EncapsulateFrame(*v.sa, Frame(test::IpPacket(Inner(v), Pattern(inner - header))));
        ASSERT_EQ(built.reason, DropReason::kNone) << v.Text();
        const auto size = static_cast<uint32_t>(built.frame.size() - 14);
        EXPECT_EQ(size, esp::WireLength(*v.sa->outbound(), inner, header)) << v.Text();
        EXPECT_EQ(size, inner + esp::Overhead(*v.sa->outbound(), inner, header)) << v.Text();
        if (v.mode == SaMode::kBeet && IsFourInSix(v)) {  // may be fragmented
          EXPECT_TRUE(inner > mtu || size <= path + 4) << v.Text();
        } else if (v.mode == SaMode::kBeet) {  // the reserve of Linux may stay unused
          EXPECT_TRUE(inner > mtu || size <= path) << v.Text();
        } else {
          EXPECT_EQ(size <= path, inner <= mtu) << v.Text() << " " << inner << " in " << path;
        }
      }
    }
  }
}

TEST(InnerMtuTest, OptionsInTransportModeStayOutside) {
  for (const LayoutCase& layout : test::Layouts()) {
    const auto sa = test::MakeSaWith(layout, {.mode = SaMode::kTransport});
    for (const uint32_t options : {4u, 20u, 40u}) {
      const IpFields f{.src = "192.0.2.1", .dst = "192.0.2.2", .options = Bytes(options, 1)};
      const uint32_t mtu = esp::InnerMtu(*sa->outbound(), 1500, 20 + options);
      for (const uint32_t inner : {mtu, mtu + 1}) {
        const auto built =
            test::EncapsulateFrame(*sa, Frame(test::IpPacket(f, Pattern(inner - 20 - options))));
        EXPECT_EQ(built.frame.size() - 14 <= 1500, inner <= mtu) << layout.name << " " << options;
      }
    }
  }
}

TEST(InnerMtuTest, BeetOptionsFitWhatIsSetAside) {
  for (const Families& families : test::kFamilies) {
    if (families.inner6()) continue;
    for (const LayoutCase& layout : test::Layouts()) {
      const auto sa = test::MakeSaWith(layout, test::OptionsFor(families, SaMode::kBeet));
      for (uint32_t options = 0; options <= 40; options += 4) {
        const IpFields f{
            .src = families.inner_src, .dst = families.inner_dst, .options = Bytes(options, 1)};
        const uint32_t mtu = esp::InnerMtu(*sa->outbound(), 1500, 20 + options);
        const auto built =
            test::EncapsulateFrame(*sa, Frame(test::IpPacket(f, Pattern(mtu - 20 - options))));
        ASSERT_EQ(built.reason, DropReason::kNone);
        // 4-in-6 the outer packet may be fragmented.
        const std::size_t most = families.outer6() ? 1516 : 1500;
        EXPECT_LE(built.frame.size() - 14, most) << layout.name << " " << options;
        EXPECT_EQ(built.frame.size() - 14, esp::WireLength(*sa->outbound(), mtu, 20 + options));
      }
    }
  }
}

TEST(ProtectedLengthTest, IsWhatEspCarriesWithoutPadding) {
  for (const Variant& v : Variants()) {
    for (const std::size_t n : {0u, 1u, 100u}) {
      const Bytes ip = test::IpPacket(Inner(v), Pattern(n));
      const uint32_t got = esp::ProtectedLength(*v.sa->outbound(), *ParseIpPacket(ip));
      EXPECT_EQ(got, v.mode == SaMode::kTunnel ? ip.size() : n) << v.Text();
    }
  }
  const auto beet = test::MakeSa(test::OptionsFor(test::kFamilies[0], SaMode::kBeet));
  for (const auto& [options, expected] :
       {std::pair(4u, 108u), {8u, 116u}, {12u, 116u}, {40u, 148u}}) {
    const Bytes ip = test::IpPacket({.options = Bytes(options, 1)}, Pattern(100));
    EXPECT_EQ(esp::ProtectedLength(*beet->outbound(), *ParseIpPacket(ip)), expected) << options;
  }
}

// --- Offsets: Encapsulate and BuildJob agree ---

TEST(LayoutTest, JobCoversWhatTheAlgorithmNeeds) {
  for (const Variant& v : Variants()) {
    const LayoutCase& layout = *v.layout;
    const OutboundSa& sa = *v.sa->outbound();
    ASSERT_EQ(sa.layout.iv, layout.iv) << layout.name;
    ASSERT_EQ(sa.layout.align, layout.align) << layout.name;
    ASSERT_EQ(sa.layout.icv, layout.icv_bits / 8) << layout.name;
    for (std::size_t n = 20; n < 37; ++n) {
      auto built = test::EncapsulateFrame(*v.sa, Frame(test::IpPacket(Inner(v), Pattern(n))), 7);
      ASSERT_EQ(built.reason, DropReason::kNone);
      const std::span<uint8_t> esp = std::span(built.frame).subspan(built.meta.esp_offset);
      ASSERT_EQ(test::Get32(esp, 0), 0x1000u) << v.Text();
      ASSERT_EQ(test::Get32(esp, 4), 7u) << v.Text();
      const std::size_t text = esp.size() - 8 - layout.iv - sa.layout.icv;
      EXPECT_EQ(text % layout.align, 0u) << v.Text();
      CryptoJob seal;
      esp::BuildJob(esp::ParamsOf(sa, nullptr), esp, 0, &seal);
      const bool sealed_iv = sa.layout.iv_form == IvForm::kSealed;
      EXPECT_EQ(seal.text, esp.data() + 8 + (sealed_iv ? 0 : layout.iv)) << v.Text();
      EXPECT_EQ(seal.text_length, text + (sealed_iv ? layout.iv : 0u)) << v.Text();
      EXPECT_EQ(seal.icv, esp.data() + esp.size() - sa.layout.icv) << v.Text();
      CryptoJob open;
      esp::BuildJob(esp::ParamsOf(*v.sa->inbound(), nullptr), esp, 0, &open);
      EXPECT_EQ(open.text, esp.data() + 8 + layout.iv) << v.Text();
      EXPECT_EQ(open.text_length, text) << v.Text();
      EXPECT_EQ(open.icv, seal.icv) << v.Text();
      EXPECT_EQ(open.aad_length, 8u + (sa.layout.iv_in_aad ? 8u : 0u)) << v.Text();
      EXPECT_TRUE(std::equal(esp.begin() + 8, esp.begin() + 8 + layout.iv,
                             open.nonce.begin() + sa.layout.salt))
          << v.Text();
    }
  }
}

TEST(LayoutTest, WhatWasEncapsulatedIsDecapsulated) {
  for (const Variant& v : Variants()) {
    for (std::size_t n = 0; n < 37; ++n) {
      const Bytes frame = Frame(test::IpPacket(Inner(v), Pattern(n)));
      const auto built = test::EncapsulateFrame(*v.sa, frame);
      ASSERT_EQ(built.reason, DropReason::kNone) << v.Text();
      const auto back = test::DecapsulateFrame(*v.sa, built.frame);
      ASSERT_EQ(back.reason, DropReason::kNone) << v.Text();
      Bytes expected = frame;
      if (v.mode == SaMode::kBeet && v.families->outer6() != v.families->inner6()) {
        expected = back.frame;  // beet_test.cc checks its header
        EXPECT_EQ(Bytes(expected.end() - static_cast<std::ptrdiff_t>(n), expected.end()),
                  Pattern(n));
        EXPECT_EQ(expected.size(), frame.size());
      }
      EXPECT_EQ(back.frame, expected) << v.Text() << " " << n;
    }
  }
}

// --- TFC padding ---

TEST(TfcTest, PadsToTheTargetOrToWhatFits) {
  struct Case {
    const char* name;
    uint32_t tfc_pad;
    uint32_t path_mtu;
    std::size_t inner;
    std::size_t padded;
  };
  const Case cases[] = {
      {"none", 0, 1500, 100, 100},
      {"to the target", 1000, 1500, 100, 1000},
      {"one byte", 101, 1500, 100, 101},
      {"already there", 100, 1500, 100, 100},
      {"already beyond", 99, 1500, 100, 100},
      {"to the SA's MTU", 5000, 1500, 100, 1446},
      {"nothing beyond the SA's MTU", 5000, 1500, 1446, 1446},
      {"larger than the path: as it is", 5000, 1000, 1200, 1200},
      {"path unknown", 1000, 0, 100, 100},
  };
  for (const Case& c : cases) {
    const auto sa = test::MakeSa({.tfc_pad = c.tfc_pad});
    const Bytes frame = Frame(test::IpPacket({}, Pattern(c.inner - 20)));
    const auto built = test::EncapsulateFrame(*sa, frame, 1, c.path_mtu);
    ASSERT_EQ(built.reason, DropReason::kNone) << c.name;
    const std::size_t pad = (4 - (c.padded + 2) % 4) % 4;
    EXPECT_EQ(built.frame.size(), 14 + 20 + 16 + c.padded + pad + 2 + 16) << c.name;
    const auto text = built.frame.begin() + 14 + 20 + 16;
    const auto tfc = Bytes(text + static_cast<std::ptrdiff_t>(c.inner),
                           text + static_cast<std::ptrdiff_t>(c.padded));
    EXPECT_EQ(tfc, Bytes(c.padded - c.inner, 0)) << c.name;
    EXPECT_EQ(built.frame[built.frame.size() - 16 - 2], pad) << c.name;
    EXPECT_EQ(test::DecapsulateFrame(*sa, built.frame).frame, frame) << c.name;
  }
}

TEST(TfcTest, EveryLayoutAndPairOfFamiliesStaysInsideThePath) {
  for (const LayoutCase& layout : test::Layouts()) {
    for (const Families& families : test::kFamilies) {
      SaOptions o = test::OptionsFor(families, SaMode::kTunnel);
      o.tfc_pad = 9000;
      o.encap = test::NatT();
      const auto sa = test::MakeSaWith(layout, o);
      for (const uint32_t path : {1280u, 1287u, 1500u}) {
        const Bytes frame =
            Frame(test::IpPacket({.src = families.inner_src, .dst = families.inner_dst}, {}));
        const auto built = test::EncapsulateFrame(*sa, frame, 1, path);
        const auto size = static_cast<uint32_t>(built.frame.size() - 14);
        EXPECT_LE(size, path) << layout.name;
        EXPECT_GT(size + layout.align, path) << layout.name;
        EXPECT_EQ(test::DecapsulateFrame(*sa, built.frame).frame, frame) << layout.name;
      }
    }
  }
}

TEST(TfcTest, RoomBehindIsAskedForInFull) {
  const auto sa = test::MakeSa({.tfc_pad = 700});
  for (const uint32_t missing : {0u, 1u}) {
    Packet* packet = test::MakePacket(&test::EspPools(), Frame(test::Udp({}, 1, 2, Pattern(2))));
    const uint32_t capacity = packet->capacity;
    const auto view = ParseIpPacket(packet->l3());
    const uint32_t room = esp::RoomBehind(*sa->outbound(), view->total_length, 1500);
    EXPECT_EQ(room, 670u + 3 + 2 + 16);
    packet->SetCapacity(packet->head + packet->length + room - missing);
    EXPECT_EQ(esp::Encapsulate(*sa->outbound(), *view, 1, 1500, packet),
              missing == 0 ? DropReason::kNone : DropReason::kOutNoRoom);
    packet->SetCapacity(capacity);
    test::FreePacket(packet);
  }
}

// --- cygnet mtu explain ---

TEST(ExplainOverheadTest, PartsAndInnerMtuMakeThePath) {
  for (const Variant& v : Variants()) {
    const uint32_t header = v.families->inner6() ? 40 : 20;
    for (uint32_t path = 0; path < 1520; path += path < 200 ? 1 : 7) {
      const auto parts = esp::ExplainOverhead(*v.sa->outbound(), path, header);
      const uint32_t mtu = esp::InnerMtu(*v.sa->outbound(), path, header);
      auto sum = static_cast<int32_t>(mtu);
      for (const esp::OverheadPart& part : parts) {
        EXPECT_NE(part.bytes, 0) << part.name;
        sum += part.bytes;
      }
      EXPECT_EQ(parts.empty(), mtu == 0);
      EXPECT_EQ(sum, mtu == 0 ? 0 : static_cast<int32_t>(path)) << v.Text();
    }
  }
}

TEST(ExplainOverheadTest, NamesOfThePartsInOrder) {
  using Parts = std::vector<std::pair<std::string_view, int32_t>>;
  const auto explain = [](const Sa& sa, uint32_t path) {
    Parts out;
    for (const auto& p : esp::ExplainOverhead(*sa.outbound(), path, 20)) {
      out.emplace_back(p.name, p.bytes);
    }
    return out;
  };
  EXPECT_EQ(explain(*test::MakeSa({.encap = test::NatT()}), 1501),
            (Parts{{"outer IP header", 20},
                   {"UDP header", 8},
                   {"ESP header", 8},
                   {"IV", 8},
                   {"pad length and next header", 2},
                   {"ICV", 16},
                   {"rounding", 1}}));
  EXPECT_EQ(explain(*test::MakeSa({.mode = SaMode::kTransport}), 1500),
            (Parts{{"ESP header", 8}, {"IV", 8}, {"pad length and next header", 2}, {"ICV", 16}}));
  EXPECT_EQ(explain(*test::MakeSa(test::OptionsFor(test::kFamilies[2], SaMode::kBeet)), 1500),
            (Parts{{"outer IP header", 20},
                   {"ESP header", 8},
                   {"IV", 8},
                   {"options pseudo-header", 8},
                   {"pad length and next header", 2},
                   {"ICV", 16}}));
}

}  // namespace
}  // namespace cygnet
