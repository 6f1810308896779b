#include "device/wires/super_sender.h"

#include <algorithm>

#include "net/flow_key.h"
#include "net/ip_protocol.h"
#include "support/wire_port_fixture.h"

namespace cygnet {
namespace {

using test::WirePortTest;

constexpr uint32_t kUpperAt = kEthernetHeader + 20;
// What makes the kernel cut, and finish checksums, before a frame reaches the other end.
const char* const kCutting =
    "ethtool -K wa tx-tcp-segmentation off tx-udp-segmentation off tx-checksum-ip-generic off";

class SuperSenderTest : public WirePortTest {
 protected:
  SuperSenderTest() { near_options_ = "udp_segmentation = 'on'\n"; }

  // Of one flow, sealed, with the number as its identification.
  Packet* Sealed(uint16_t number, std::size_t bytes = 500) {
    Packet* packet = MakeFrame(std::string(bytes, static_cast<char>('a' + number % 26)));
    StoreBe16(packet->data() + kEthernetHeader + 4, number);
    WriteIpv4HeaderChecksum(packet->data() + kEthernetHeader);
    packet->protection = Protection::kProven;
    return packet;
  }
  // A TCP super-packet over IPv4, with a VLAN tag of so many bytes.
  Packet* Tcp(uint32_t payload, uint32_t tag) {
    Packet* packet = user.caches.jumbo.Take();
    uint8_t* frame = packet->Append(kUpperAt + tag + 20 + payload);
    std::memset(frame, 0xff, kUpperAt + tag + 20);
    if (tag != 0) StoreBe32(frame + 12, 0x81000005);
    StoreBe16(frame + 12 + tag, 0x0800);
    uint8_t* ip = frame + kEthernetHeader + tag;
    const uint8_t header[] = {0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, kProtoTcp, 0, 0};
    std::memcpy(ip, header, sizeof(header));
    StoreBe16(ip + 2, static_cast<uint16_t>(40 + payload));
    StoreBe32(ip + 12, 0xc0000201);
    StoreBe32(ip + 16, 0xc0000202);
    WriteIpv4HeaderChecksum(ip);
    uint8_t* tcp = ip + 20;
    StoreBe32(tcp + 4, 1000);
    StoreBe16(tcp + 12, 0x5010);
    const auto view = ParseIpPacket({ip, 40 + payload});
    StoreBe16(
        tcp + 16,
        static_cast<uint16_t>(~ChecksumFinish(PseudoHeaderSum(
            view->flow.saddr, view->flow.daddr, view->flow.family, kProtoTcp, 20 + payload))));
    for (uint32_t i = 0; i < payload; ++i) tcp[20 + i] = static_cast<uint8_t>(i);
    packet->l3_offset = static_cast<uint16_t>(kEthernetHeader + tag);
    packet->csum_partial = true;
    packet->csum_start = static_cast<uint16_t>(kUpperAt + tag);
    packet->csum_offset = 16;
    packet->gso_type = GsoType::kTcpV4;
    packet->gso_size = 1400;
    return packet;
  }
  void SendAll(const std::vector<Packet*>& packets) {
    PacketBatch batch;
    for (Packet* packet : packets) batch.Push(packet);
    near_->Transmit(0, &batch, &user.sink);
  }
  // The next `count` frames of the far end, whose checksums are right where they are finished.
  std::vector<std::vector<uint8_t>> Arrived(std::size_t count) {
    std::vector<std::vector<uint8_t>> frames;
    ReceiveUntil(far_.get(), 0, [&](Packet* packet) {
      frames.emplace_back(packet->bytes().begin(), packet->bytes().end());
      if (!packet->csum_partial) ExpectChecksum(*packet);
      last_gso_ = packet->gso_type;
      last_size_ = packet->gso_size;
      last_start_ = packet->csum_start;
      return frames.size() == count;
    });
    return frames;
  }
  static void ExpectChecksum(const Packet& packet) {
    const auto ip = ParseIpPacket(packet.l3());
    ASSERT_TRUE(ip.has_value());
    EXPECT_EQ(Checksum(packet.l3().first(20)), 0);
    if (ip->flow.proto == kProtoUdp && LoadBe16(packet.l3().data() + 26) == 0) return;  // none
    const auto upper = packet.l3().subspan(20, ip->total_length - 20);
    EXPECT_EQ(ChecksumFinish(ChecksumAdd(
                  upper, PseudoHeaderSum(ip->flow.saddr, ip->flow.daddr, ip->flow.family,
                                         ip->flow.proto, static_cast<uint32_t>(upper.size())))),
              0);
  }
  GsoType last_gso_ = GsoType::kNone;
  uint16_t last_size_ = 0;
  uint16_t last_start_ = 0;
};

TEST_P(SuperSenderTest, ASuperPacketCrossesWhole) {
  Open();
  if (near_ == nullptr) return;
  EXPECT_TRUE(near_->TakesSuperPackets());
  for (const uint32_t tag : {0u, 4u}) {
    Packet* packet = Tcp(50'000, tag);
    const std::vector<uint8_t> sent(packet->bytes().begin(), packet->bytes().end());
    SendAll({MakeFrame("before"), packet, MakeFrame("behind")});
    const auto got = Arrived(3);
    ASSERT_EQ(got.size(), 3u);
    EXPECT_TRUE(got[1] == sent) << "tag " << tag;
    EXPECT_EQ(got[0].size(), kUpperAt + 8 + 6) << "the order stays";
  }
  EXPECT_EQ(near_->stats().tx_packets, 6u);
}

TEST_P(SuperSenderTest, ATagOfASuperPacketIsReceived) {
  Open();
  if (near_ == nullptr) return;
  SendAll({Tcp(50'000, 4)});
  const auto got = Arrived(1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(LoadBe32(got[0].data() + 12), 0x81000005u);
  EXPECT_EQ(last_gso_, GsoType::kTcpV4);
  EXPECT_EQ(last_size_, 1400);
  EXPECT_EQ(last_start_, kUpperAt + 4);
}

TEST_P(SuperSenderTest, TheKernelCutsForALinkThatCannot) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run(kCutting));
  SendAll({Tcp(14'000, 0)});
  const auto got = Arrived(10);
  ASSERT_EQ(got.size(), 10u);
  std::vector<uint8_t> payload;
  for (const auto& frame : got)
    payload.insert(payload.end(), frame.begin() + kUpperAt + 20, frame.end());
  ASSERT_EQ(payload.size(), 14'000u);
  for (std::size_t i = 0; i < payload.size(); ++i) ASSERT_EQ(payload[i], static_cast<uint8_t>(i));
}

TEST_P(SuperSenderTest, SealedDatagramsOfOneFlowGoAsOne) {
  Open();
  if (near_ == nullptr) return;
  SendAll({Sealed(1), Sealed(2), Sealed(3), Sealed(4), Sealed(5, 100)});
  const auto got = Arrived(1);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].size(), kUpperAt + 8 + 4 * 500 + 100);
  EXPECT_EQ(last_gso_, GsoType::kUdp);
  EXPECT_EQ(last_size_, 500);
  EXPECT_EQ(near_->stats().tx_packets, 5u);
  EXPECT_EQ(near_->stats().tx_bytes, 5 * (kUpperAt + 8) + 4 * 500u + 100);
}

TEST_P(SuperSenderTest, NothingIsJoinedOnAWireThatDoesNotCut) {
  near_options_.clear();
  Open();
  if (near_ == nullptr) return;
  SendAll({Sealed(1), Sealed(2), Sealed(3)});
  EXPECT_EQ(Arrived(3).size(), 3u);
}

// Every byte but the UDP checksum is as it was sealed.
TEST_P(SuperSenderTest, WhatTheKernelCutsIsWhatWasSealed) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run(kCutting));
  std::vector<Packet*> packets;
  std::vector<std::vector<uint8_t>> sent;
  for (uint16_t i = 0; i < 20; ++i) {
    packets.push_back(Sealed(static_cast<uint16_t>(0xfff8 + i), i < 19 ? 700 : 50));
    sent.emplace_back(packets.back()->bytes().begin(), packets.back()->bytes().end());
  }
  SendAll(packets);
  auto got = Arrived(20);
  ASSERT_EQ(got.size(), 20u);
  for (std::size_t i = 0; i < got.size(); ++i) {
    EXPECT_NE(LoadBe16(got[i].data() + kUpperAt + 6), 0);
    StoreBe16(got[i].data() + kUpperAt + 6, 0);
    EXPECT_TRUE(got[i] == sent[i]) << i;
  }
}

TEST_P(SuperSenderTest, WhatDiffersIsNotJoined) {
  using Change = void (*)(Packet*);
  const std::pair<const char*, Change> changes[] = {
      {"not sealed", [](Packet* p) { p->protection = Protection::kClear; }},
      {"of control", [](Packet* p) { p->protection = Protection::kControl; }},
      {"Ethernet address", [](Packet* p) { p->data()[7] ^= 1; }},
      {"TOS", [](Packet* p) { p->data()[kEthernetHeader + 1] = 4; }},
      {"identification", [](Packet* p) { p->data()[kEthernetHeader + 5] = 9; }},
      {"a fragment", [](Packet* p) { p->data()[kEthernetHeader + 6] = 0x20; }},
      {"may be cut", [](Packet* p) { p->data()[kEthernetHeader + 6] ^= 0x40; }},
      {"TTL", [](Packet* p) { p->data()[kEthernetHeader + 8] = 9; }},
      {"protocol", [](Packet* p) { p->data()[kEthernetHeader + 9] = kProtoTcp; }},
      {"options", [](Packet* p) { p->data()[kEthernetHeader] = 0x46; }},
      {"address", [](Packet* p) { p->data()[kEthernetHeader + 19] = 9; }},
      {"port", [](Packet* p) { p->data()[kUpperAt] = 9; }},
      {"UDP length", [](Packet* p) { p->data()[kUpperAt + 5] = 9; }},
      {"bytes behind", [](Packet* p) { (void)p->Append(1); }},
      {"unfinished checksum", [](Packet* p) { p->csum_partial = true; }},
      {"longer", [](Packet* p) {
         (void)p->Append(1);
         StoreBe16(p->data() + kEthernetHeader + 2, 529);
         StoreBe16(p->data() + kUpperAt + 4, 509);
       }}};
  const SuperSender sender(true);
  for (const auto& [name, change] : changes) {
    Packet* packets[] = {Sealed(1), Sealed(2), Sealed(3)};
    EXPECT_EQ(sender.RunOf(packets), 3u);
    change(packets[1]);
    EXPECT_EQ(sender.RunOf(packets), 1u) << name;
    for (Packet* packet : packets) user.sink.Recycle(packet);
  }
}

TEST_P(SuperSenderTest, ARunEndsWithTheShorterAndAtTheLargestPacket) {
  const SuperSender sender(true);
  std::vector<Packet*> packets = {Sealed(0), Sealed(1, 400), Sealed(2)};
  EXPECT_EQ(sender.RunOf(packets), 2u);
  for (Packet* packet : packets) user.sink.Recycle(packet);
  packets.clear();
  for (uint16_t i = 0; i < 64; ++i) packets.push_back(Sealed(i, 1400));
  EXPECT_EQ(sender.RunOf(packets), 46u) << "65535 bytes";
  for (Packet* packet : packets) user.sink.Recycle(packet);
}

TEST_P(SuperSenderTest, AnInterfaceThatIsDownDropsWithAReason) {
  Open();
  if (near_ == nullptr) return;
  ASSERT_TRUE(Run("ip link set wa down"));
  SendAll({Tcp(5000, 0), Sealed(1), Sealed(2), Sealed(3), Sealed(4)});
  EXPECT_EQ(user.drops.Get(DropReason::kPortDown), 5u);
  EXPECT_EQ(near_->stats().tx_packets, 0u);
}

INSTANTIATE_TEST_SUITE_P(Wires, SuperSenderTest, testing::Values(test::kAfPacket));

}  // namespace
}  // namespace cygnet
