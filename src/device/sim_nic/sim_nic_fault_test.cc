// The software NIC's states and faults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <fstream>

#include "device/sim_nic/sim_nic.h"
#include "support/esp_oracle.h"
#include "support/fake_clock.h"
#include "support/memory_port.h"
#include "support/nic_under_test.h"

namespace cygnet {
namespace {

using test::operator+;
using test::Bytes;
using test::Frame;
using test::Pattern;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class SimNicFaultTest : public testing::TestWithParam<test::NicPath> {
 protected:
  SimNicFaultTest() { Make(""); }
  void Make(std::string_view script) {
    auto wire = std::make_unique<MemoryPort>("wire");
    wire_ = wire.get();
    nic_ = std::make_unique<test::NicUnderTest>(
        GetParam(), std::move(wire), &pools_,
        test::NicUnderTest::Setup{.options = {.sa_limit = 4},
                                  .script = *FaultScript::Parse(script, "script", 1),
                                  .clock = &clock_});
    nic_->SetBell(&bell_);
  }
  void Inject(std::string_view fault) {
    const Status status = nic_->InjectFault(fault);
    EXPECT_TRUE(status) << status.error().message;
  }
  OffloadHandle Add(const SaSpec& spec, Half half) {
    OffloadHandle handle;
    EXPECT_FALSE(nic_->InstallSa({spec, half, 0}, &handle).has_value());
    nic_->StartSa(handle);
    return handle;
  }
  std::optional<DeviceRefusal> TryAdd() {
    OffloadHandle handle;
    return nic_->InstallSa({spec_, Half::kInbound, 0}, &handle);
  }
  // An outgoing ESP frame to be sealed with `handle`.
  void Give(OffloadHandle handle, uint32_t seq = 1) {
    Bytes esp(16);
    test::Put32(&esp, 0, spec_.spi.value);
    test::Put32(&esp, 4, seq);
    test::Put32(&esp, 12, seq);
    Packet* packet =
        test::MakePacket(&pools_, test::EspFrame(spec_, esp + Pattern(40) + Bytes(16, 0)));
    packet->offload.esp_offset = 34;
    packet->offload.handle = handle;
    packet->offload.status = OffloadStatus::kSealRequested;
    PacketBatch batch;
    batch.Push(packet);
    nic_->Transmit(0, &batch, &sink_);
  }
  Bytes Sealed(uint32_t seq = 1) {
    return test::EspFrame(spec_, test::OracleSeal(spec_, seq, seq, Pattern(40)));
  }
  std::vector<Bytes> Sent() {
    while (nic_->RunOnce() != 0) {
    }
    std::vector<Bytes> out;
    for (; !wire_->sent.empty(); wire_->sent.pop_front()) {
      out.push_back(test::ToBytes(wire_->sent.front()->bytes()));
      test::FreePacket(wire_->sent.front());
    }
    return out;
  }
  void Arrive(const Bytes& frame) {
    wire_->arriving.push_back(test::MakePacket(&pools_, frame));
    nic_->RunOnce();
  }
  // The statuses of packets returned to the worker.
  std::vector<OffloadStatus> Handed() {
    PacketBatch batch;
    nic_->Receive(0, &batch, &sink_);
    std::vector<OffloadStatus> out;
    for (Packet* packet : batch.packets()) {
      out.push_back(packet->offload.status);
      sink_.Recycle(packet);
    }
    batch.ReleaseAll();
    return out;
  }
  uint64_t PortDown() const { return nic_->device_drops()->Get(DropReason::kPortDown); }
  // True if the bell rang since the last call.
  bool Rung() {
    pollfd fd = {bell_.fd(), POLLIN, 0};
    const bool rung = poll(&fd, 1, 0) == 1;
    bell_.Disarm();
    bell_.Arm();
    return rung;
  }

  const SaSpec spec_ = test::MakeSpec();
  test::FakeClock clock_;
  Doorbell bell_;
  PacketPools pools_{2600, 2};
  PacketCaches caches_{&pools_};
  DropCounters counters_;
  DropSink sink_{&caches_, &counters_};
  MemoryPort* wire_ = nullptr;
  std::unique_ptr<test::NicUnderTest> nic_;
};

INSTANTIATE_TEST_SUITE_P(Paths, SimNicFaultTest, test::NicPaths(), test::NameOfPath);

// What no driver by others has: see nic_under_test.h.
class SimNicFaultDirectTest : public SimNicFaultTest {};
INSTANTIATE_TEST_SUITE_P(Paths, SimNicFaultDirectTest, testing::Values(test::NicPath::kDirect),
                         test::NameOfPath);

// --- States ---

TEST_P(SimNicFaultTest, DownPassesFramesAndHandsBackWhatItShouldSeal) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  Give(handle);
  Inject("down");
  EXPECT_EQ(nic_->state(), DeviceState::kDown);
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(Handed(), ElementsAre(OffloadStatus::kReturned));
  EXPECT_EQ(nic_->offload_stats().returned, 1u);
  Arrive(Frame(test::Udp({}, 1, 2, Pattern(8))));
  EXPECT_THAT(Handed(), ElementsAre(OffloadStatus::kNone));
  Inject("up");
  Give(handle);  // the tables are still there
  EXPECT_THAT(Sent(), ElementsAre(Sealed()));
}

TEST_P(SimNicFaultTest, WithoutLinkNothingPassesEitherWay) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  Inject("link-down");
  EXPECT_EQ(nic_->link(), LinkStatus::kNoCarrier);
  Give(handle);
  Arrive(Frame(test::Udp({}, 1, 2, Pattern(8))));
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(Handed(), IsEmpty());
  EXPECT_EQ(PortDown(), 2u);
  EXPECT_EQ(TryAdd()->kind, InstallError::kDeviceDown);
  Inject("link-up");
  Give(handle);
  EXPECT_THAT(Sent(), ElementsAre(Sealed()));
}

TEST_P(SimNicFaultTest, ResetLosesTheTablesAndComesBackByItself) {
  const OffloadHandle in = Add(spec_, Half::kInbound);
  const OffloadHandle out = Add(spec_, Half::kOutbound);
  Inject("reset 100");
  EXPECT_EQ(nic_->state(), DeviceState::kResetting);
  EXPECT_EQ(nic_->resets(), 1u);
  EXPECT_THAT(nic_->HeldSas(), IsEmpty());
  EXPECT_THAT(nic_->TakeErased(), testing::UnorderedElementsAre(in, out));
  for (const KeyLogEntry& entry : nic_->KeyLog()) EXPECT_TRUE(entry.erased);
  EXPECT_EQ(TryAdd()->kind, InstallError::kDeviceDown);
  clock_.monotonic_ns += 99'999'999;
  nic_->RunOnce();
  EXPECT_EQ(nic_->state(), DeviceState::kResetting);
  clock_.monotonic_ns += 1;
  nic_->RunOnce();
  EXPECT_EQ(nic_->state(), DeviceState::kUp);
  Add(spec_, Half::kOutbound);
  Give(out);  // from a worker that does not know yet
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(Handed(), ElementsAre(OffloadStatus::kReturned));
}

TEST_P(SimNicFaultTest, ResetWhilePacketsAreInTheRingHandsThemBack) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  for (uint32_t seq = 1; seq <= 3; ++seq) Give(handle, seq);
  nic_->StopSa(handle);
  nic_->ReleaseSa(handle);  // waits for them
  Inject("reset 0");
  EXPECT_EQ(nic_->state(), DeviceState::kUp);
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(Handed(), SizeIs(3));
  EXPECT_THAT(nic_->TakeErased(), ElementsAre(handle));
  nic_->RunOnce();
  EXPECT_THAT(nic_->TakeErased(), IsEmpty());
}

TEST_P(SimNicFaultDirectTest, RingOfTheWorkerThatIsFullDropsWhatIsHandedBack) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  Inject("down");
  for (uint32_t seq = 0; seq < 2060; ++seq) {
    Give(handle, seq);
    nic_->RunOnce();
  }
  EXPECT_EQ(nic_->offload_stats().returned, 2048u);
  EXPECT_EQ(nic_->device_drops()->Get(DropReason::kOutDeviceError), 12u);
}

TEST_P(SimNicFaultTest, RemovedItPassesNothingUntilItIsInserted) {
  const OffloadHandle handle = Add(spec_, Half::kInbound);
  Inject("remove");
  EXPECT_EQ(std::pair(nic_->state(), nic_->link()),
            std::pair(DeviceState::kRemoved, LinkStatus::kGone));
  EXPECT_EQ(nic_->resets(), 1u);
  EXPECT_THAT(nic_->TakeErased(), ElementsAre(handle));
  Arrive(Frame(test::Udp({}, 1, 2, Pattern(8))));
  EXPECT_EQ(PortDown(), 1u);
  const Status reset = nic_->InjectFault("reset");
  ASSERT_FALSE(reset);
  EXPECT_EQ(reset.error().code, Errc::kNoDevice);
  Inject("insert");
  EXPECT_EQ(std::pair(nic_->state(), nic_->link()), std::pair(DeviceState::kUp, LinkStatus::kUp));
  EXPECT_FALSE(TryAdd().has_value());
}

TEST_P(SimNicFaultTest, CrashedItKeepsItsKeysUntilTheReset) {
  const OffloadHandle in = Add(spec_, Half::kInbound);
  const OffloadHandle out = Add(spec_, Half::kOutbound);
  Give(out);
  Inject("crash");
  EXPECT_EQ(nic_->state(), DeviceState::kFailed);
  EXPECT_EQ(nic_->resets(), 0u);
  nic_->StopSa(in);
  nic_->ReleaseSa(in);
  EXPECT_THAT(Sent(), IsEmpty());
  EXPECT_THAT(Handed(), ElementsAre(OffloadStatus::kReturned));
  EXPECT_THAT(nic_->TakeErased(), IsEmpty());
  EXPECT_THAT(nic_->HeldSas(), SizeIs(2));
  EXPECT_FALSE(nic_->KeyLog()[0].erased);
  Arrive(Sealed());
  EXPECT_THAT(Handed(), ElementsAre(OffloadStatus::kNone));  // frames pass, closed
  Inject("up");
  EXPECT_EQ(nic_->state(), DeviceState::kFailed);
  Inject("reset 0");
  EXPECT_EQ(nic_->state(), DeviceState::kUp);
  EXPECT_THAT(nic_->TakeErased(), testing::UnorderedElementsAre(in, out));
}

TEST_P(SimNicFaultTest, BellIsRungWhenSomethingChanged) {
  (void)Rung();
  for (const char* fault : {"down", "up", "reset 0", "crash", "clear", "remove", "insert"}) {
    Inject(fault);
    EXPECT_TRUE(Rung()) << fault;
  }
  EXPECT_FALSE(Rung());
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  EXPECT_FALSE(Rung());
  nic_->ReleaseSa(handle);
  EXPECT_TRUE(Rung());
  nic_->SetBell(nullptr);
  Inject("down");
  EXPECT_FALSE(Rung());
}

// --- Adds ---

TEST_P(SimNicFaultTest, AddFailsAsAskedFor) {
  Inject("add-fail EINVAL 1");
  auto refusal = TryAdd();
  ASSERT_TRUE(refusal.has_value());
  EXPECT_EQ(refusal->kind, InstallError::kRefused);
  EXPECT_EQ(refusal->code, Errc::kInvalid);
  EXPECT_THAT(refusal->text, HasSubstr("EINVAL"));
  EXPECT_FALSE(TryAdd().has_value());
  Inject("table-full");
  EXPECT_EQ(TryAdd()->kind, InstallError::kTableFull);
  Inject("table-ok");
  EXPECT_FALSE(TryAdd().has_value());
  const auto log = nic_->KeyLog();
  ASSERT_THAT(log, SizeIs(4));
  EXPECT_FALSE(log[0].taken || log[2].taken);
  EXPECT_TRUE(log[1].taken && log[3].taken);
  EXPECT_EQ(log[0].time, clock_.WallSeconds());
  EXPECT_EQ(nic_->offload_stats().refusals, 2u);
}

TEST_P(SimNicFaultDirectTest, AddressesAreShown) {
  Add(spec_, Half::kInbound);
  const OffloadStats stats = nic_->offload_stats();
  EXPECT_EQ(stats.addresses_used, 1u);
  EXPECT_EQ(stats.addresses_high_water, 1u);
  EXPECT_EQ(stats.addresses_limit, 128u);
}

// --- The lying device ---

TEST_P(SimNicFaultTest, SkippedSealLeavesTheTextReadable) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  Inject("skip-seal 1");
  Give(handle);
  Give(handle);
  const auto sent = Sent();
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(Bytes(sent[0].begin() + 50, sent[0].begin() + 90), Pattern(40));
  EXPECT_EQ(Bytes(sent[0].end() - 16, sent[0].end()), Bytes(16, 0));
  EXPECT_EQ(sent[1], Sealed());
  EXPECT_EQ(nic_->offload_stats().sealed, 2u);  // as it reports
}

TEST_P(SimNicFaultTest, SkippedIcvLooksLikeOne) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  Inject("skip-icv 1");
  Give(handle);
  const auto sent = Sent();
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(Bytes(sent[0].begin() + 50, sent[0].begin() + 90), Pattern(40));
  EXPECT_NE(Bytes(sent[0].end() - 16, sent[0].end()), Bytes(16, 0));
}

TEST_P(SimNicFaultTest, FailedSealIsHandedBack) {
  const OffloadHandle handle = Add(spec_, Half::kOutbound);
  Inject("fail-seal 1");
  Give(handle, 1);
  Give(handle, 2);
  EXPECT_THAT(Sent(), ElementsAre(Sealed(2)));
  EXPECT_THAT(Handed(), ElementsAre(OffloadStatus::kReturned));
}

TEST_P(SimNicFaultTest, UnknownFaultIsRefused) {
  const Status status = nic_->InjectFault("explode");
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kInvalid);
}

// --- Script ---

TEST_P(SimNicFaultTest, ScriptIsPlayedByTheClockAndThePackets) {
  Make(R"(
[[fault]]
at = "500ms"
do = "down"
[[fault]]
at = "1s"
do = "up"
[[fault]]
after_packets = 2
do = "crash"
)");
  nic_->RunOnce();  // starts the script's clock
  clock_.monotonic_ns += 499'000'000;
  nic_->RunOnce();
  EXPECT_EQ(nic_->state(), DeviceState::kUp);
  clock_.monotonic_ns += 1'000'000;
  nic_->RunOnce();
  EXPECT_EQ(nic_->state(), DeviceState::kDown);
  clock_.monotonic_ns += 500'000'000;
  nic_->RunOnce();
  EXPECT_EQ(nic_->state(), DeviceState::kUp);
  for (int i = 0; i < 2; ++i) Arrive(Frame(test::Udp({}, 1, 2, Pattern(8))));
  EXPECT_EQ(nic_->state(), DeviceState::kUp);
  nic_->RunOnce();
  EXPECT_EQ(nic_->state(), DeviceState::kFailed);
  EXPECT_THAT(nic_->FaultsPlayed(), ElementsAre("down", "up", "crash"));
}

TEST(SimNicDriverTest, BadScriptIsToldBeforeAnythingIsOpened) {
  const std::string path = testing::TempDir() + "cygnet-faults-" + std::to_string(getpid());
  std::ofstream(path) << "[[fault]]\nat = \"noon\"\ndo = \"up\"\n";
  const DriverInfo& driver = *FindDriver("sim_nic");
  const auto table = ParseToml("fault_script = \"" + path + "\"", "f.toml");
  const auto checked = driver.check(*table);
  ASSERT_TRUE(checked) << checked.error().message << " (no other file is read yet)";
  const Status files = driver.check_files(checked->options);
  const auto device = driver.create({.name = "nic0", .wire = "w", .options = checked->options});
  std::remove(path.c_str());
  ASSERT_FALSE(files);
  ASSERT_FALSE(device);
  EXPECT_EQ(device.error().code, Errc::kInvalid);
  EXPECT_EQ(device.error().message, files.error().message);
  EXPECT_THAT(files.error().message,
              AllOf(HasSubstr("fault_script: "), HasSubstr(path + ":2: fault.at: must be a time")));
  const Status missing = driver.check_files(checked->options);
  EXPECT_THAT(missing.error().message, HasSubstr("No such file"));
}

// --- Who it is ---

TEST(SimNicIdentityTest, SaysWhatItIsToldToSay) {
  PacketPools pools(16, 2);
  const SimNic plain("nic0", std::make_unique<MemoryPort>("w"), 1, &pools, nullptr);
  EXPECT_EQ(plain.identity().model, "Cygnet software NIC");
  EXPECT_EQ(plain.identity().serial, "nic0");
  EXPECT_FALSE(plain.identity().firmware.empty());
  const DeviceIdentity card{.model = "X550", .serial = "7", .firmware = "1.2"};
  const SimNic played("nic0", std::make_unique<MemoryPort>("w"), 1, &pools, nullptr,
                      {.model = card.model, .serial = card.serial, .firmware = card.firmware});
  DeviceIdentity shown = card;
  shown.simulated = true;  // whatever card it imitates
  EXPECT_EQ(played.identity(), shown);
}

}  // namespace
}  // namespace cygnet
