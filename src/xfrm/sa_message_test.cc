#include "xfrm/sa_message.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include "netlink/attribute.h"
#include "support/xfrm_messages.h"

namespace cygnet::xfrm {
namespace {

using testing::Esn;
using testing::Gcm;
using testing::Message;
using testing::SaInfo;

Result<SaSpec> Decode(Message& message) {
  const netlink::Buffer bytes = message.Finish();
  netlink::ExtendedAck ack;
  const auto request = ParseRequest(testing::View(bytes), ack);
  if (!request) return request.error();
  return DecodeSa(*request);
}

Message NewSa(const Zeroed<xfrm_usersa_info>& info = SaInfo()) {
  Message message(RequestType::kNewSa);
  message.Put(info);
  return message;
}

SaView ViewOf(const SaSpec& spec) {
  SaView view;
  view.spec = &spec;
  view.state = SaState::kValid;
  view.replay = spec.replay;
  view.offload = spec.offload;
  view.usage = spec.rare->initial_usage.value_or(LifetimeUsage{});
  return view;
}

std::vector<int> AttributeTypes(const netlink::Buffer& message, std::size_t fixed) {
  netlink::AttributeIterator iterator(
      testing::View(message).payload().subspan(netlink::Align(fixed)));
  std::vector<int> types;
  while (const auto attribute = iterator.Next()) types.push_back(attribute->type);
  return types;
}

// Cases that the vectors lack, because their kernel has no AES-GCM and no ESP.
struct Refusal {
  const char* name;
  Message message;
  Errc code;
  const char* text;
};

Zeroed<xfrm_usersa_info> With(void (*change)(xfrm_usersa_info&)) {
  auto info = SaInfo();
  change(*info);
  return info;
}

Zeroed<xfrm_user_offload> Offload(uint8_t flags) {
  Zeroed<xfrm_user_offload> wire;
  wire->ifindex = 3;
  wire->flags = flags;
  return wire;
}

Zeroed<xfrm_encap_tmpl> Encap(uint16_t type) {
  Zeroed<xfrm_encap_tmpl> wire;
  wire->encap_type = type;
  wire->encap_sport = be16(4500).raw();
  wire->encap_dport = be16(4501).raw();
  return wire;
}

TEST(DecodeSaTest, RefusesInKernelOrder) {
  const auto mode = [](uint8_t value) {
    auto info = SaInfo();
    info->mode = value;
    return info;
  };
  const auto esn = With([](auto& i) { i.flags = kSaFlagEsn; });
  const uint8_t in = 1;
  const uint8_t out = 2;
  constexpr const char* kCrypto = "Kernel was unable to initialize cryptographic operations";
  Refusal refusals[] = {
      {"icv 100", NewSa().AttrBytes(XFRMA_ALG_AEAD, testing::Aead("rfc4106(gcm(aes))", 20, 100)),
       Errc::kNotImplemented, "Requested AEAD algorithm not found"},
      {"icv 80", NewSa().AttrBytes(XFRMA_ALG_AEAD, testing::Aead("rfc4106(gcm(aes))", 20, 80)),
       Errc::kNotImplemented, "Requested AEAD algorithm not found"},
      {"key 19", NewSa().AttrBytes(XFRMA_ALG_AEAD, testing::Aead("rfc4106(gcm(aes))", 19, 128)),
       Errc::kInvalid, kCrypto},
      {"key 0", NewSa().AttrBytes(XFRMA_ALG_AEAD, testing::Aead("rfc4106(gcm(aes))", 0, 128)),
       Errc::kInvalid, kCrypto},
      {"route optimization", NewSa(mode(2)).AttrBytes(XFRMA_ALG_AEAD, Gcm()),
       Errc::kProtocolNotSupported, "Requested mode not found"},
      {"family change in transport mode",
       NewSa(With([](auto& i) { i.sel.family = 10; })).AttrBytes(XFRMA_ALG_AEAD, Gcm()),
       Errc::kProtocolNotSupported, "Only tunnel modes can accommodate a change of family"},
      {"iptfs", NewSa(mode(5)).AttrBytes(XFRMA_ALG_AEAD, Gcm()).Attr(kAttrSaDir, in),
       Errc::kProtocolNotSupported, "Requested mode not found"},
      {"pcpu",
       NewSa()
           .AttrBytes(XFRMA_ALG_AEAD, Gcm())
           .Attr(kAttrSaDir, in)
           .Attr(kAttrSaPcpu, uint32_t{999999}),
       Errc::kRange, "pCPU number too big"},
      {"pcpu after algorithm",
       NewSa()
           .AttrBytes(XFRMA_ALG_AEAD, testing::Aead("none", 20, 128))
           .Attr(kAttrSaDir, in)
           .Attr(kAttrSaPcpu, uint32_t{999999}),
       Errc::kNotImplemented, "Requested AEAD algorithm not found"},
      {"tcp encapsulation",
       NewSa().AttrBytes(XFRMA_ALG_AEAD, Gcm()).AttrBytes(XFRMA_ENCAP, Encap(7).bytes()),
       Errc::kInvalid, "Unsupported encapsulation type for ESP"},
      {"keepalive in",
       NewSa()
           .AttrBytes(XFRMA_ALG_AEAD, Gcm())
           .Attr(kAttrSaDir, in)
           .Attr(kAttrNatKeepalive, uint32_t{20}),
       Errc::kInvalid, "NAT keepalive is only supported for outbound SAs"},
      {"keepalive without encap",
       NewSa()
           .AttrBytes(XFRMA_ALG_AEAD, Gcm())
           .Attr(kAttrSaDir, out)
           .Attr(kAttrNatKeepalive, uint32_t{20}),
       Errc::kInvalid, "NAT keepalive is only supported for UDP encapsulation"},
      {"window above bitmap",
       NewSa(esn).AttrBytes(XFRMA_ALG_AEAD, Gcm()).AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(1, 33)),
       Errc::kInvalid, "ESN replay window is too large for the chosen bitmap size"},
      {"window 0",
       NewSa(esn).AttrBytes(XFRMA_ALG_AEAD, Gcm()).AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(1, 0)),
       Errc::kInvalid, "ESN replay window must be > 0"},
      {"offload flags",
       NewSa().AttrBytes(XFRMA_ALG_AEAD, Gcm()).AttrBytes(XFRMA_OFFLOAD_DEV, Offload(8).bytes()),
       Errc::kInvalid, "Unrecognized flags in offload request"},
      {"offload inbound, SA out",
       NewSa()
           .AttrBytes(XFRMA_ALG_AEAD, Gcm())
           .Attr(kAttrSaDir, out)
           .AttrBytes(XFRMA_OFFLOAD_DEV, Offload(2).bytes()),
       Errc::kInvalid, "Mismatched SA and offload direction"},
      {"offload outbound, SA in",
       NewSa()
           .AttrBytes(XFRMA_ALG_AEAD, Gcm())
           .Attr(kAttrSaDir, in)
           .AttrBytes(XFRMA_OFFLOAD_DEV, Offload(4).bytes()),
       Errc::kInvalid, "Mismatched SA and offload direction"},
      {"offload with tfc",
       NewSa(mode(1))
           .AttrBytes(XFRMA_ALG_AEAD, Gcm())
           .Attr(XFRMA_TFCPAD, uint32_t{100})
           .AttrBytes(XFRMA_OFFLOAD_DEV, Offload(0).bytes()),
       Errc::kInvalid, "TFC padding can't be offloaded"},
  };
  for (Refusal& refusal : refusals) {
    SCOPED_TRACE(refusal.name);
    const auto spec = Decode(refusal.message);
    ASSERT_FALSE(spec.has_value());
    EXPECT_EQ(spec.error().code, refusal.code);
    EXPECT_EQ(spec.error().message, refusal.text);
  }
}

TEST(DecodeSaTest, KeyLengthThatOverflowsAnIntIsTooLong) {
  for (const uint32_t bits : {0xffffffffu, 0xfffffff9u, 0xfffffff8u, 0x7fffffffu, 161u}) {
    auto aead = Gcm();
    std::memcpy(aead.data() + 64, &bits, sizeof(bits));
    const auto spec = Decode(NewSa().AttrBytes(XFRMA_ALG_AEAD, aead));
    ASSERT_FALSE(spec.has_value());
    EXPECT_EQ(spec.error().message, "Invalid AEAD attribute length") << bits;
  }
}

TEST(DecodeSaTest, TakesEveryField) {
  auto info = SaInfo(0xabcd);
  info->mode = XFRM_MODE_TUNNEL;
  info->reqid = 7;
  info->seq = 9;
  info->replay_window = 200;
  info->flags = kSaFlagNoEcn;
  info->lft.hard_byte_limit = 1000;
  auto offload = Offload(1 | 2 | 4);
  const auto spec = Decode(NewSa(info)
                               .AttrBytes(XFRMA_ALG_AEAD, Gcm())
                               .AttrBytes(XFRMA_ENCAP, Encap(2).bytes())
                               .Attr(XFRMA_SA_EXTRA_FLAGS, uint32_t{2})
                               .Attr(XFRMA_REPLAY_THRESH, uint32_t{11})
                               .Attr(XFRMA_ETIMER_THRESH, uint32_t{12})
                               .Attr(XFRMA_MTIMER_THRESH, uint32_t{13})
                               .Attr(XFRMA_LTIME_VAL, xfrm_lifetime_cur{1, 2, 3, 4})
                               .AttrBytes(XFRMA_OFFLOAD_DEV, offload.bytes()));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_EQ(spec->spi, Spi(0xabcd));
  EXPECT_EQ(spec->family, IpFamily::kV4);
  EXPECT_EQ(spec->saddr, ParseAddress("10.0.0.1")->address);
  EXPECT_EQ(spec->daddr, ParseAddress("10.0.0.2")->address);
  EXPECT_EQ(spec->mode, SaMode::kTunnel);
  EXPECT_EQ(spec->reqid, Reqid(7));
  EXPECT_EQ(spec->acquire_seq, 9u);
  EXPECT_EQ(spec->replay.window, 32u) << "the legacy window is clamped";
  EXPECT_FALSE(spec->replay.extended_form);
  EXPECT_EQ(spec->flags, kSaFlagNoEcn);
  EXPECT_EQ(spec->limits->hard_bytes, 1000u);
  EXPECT_EQ(spec->limits->soft_bytes, kUnlimited);
  EXPECT_EQ(spec->aead.descriptor->id, AlgorithmId::kAesGcm);
  EXPECT_EQ(spec->aead.key.size(), 20u);
  EXPECT_EQ(spec->aead.icv_bits, 128);
  EXPECT_EQ(spec->encap->sport, 4500);
  EXPECT_EQ(spec->encap->dport, 4501);
  EXPECT_EQ(spec->rare->extra_flags, 2u);
  EXPECT_EQ(spec->rare->replay_max_diff, 11u);
  EXPECT_EQ(spec->rare->replay_max_age, 12u);
  EXPECT_EQ(spec->rare->mapping_max_age, 13u);
  EXPECT_EQ(spec->rare->initial_usage, (LifetimeUsage{1, 2, 3, 4}));
  EXPECT_EQ(spec->offload, (OffloadRequest{OffloadMode::kPacket, 3, true}));
  EXPECT_EQ(spec->selector->family, IpFamily::kV4) << "filled in from the SA";
}

TEST(DecodeSaTest, BeetAndTunnelMayChangeTheFamily) {
  for (const uint8_t mode : {uint8_t{XFRM_MODE_TUNNEL}, uint8_t{XFRM_MODE_BEET}}) {
    auto info = SaInfo();
    info->mode = mode;
    info->sel.family = 10;
    const auto spec = Decode(NewSa(info).AttrBytes(XFRMA_ALG_AEAD, Gcm()));
    ASSERT_TRUE(spec.has_value()) << spec.error().message;
    EXPECT_EQ(static_cast<uint8_t>(spec->mode), mode);
    EXPECT_EQ(spec->selector->family, IpFamily::kV6);
    EXPECT_EQ(spec->family, IpFamily::kV4);
  }
}

TEST(DecodeSaTest, AfUnspecFlagKeepsSelectorWithoutFamily) {
  const auto spec = Decode(
      NewSa(With([](auto& i) { i.flags = kSaFlagAfUnspec; })).AttrBytes(XFRMA_ALG_AEAD, Gcm()));
  EXPECT_EQ(spec->selector->family, IpFamily::kUnspec);
}

TEST(DecodeSaTest, EsnBitmapMayBeLeftOut) {
  auto esn = Esn(4, 128, 0x100000005, 0x200000006);
  esn.resize(sizeof(ReplayEsnHeader));
  const auto spec = Decode(NewSa(With([](auto& i) { i.flags = kSaFlagEsn; }))
                               .AttrBytes(XFRMA_ALG_AEAD, Gcm())
                               .AttrBytes(XFRMA_REPLAY_ESN_VAL, esn));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  EXPECT_TRUE(spec->esn());
  EXPECT_EQ(spec->replay.seq, 0x100000005u);
  EXPECT_EQ(spec->replay.oseq, 0x200000006u);
  EXPECT_EQ(spec->replay.bitmap, std::vector<uint32_t>(4, 0));
}

TEST(DecodeSaTest, EveryTruncationIsRefusedOrDecoded) {
  const netlink::Buffer whole = NewSa(With([](auto& i) { i.flags = kSaFlagEsn; }))
                                    .AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(2, 64))
                                    .AttrBytes(XFRMA_ALG_AEAD, Gcm())
                                    .Finish();
  for (std::size_t length = netlink::kHeaderSize; length < whole.size(); ++length) {
    const netlink::Buffer cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    netlink::MessageView view = testing::View(whole);
    view.header.nlmsg_len = static_cast<uint32_t>(length);
    view.bytes = cut;
    netlink::ExtendedAck ack;
    const auto request = ParseRequest(view, ack);
    if (!request) continue;
    EXPECT_FALSE(DecodeSa(*request).has_value()) << length;
  }
}

TEST(EncodeSaTest, AttributesComeInKernelOrder) {
  auto info = SaInfo();
  info->mode = XFRM_MODE_TUNNEL;
  auto spec = Decode(NewSa(info)
                         .AttrBytes(XFRMA_ALG_AEAD, Gcm())
                         .AttrBytes(XFRMA_ENCAP, Encap(2).bytes())
                         .Attr(XFRMA_TFCPAD, uint32_t{100})
                         .Attr(kAttrSaDir, uint8_t{2})
                         .Attr(kAttrNatKeepalive, uint32_t{20})
                         .Attr(kAttrSaPcpu, uint32_t{0})
                         .Attr(XFRMA_SA_EXTRA_FLAGS, uint32_t{1}));
  ASSERT_TRUE(spec.has_value()) << spec.error().message;
  SaView view = ViewOf(*spec);
  view.last_used = 77;
  view.offload = OffloadRequest{OffloadMode::kCrypto, 3, false};
  const auto message = EncodeSa(view, {}, DumpPart::kNo);
  EXPECT_THAT(AttributeTypes(message, sizeof(xfrm_usersa_info)),
              ::testing::ElementsAre(XFRMA_SA_EXTRA_FLAGS, XFRMA_LASTUSED, XFRMA_ALG_AEAD,
                                     XFRMA_ENCAP, XFRMA_TFCPAD, XFRMA_REPLAY_VAL, XFRMA_OFFLOAD_DEV,
                                     kAttrSaPcpu, kAttrSaDir, kAttrNatKeepalive));
}

TEST(EncodeSaTest, OffloadShowsWhereTheSaReallyIs) {
  auto offload = Offload(2);
  const auto spec = Decode(
      NewSa().AttrBytes(XFRMA_ALG_AEAD, Gcm()).AttrBytes(XFRMA_OFFLOAD_DEV, offload.bytes()));
  SaView view = ViewOf(*spec);
  view.offload.reset();  // fell back to software
  EXPECT_THAT(AttributeTypes(EncodeSa(view, {}, DumpPart::kNo), sizeof(xfrm_usersa_info)),
              ::testing::Not(::testing::Contains(int{XFRMA_OFFLOAD_DEV})));
}

// A client can send what it read as a new SA, and gets the same SA (as charon's update_sa does).
SaSpec Arbitrary() {
  auto info = SaInfo(*rc::gen::arbitrary<uint32_t>());
  info->mode = *rc::gen::element(uint8_t{XFRM_MODE_TRANSPORT}, uint8_t{XFRM_MODE_TUNNEL});
  info->reqid = *rc::gen::arbitrary<uint32_t>();
  info->seq = *rc::gen::arbitrary<uint32_t>();
  info->lft.soft_byte_limit = *rc::gen::arbitrary<uint64_t>();
  info->lft.hard_use_expires_seconds = *rc::gen::arbitrary<uint64_t>();
  const bool extended = *rc::gen::arbitrary<bool>();
  info->replay_window = extended ? uint8_t{0} : *rc::gen::arbitrary<uint8_t>();
  Message message = NewSa(info);
  const auto key = *rc::gen::element(std::size_t{20}, std::size_t{28}, std::size_t{36});
  const auto icv = *rc::gen::element(uint32_t{64}, uint32_t{96}, uint32_t{128});
  message.AttrBytes(XFRMA_ALG_AEAD, testing::Aead("rfc4106(gcm(aes))", key, icv));
  if (extended) {
    const auto words = *rc::gen::inRange<uint32_t>(1, 129);
    const auto window = *rc::gen::inRange<uint32_t>(0, words * 32 + 1);
    message.AttrBytes(XFRMA_REPLAY_ESN_VAL, Esn(words, window, *rc::gen::arbitrary<uint64_t>(),
                                                *rc::gen::arbitrary<uint64_t>()));
  } else {
    message.Attr(XFRMA_REPLAY_VAL,
                 xfrm_replay_state{*rc::gen::arbitrary<uint32_t>(), *rc::gen::arbitrary<uint32_t>(),
                                   *rc::gen::arbitrary<uint32_t>()});
  }
  if (*rc::gen::arbitrary<bool>()) message.AttrBytes(XFRMA_ENCAP, Encap(2).bytes());
  if (*rc::gen::arbitrary<bool>()) message.Attr(XFRMA_MARK, xfrm_mark{});  // none
  if (*rc::gen::arbitrary<bool>()) {
    message.AttrBytes(XFRMA_OFFLOAD_DEV, Offload(*rc::gen::inRange<uint8_t>(0, 8)).bytes());
  }
  auto spec = Decode(message);
  RC_ASSERT(spec.has_value());
  return std::move(*spec);
}

TEST(EncodeSaTest, DecodesToWhatWasEncoded) {
  EXPECT_TRUE(rc::check("round trip", [] {
    const SaSpec spec = Arbitrary();
    const auto first = EncodeSa(ViewOf(spec), {1, 2}, DumpPart::kNo);
    netlink::ExtendedAck ack;
    const auto request = ParseRequest(testing::View(first), ack);
    RC_ASSERT(request.has_value());
    const auto again = DecodeSa(*request);
    RC_ASSERT(again.has_value());
    RC_ASSERT(again->aead.key == spec.aead.key);
    RC_ASSERT(again->replay == spec.replay);
    RC_ASSERT(again->offload == spec.offload);
    RC_ASSERT(EncodeSa(ViewOf(*again), {1, 2}, DumpPart::kNo) == first);
  }));
}

}  // namespace
}  // namespace cygnet::xfrm
