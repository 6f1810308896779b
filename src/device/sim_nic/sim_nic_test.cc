// The software NIC alone: its effect on packets.
#include "device/sim_nic/sim_nic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/esp_oracle.h"
#include "support/memory_port.h"
#include "support/nic_under_test.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using testing::IsEmpty;
using testing::SizeIs;

class SimNicTest : public testing::TestWithParam<test::NicPath> {
 protected:
  SimNicTest() {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = Make(std::move(wire), 1);
  }
  std::unique_ptr<test::NicUnderTest> Make(std::unique_ptr<Port> wire, uint32_t queues) {
    return std::make_unique<test::NicUnderTest>(
        GetParam(), std::move(wire), &pools_,
        test::NicUnderTest::Setup{.options = {.sa_limit = 4}, .queues = queues});
  }
  OffloadHandle Add(const SaSpec& spec, Half half) {
    OffloadHandle handle;
    EXPECT_FALSE(nic_->InstallSa({spec, half, spec.replay.seq}, &handle).has_value());
    nic_->StartSa(handle);
    return handle;
  }
  // An unsealed ESP frame: readable text, with room for the ICV behind it.
  Packet* Unsealed(const SaSpec& spec, uint64_t seq, const Bytes& text) {
    Bytes esp(16);
    test::Put32(&esp, 0, spec.spi.value);
    test::Put32(&esp, 4, static_cast<uint32_t>(seq));
    test::Put32(&esp, 12, static_cast<uint32_t>(seq));
    Packet* packet = test::MakePacket(&pools_, test::EspFrame(spec, esp + text + Bytes(16, 0)));
    packet->offload.esp_offset = 34;
    packet->offload.esn_high = static_cast<uint32_t>(seq >> 32);
    return packet;
  }
  std::vector<Bytes> Transmit(Packet* packet) {
    PacketBatch batch;
    batch.Push(packet);
    nic_->Transmit(0, &batch, &sink_);
    while (nic_->RunOnce() != 0) {
    }
    std::vector<Bytes> out;
    for (; !wire_->sent.empty(); wire_->sent.pop_front()) {
      out.push_back(test::ToBytes(wire_->sent.front()->bytes()));
      test::FreePacket(wire_->sent.front());
    }
    return out;
  }
  struct Arrived {
    Bytes frame;
    OffloadMeta meta;
  };
  Arrived Receive(const Bytes& frame) {
    wire_->arriving.push_back(test::MakePacket(&pools_, frame));
    nic_->RunOnce();
    PacketBatch batch;
    EXPECT_EQ(nic_->Receive(0, &batch, &sink_), 1u);
    Arrived out{test::ToBytes(batch[0]->bytes()), batch[0]->offload};
    sink_.Recycle(batch[0]);
    batch.ReleaseAll();
    return out;
  }
  PacketPools pools_{2600, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  MemoryPort* wire_;
  std::unique_ptr<test::NicUnderTest> nic_;
};

INSTANTIATE_TEST_SUITE_P(Paths, SimNicTest, test::NicPaths(), test::NameOfPath);

// What no driver by others has: see nic_under_test.h.
class SimNicDirectTest : public SimNicTest {};
INSTANTIATE_TEST_SUITE_P(Paths, SimNicDirectTest, testing::Values(test::NicPath::kDirect),
                         test::NameOfPath);

TEST_P(SimNicTest, SealsAsTheOracleDoes) {
  for (const bool esn : {false, true}) {
    SaSpec spec = test::MakeSpec({.spi = esn ? 2u : 1u, .flags = esn ? kSaFlagEsn : uint8_t{0}});
    const OffloadHandle handle = Add(spec, Half::kOutbound);
    const uint64_t seq = esn ? 0x3'00000007 : 7;
    Packet* packet = Unsealed(spec, seq, Pattern(40));
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kSealRequested;
    EXPECT_THAT(Transmit(packet),
                testing::ElementsAre(test::EspFrame(
                    spec, test::OracleSeal(spec, seq, static_cast<uint32_t>(seq), Pattern(40)))));
  }
  EXPECT_EQ(nic_->offload_stats().sealed, 2u);
}

TEST_P(SimNicTest, PacketsThatAskForNothingPassUntouched) {
  Add(test::MakeSpec(), Half::kOutbound);
  const Bytes frame = Frame(test::Udp({}, 1, 2, Pattern(40)));
  EXPECT_THAT(Transmit(test::MakePacket(&pools_, frame)), testing::ElementsAre(frame));
}

TEST_P(SimNicTest, SealOfAStaleHandleIsDroppedAndNeverLeaves) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  nic_->ReleaseSa(handle);
  for (const OffloadHandle stale : {handle, OffloadHandle(), OffloadHandle(~0u)}) {
    Packet* packet = Unsealed(spec, 1, Pattern(40));
    packet->offload.handle = stale;
    packet->offload.status = OffloadStatus::kSealRequested;
    EXPECT_THAT(Transmit(packet), IsEmpty());
  }
  EXPECT_EQ(nic_->device_drops()->Get(DropReason::kOutDeviceError), 3u);
  EXPECT_EQ(nic_->offload_stats().dropped_stale, 3u);
}

TEST_P(SimNicTest, WhatWasHandedOverBeforeTheReleaseLeavesSealed) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  Packet* packet = Unsealed(spec, 1, Pattern(40));
  packet->offload.handle = handle;
  packet->offload.status = OffloadStatus::kSealRequested;
  PacketBatch batch;
  batch.Push(packet);
  nic_->Transmit(0, &batch, &sink_);
  nic_->StopSa(handle);
  nic_->ReleaseSa(handle);
  EXPECT_EQ(nic_->offload_stats().slots_used, 1u);
  EXPECT_THAT(Transmit(caches_.small.Take()), SizeIs(2));
  EXPECT_EQ(nic_->offload_stats().sealed, 1u);
  EXPECT_EQ(nic_->offload_stats().slots_used, 0u);
}

TEST_P(SimNicTest, SealByAnInboundSaIsDropped) {
  const SaSpec spec = test::MakeSpec();
  Packet* packet = Unsealed(spec, 1, Pattern(40));
  packet->offload.handle = Add(spec, Half::kInbound);
  packet->offload.status = OffloadStatus::kSealRequested;
  EXPECT_THAT(Transmit(packet), IsEmpty());
}

TEST_P(SimNicTest, SealOfWhatIsTooShortIsDropped) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kOutbound);
  for (const uint16_t offset : {uint16_t{34 + 23}, uint16_t{200}, uint16_t{65535}}) {
    Packet* packet = Unsealed(spec, 1, Pattern(24));
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kSealRequested;
    packet->offload.esp_offset = offset;
    EXPECT_THAT(Transmit(packet), IsEmpty()) << offset;
  }
}

TEST_P(SimNicTest, OpensInPlaceAndLeavesTheEspPacketStanding) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kInbound);
  const Bytes sealed = test::SealedFrame(spec, 9, Pattern(40));
  const Arrived got = Receive(sealed);
  EXPECT_EQ(got.meta.status, OffloadStatus::kOpened);
  EXPECT_EQ(got.meta.handle, handle);
  EXPECT_EQ(got.frame.size(), sealed.size());
  EXPECT_EQ(Bytes(got.frame.begin(), got.frame.begin() + 50),
            Bytes(sealed.begin(), sealed.begin() + 50));
  EXPECT_EQ(Bytes(got.frame.begin() + 50, got.frame.begin() + 90), Pattern(40));
}

TEST_P(SimNicTest, WrongIcvIsToldAndNothingOfItIsReadable) {
  const SaSpec spec = test::MakeSpec();
  Add(spec, Half::kInbound);
  Bytes sealed = test::SealedFrame(spec, 9, Pattern(40));
  sealed.back() ^= 1;
  const Arrived got = Receive(sealed);
  EXPECT_EQ(got.meta.status, OffloadStatus::kAuthFailed);
  EXPECT_EQ(Bytes(got.frame.begin() + 50, got.frame.begin() + 90), Bytes(40, 0));
  EXPECT_EQ(nic_->offload_stats().auth_failed, 1u);
}

TEST_P(SimNicTest, WhatItCannotOpenPassesAsItCame) {
  const SaSpec spec = test::MakeSpec();
  Add(spec, Half::kInbound);
  const Bytes good = test::SealedFrame(spec, 9, Pattern(40));
  Bytes unknown = good;
  test::Put32(&unknown, 34, 0x9999);
  Bytes fragment = good;
  test::Put16(&fragment, 20, 0x2000);
  Bytes truncated = test::EspFrame(spec, test::OracleSeal(spec, 9, 9, Pattern(1)));
  truncated.pop_back();
  test::Put16(&truncated, 16, static_cast<uint32_t>(truncated.size() - 14));
  const Bytes plain = Frame(test::Udp({}, 1, 2, Pattern(40)));
  const Bytes arp = test::EthernetHeader(0x0806) + Pattern(28);
  for (const Bytes& frame : {unknown, fragment, truncated, plain, arp, Pattern(13), Bytes{1}}) {
    const Arrived got = Receive(frame);
    EXPECT_EQ(got.meta.status, OffloadStatus::kNone);
    EXPECT_EQ(got.frame, frame);
  }
  EXPECT_EQ(nic_->offload_stats().passed_unknown, 1u);
}

TEST_P(SimNicTest, EsnIsInferredAcross32Bits) {
  const SaSpec spec = test::MakeSpec({.flags = kSaFlagEsn, .window = 64, .seq = 0xffffffee});
  Add(spec, Half::kInbound);
  for (uint64_t seq = 0xfffffff0; seq < 0x1'00000010; ++seq) {
    EXPECT_EQ(Receive(test::SealedFrame(spec, seq, Pattern(40))).meta.status,
              OffloadStatus::kOpened)
        << seq;
  }
  // A late packet of the old subspace, within the window.
  EXPECT_EQ(Receive(test::SealedFrame(spec, 0xfffffff5, Pattern(40))).meta.status,
            OffloadStatus::kOpened);
}

TEST_P(SimNicTest, SaysWhichNumberItTook) {
  const SaSpec spec = test::MakeSpec({.flags = kSaFlagEsn, .window = 64});
  Add(spec, Half::kInbound);
  EXPECT_EQ(Receive(test::SealedFrame(spec, 1000, Pattern(40))).meta.esn_high, 0u);
  // Older than the window: treated as a packet of the next subspace.
  const Arrived late = Receive(test::SealedFrame(spec, 900, Pattern(40)));
  EXPECT_EQ(late.meta.status, OffloadStatus::kAuthFailed);
  EXPECT_EQ(late.meta.esn_high, 1u);
}

TEST_P(SimNicTest, AdvanceEsnTellsADeviceThatSawNothingMeanwhile) {
  const SaSpec spec = test::MakeSpec({.flags = kSaFlagEsn, .window = 64});
  const OffloadHandle handle = Add(spec, Half::kInbound);
  EXPECT_EQ(Receive(test::SealedFrame(spec, 0x2'00000005, Pattern(40))).meta.status,
            OffloadStatus::kAuthFailed);
  nic_->AdvanceEsn(handle, 0x2'00000000);
  EXPECT_EQ(Receive(test::SealedFrame(spec, 0x2'00000005, Pattern(40))).meta.status,
            OffloadStatus::kOpened);
  nic_->AdvanceEsn(handle, 5);  // never backwards
  EXPECT_EQ(Receive(test::SealedFrame(spec, 0x2'00000006, Pattern(40))).meta.status,
            OffloadStatus::kOpened);
  nic_->AdvanceEsn(OffloadHandle(99), 7);
}

TEST_P(SimNicTest, DownItTakesNoSaAndOpensNothing) {
  const SaSpec spec = test::MakeSpec();
  Add(spec, Half::kInbound);
  nic_->SetOffloadUp(false);
  OffloadHandle handle;
  const SaSpec second = test::MakeSpec({.spi = 2});
  const auto refusal = nic_->InstallSa({second, Half::kInbound}, &handle);
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->kind, InstallError::kDeviceDown);
  const Bytes frame = test::SealedFrame(spec, 9, Pattern(40));
  const Arrived got = Receive(frame);
  EXPECT_EQ(got.meta.status, OffloadStatus::kNone);
  EXPECT_EQ(got.frame, frame);
}

TEST_P(SimNicDirectTest, HeldSasNamesWhatItHolds) {
  const SaSpec spec = test::MakeSpec();
  const OffloadHandle handle = Add(spec, Half::kInbound);
  ASSERT_THAT(nic_->HeldSas(), SizeIs(1));
  EXPECT_EQ(nic_->HeldSas()[0].spi, spec.spi);
  EXPECT_EQ(nic_->offload_stats().slots_used, 1u);
  nic_->StopSa(handle);
  EXPECT_THAT(nic_->HeldSas(), SizeIs(1));  // stopped: the key is still held, and reported
  nic_->ReleaseSa(handle);
  EXPECT_THAT(nic_->HeldSas(), IsEmpty());
  EXPECT_EQ(nic_->offload_stats().slots_used, 0u);
  EXPECT_EQ(nic_->offload_stats().slots_high_water, 1u);
}

TEST_P(SimNicDirectTest, FullRingDropsAndCounts) {
  for (uint32_t sent = 0; sent < 2100;) {
    PacketBatch batch;
    for (; !batch.full() && sent < 2100; ++sent) batch.Push(caches_.small.Take());
    nic_->Transmit(0, &batch, &sink_);
    EXPECT_TRUE(batch.empty());
  }
  EXPECT_EQ(counters_.Get(DropReason::kPortFull), 2100u - 2048u);
}

TEST_P(SimNicTest, FlowsAreSpreadOverQueuesAndKeepTheirOrder) {
  auto wire = std::make_unique<MemoryPort>("wire");
  MemoryPort* port = wire.get();
  const auto nic = Make(std::move(wire), 4);
  for (uint16_t i = 0; i < 64; ++i) {
    port->arriving.push_back(test::MakePacket(
        &pools_, Frame(test::Udp({}, static_cast<uint16_t>(1 + i % 16), i, Pattern(4)))));
  }
  nic->RunOnce();
  std::size_t total = 0;
  std::size_t used = 0;
  for (uint32_t q = 0; q < 4; ++q) {
    PacketBatch batch;
    nic->Receive(q, &batch, &sink_);
    total += batch.size();
    used += batch.empty() ? 0 : 1;
    int last = -1;
    for (const Packet* packet : batch.packets()) {
      const int number = test::Get16(packet->bytes(), 36);
      EXPECT_GT(number, last);
      last = number;
    }
    batch.DropAll(DropReason::kPortFull, &sink_);
  }
  EXPECT_EQ(total, 64u);
  EXPECT_GT(used, 1u);
}

// Workers that share an SA hand over its numbers in order, one after the other. The NIC may be
// late: then several wait in each ring.
TEST_P(SimNicTest, PacketsLeaveInTheOrderInWhichWorkersHandThemOver) {
  auto wire = std::make_unique<MemoryPort>("wire");
  MemoryPort* port = wire.get();
  const auto nic = Make(std::move(wire), 3);
  uint16_t number = 0;
  for (const uint32_t queue : {2u, 0u, 0u, 1u, 2u, 1u, 0u, 2u, 2u, 1u}) {
    PacketBatch batch;
    for (uint32_t i = 0; i < 7 + queue * 25; ++i) {
      batch.Push(test::MakePacket(&pools_, Frame(test::Udp({}, 1, number++, Pattern(4)))));
    }
    nic->Transmit(queue, &batch, &sink_);
  }
  while (nic->RunOnce() != 0) {
  }
  ASSERT_EQ(port->sent.size(), number);
  for (uint16_t expected = 0; !port->sent.empty(); port->sent.pop_front(), ++expected) {
    Packet* packet = port->sent.front();
    EXPECT_EQ(test::Get16(packet->bytes(), 36), expected);
    test::FreePacket(packet);
  }
}

TEST_P(SimNicTest, EligibleIsWhatCardsTake) {
  struct Case {
    const char* name;
    uint8_t version;
    uint16_t header;
    bool eligible;
  };
  for (const Case& c : {Case{"IPv4", 4, 20, true},
                        {"IPv4 with options", 4, 24, false},
                        {"IPv6", 6, 40, true},
                        {"IPv6 with extension", 6, 48, false},
                        {"IPv4 in UDP", 4, 28, false}}) {
    Packet* packet = test::MakePacket(&pools_, Bytes(100, static_cast<uint8_t>(c.version << 4)));
    packet->offload.esp_offset = static_cast<uint16_t>(14 + c.header);
    bool eligible = !c.eligible;
    Packet* const list[] = {packet};
    nic_->FilterEligible(list, {&eligible, 1});
    EXPECT_EQ(eligible, c.eligible) << c.name;
    test::FreePacket(packet);
  }
}

TEST(CaptureTest, HostSideShowsPlaintextAndWireSideWhatLeaves) {
  PacketPools pools(64, 2);
  PacketCaches caches(&pools);
  DropCounters counters;
  DropSink sink(&caches, &counters);
  CapturePoints points;
  auto wire = std::make_unique<MemoryPort>("wire");
  MemoryPort* port = wire.get();
  SimNic nic("nic0", std::move(wire), 1, &pools, &points, SimNicOptions{.sa_limit = 4});
  auto host = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  auto outside = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  points.host.Attach(host);
  points.wire.Attach(outside);
  const SaSpec spec = test::MakeSpec();
  OffloadHandle handle;
  ASSERT_FALSE(nic.InstallSa({spec, Half::kInbound}, &handle).has_value());
  nic.StartSa(handle);
  const Bytes sealed = test::SealedFrame(spec, 1, Pattern(40));
  port->arriving.push_back(test::MakePacket(&pools, sealed));
  nic.RunOnce();
  const auto seen_host = host->Drain();
  const auto seen_wire = outside->Drain();
  ASSERT_THAT(seen_host, SizeIs(1));
  ASSERT_THAT(seen_wire, SizeIs(1));
  EXPECT_EQ(seen_wire[0].bytes, sealed);
  EXPECT_EQ(Bytes(seen_host[0].bytes.begin() + 50, seen_host[0].bytes.begin() + 90), Pattern(40));
  EXPECT_EQ(seen_host[0].facts.direction, CaptureDirection::kInbound);
}

}  // namespace
}  // namespace cygnet
