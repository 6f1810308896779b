#include "datapath/inside.h"

#include <gtest/gtest.h>

#include <cstring>

#include "net/checksum.h"
#include "packet/packet_pool.h"

namespace cygnet {
namespace {

TEST(InsideTest, AHopLessKeepsTheHeaderChecksum) {
  for (uint32_t word = 0; word < 0x10000; word += 7) {
    uint8_t header[20] = {0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1};
    StoreBe16(header + 4, static_cast<uint16_t>(word));
    WriteIpv4HeaderChecksum(header);
    LowerHopLimit(header);
    EXPECT_EQ(HopLimit(header), 63);
    ASSERT_EQ(Checksum(header), 0) << word;
  }
}

TEST(InsideTest, ATagIsTakenOffAndPutBack) {
  PacketPool pool(4, 2048, 128);
  PacketCache cache(&pool);
  Packet* packet = cache.Take();
  uint8_t* frame = packet->Append(64);
  for (uint8_t i = 0; i < 64; ++i) frame[i] = i;
  StoreBe16(frame + 12, 0x8100);
  StoreBe16(frame + 14, 0xe007);  // priority 7, VLAN 7
  StoreBe16(frame + 16, 0x0800);
  const std::vector<uint8_t> before(frame, frame + 64);
  EXPECT_EQ(TakeVlan(packet), 7);
  EXPECT_EQ(packet->length, 60u);
  EXPECT_EQ(LoadBe16(packet->data() + 12), 0x0800);
  EXPECT_EQ(TakeVlan(packet), 0);
  InsideInterface interface;
  interface.vlan = 7;
  AddVlan(interface, packet);
  std::vector<uint8_t> expected = before;
  expected[14] = 0;  // the priority is not kept
  EXPECT_EQ(std::vector<uint8_t>(packet->data(), packet->data() + packet->length), expected);
  cache.Give(packet);
}

TEST(InsideTest, AHostIsFoundInItsScopeUntilItIsDropped) {
  Quiescence quiescence;
  Inside inside(1, &quiescence);
  const InsideKey key{.scope = 0, .address = *ParseAddress("10.1.0.2")};
  for (const uint8_t number : {uint8_t{1}, uint8_t{2}}) {
    auto host = std::make_unique<InsideHost>();
    host->key = key;
    host->inside = number;
    inside.Put(std::move(host));
    EXPECT_EQ(inside.FindHost(key)->inside, number);
  }
  EXPECT_EQ(inside.hosts(), 1u);
  EXPECT_EQ(inside.FindHost({0, {key.address.address, IpFamily::kV6}}), nullptr);
  EXPECT_EQ(inside.FindHost({5, key.address}), nullptr) << "of another VRF";
  EXPECT_EQ(inside.FindSource({0, key.address}), nullptr);
  inside.DropHost(key);
  EXPECT_EQ(inside.FindHost(key), nullptr);
}

TEST(InsideTest, AnInterfaceHasANumberOfItsOwn) {
  Quiescence quiescence;
  Inside inside(1, &quiescence);
  EXPECT_EQ(inside.at(0), nullptr);
  InsideInterface* const first = inside.Add("lan0", 0, nullptr, 0);
  EXPECT_EQ(inside.at(first->number), first);
  EXPECT_EQ(inside.at(first->number + 1u), nullptr);
}

}  // namespace
}  // namespace cygnet
