#include "device/inside/inside_port.h"

#include <gtest/gtest.h>

#include <cstring>

#include "net/checksum.h"
#include "net/ethernet.h"

namespace cygnet {
namespace {

// A UDP packet over IPv4 whose checksum field is as given.
Packet* MakeUdp(PacketCache* cache, uint16_t field) {
  Packet* packet = cache->Take();
  uint8_t* frame = packet->Append(kEthernetHeader + 32);
  std::memset(frame, 0, kEthernetHeader + 32);
  StoreBe16(frame + 12, kEtherTypeIpv4);
  packet->l3_offset = kEthernetHeader;
  uint8_t* ip = frame + kEthernetHeader;
  const uint8_t header[] = {0x45, 0, 0, 32, 0, 0, 0, 0, 64, 17, 0, 0, 10,  1,   0,   1,
                            10,   2, 0, 1,  4, 0, 5, 0, 0,  12, 0, 0, 'd', 'a', 't', 'a'};
  std::memcpy(ip, header, sizeof(header));
  StoreBe16(ip + 26, field);
  return packet;
}

TEST(InsidePortTest, OnlyAChecksumThatWasLeftIsFinished) {
  PacketPool pool(4, 2048, 128);
  PacketCache cache(&pool);
  const IpAddress from = ParseAddress("10.1.0.1")->address;
  const IpAddress to = ParseAddress("10.2.0.1")->address;
  const uint64_t pseudo = PseudoHeaderSum(from, to, IpFamily::kV4, 17, 12);
  Packet* left = MakeUdp(&cache, static_cast<uint16_t>(~ChecksumFinish(pseudo)));
  EXPECT_TRUE(FinishLeftChecksum(left));
  EXPECT_EQ(ChecksumFinish(ChecksumAdd(left->bytes().subspan(kEthernetHeader + 20), pseudo)), 0);
  EXPECT_FALSE(FinishLeftChecksum(left)) << "it is finished";
  Packet* none = MakeUdp(&cache, 0);
  EXPECT_FALSE(FinishLeftChecksum(none));
  EXPECT_EQ(LoadBe16(none->data() + kEthernetHeader + 26), 0) << "UDP without a checksum stays so";
  cache.Give(left);
  cache.Give(none);
}

}  // namespace
}  // namespace cygnet
