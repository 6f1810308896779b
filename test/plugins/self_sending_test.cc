// A driver that sends by itself (CYGNET_WIRE_NONE): no port of the host is behind it, so the seal
// guard sees its frames before it gets them. The driver is opened as the daemon opens it, by its
// row of the driver table, and the guard is the real one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "support/test_host.h"

namespace cygnet {
namespace {

using test::Bytes;
using test::Frame;
using test::Pattern;
using test::SaOptions;
using test::Udp;
using testing::IsEmpty;
using testing::SizeIs;

const Bytes kSecret = Frame(Udp({.src = "10.1.0.1", .dst = "10.2.0.1"}, 1, 2, Pattern(50)));
const Bytes kOther = Frame(Udp({.src = "10.1.0.1", .dst = "10.9.0.1"}, 1, 2, Pattern(50)));

class SelfSendingTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/var/lib/cygnet-plugin-XXXXXX";  // a folder that only root may write
    if (mkdtemp(name) == nullptr) GTEST_SKIP() << "needs root";
    folder_ = name;
    const std::string file = folder_ + "/driver.so";
    std::filesystem::copy_file(CYGNET_SELF_SENDING, file);
    chmod(file.c_str(), 0644);
    const DriverInfo* driver = FindDriver("plugin");
    const auto table = ParseToml("plugin = \"" + file + "\"\n", "f.toml");
    ASSERT_TRUE(table);
    const auto checked = driver->check(*table);
    ASSERT_TRUE(checked) << checked.error().message;
    Interface& interface = host_.path.interfaces[0];
    auto device = driver->create({.name = "nic0",
                                  .wire = "",
                                  .queues = 1,
                                  .pools = &pools_,
                                  .capture = interface.capture,
                                  .guard = interface.guard,
                                  .options = checked->options});
    ASSERT_TRUE(device) << device.error().message;
    device_ = *std::move(device);
    interface.wire = device_.port.get();
    host_.SetAddresses({"192.0.2.1", "10.1.0.1"});
    host_.Add(SaOptions{});
    host_.AddPolicy(test::MakePolicy(PolicyDirection::kOut, "10.1.0.0/16", "10.2.0.0/16",
                                     {test::TemplateFor({})}));
  }
  void TearDown() override {
    device_ = {};
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }
  // Bypasses the pipeline, as a mistake would.
  void Push(const std::vector<Bytes>& frames, OffloadStatus status = OffloadStatus::kNone) {
    PacketBatch batch;
    for (const Bytes& frame : frames) {
      batch.Push(test::MakePacket(&pools_, frame));
      batch[batch.size() - 1]->offload.status = status;
    }
    device_.port->Transmit(0, &batch, &sink_);
    EXPECT_TRUE(batch.empty());
  }
  PortStats Given() const { return device_.port->stats(); }

  PacketPools pools_{256, 8};
  test::TestHost host_{&pools_};
  PacketCaches caches_{&pools_};
  DropCounters drops_;
  DropSink sink_{&caches_, &drops_};
  std::string folder_;
  Device device_;
};

TEST_F(SelfSendingTest, AClearFrameOfAProtectedFlowIsStoppedBeforeTheDriverGetsIt) {
  auto seen = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  host_.capture().wire.Attach(seen);
  Push({kOther, kSecret, kOther});
  EXPECT_EQ(Given().tx_packets, 2u);
  EXPECT_EQ(Given().tx_bytes, 2 * kOther.size());
  EXPECT_EQ(drops_.Get(DropReason::kOutGuard), 1u);
  EXPECT_EQ(host_.guard().clear_stopped, 1u);
  EXPECT_EQ(host_.guard().frames_checked, 3u);
  for (const CapturedFrame& frame : seen->Drain()) EXPECT_EQ(frame.bytes, kOther);
  auto stopped = std::make_shared<CaptureQueue>(2000, 100'000, -1);
  host_.capture().guard.Attach(stopped);
  const auto kept = stopped->Drain();
  ASSERT_THAT(kept, SizeIs(1));
  EXPECT_EQ(kept[0].bytes, kSecret);
  EXPECT_EQ(kept[0].facts.reason, DropReason::kOutGuard);
}

TEST_F(SelfSendingTest, WhatTheCpuSealedMustShowItsSeal) {
  EXPECT_THAT(host_.Send(kSecret), IsEmpty()) << "no port of the host is behind it";
  EXPECT_EQ(Given().tx_packets, 1u);
  EXPECT_GT(Given().tx_bytes, kSecret.size());
  EXPECT_EQ(host_.guard().frames_checked, 1u);
  EXPECT_EQ(host_.AllDrops(), 0u);
}

// It is in clear by right: the card is to seal it.
TEST_F(SelfSendingTest, WhatTheDriverIsToSealPassesTheGuardUnchecked) {
  Push({kSecret}, OffloadStatus::kSealRequested);
  EXPECT_EQ(Given().tx_packets, 1u);
  EXPECT_EQ(device_.offload->offload_stats().sealed, 1u);
  EXPECT_EQ(host_.guard().frames_checked, 0u);
}

}  // namespace
}  // namespace cygnet
